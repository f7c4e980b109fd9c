/* A labelled map in 3D: points, boxes with names, cameras, a grid on the ground. Draws on demand; needs the global THREE.
 *
 *   const viewer = new MapViewer(element, scene, { activate: "focus" });
 *   element.addEventListener("instancepick", (event) => event.detail.id);     // 0 where nothing was hit
 *   element.addEventListener("camerapick", (event) => event.detail.name);
 *   viewer.select(7); viewer.fit(7); viewer.reset(); viewer.color("photo"); viewer.show("boxes", false); viewer.load(scene);
 *
 * `scene` is the document that seg2d3d_ros/viewer/packing.py describes.
 */
"use strict";
var MapViewer = (() => {
  const GREY = [0.42, 0.44, 0.47];
  const VERTEX = `
    attribute vec3 shade; varying vec3 tint;
    uniform float size, pixels, least, most;
    void main() {
      tint = shade;
      vec4 place = modelViewMatrix * vec4(position, 1.0);
      gl_Position = projectionMatrix * place;
      gl_PointSize = clamp(size * pixels * projectionMatrix[1][1] / max(-place.z, 1e-6), least, most);
    }`;
  const FRAGMENT = `
    varying vec3 tint;
    void main() {
      vec2 off = gl_PointCoord - 0.5;
      if (dot(off, off) > 0.25) discard;
      gl_FragColor = vec4(tint, 1.0);
    }`;

  function bytes(text) {
    const raw = atob(text), out = new Uint8Array(raw.length);
    for (let k = 0; k < raw.length; k++) out[k] = raw.charCodeAt(k);
    return out.buffer;
  }

  function rgb(hex) {
    return [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16) / 255);
  }

  function niceLength(most) {
    const power = 10 ** Math.floor(Math.log10(most));
    return [5, 2, 1].map((step) => step * power).find((length) => length <= most * (1 + 1e-9));
  }

  function lengthWords(length, unit) {
    if (!unit) return `${+length.toPrecision(3)} of the model's units`;
    return length >= 1000 ? `${length / 1000} km` : length >= 1 ? `${length} m` : `${+(length * 100).toPrecision(3)} cm`;
  }

  function make(kind, className, parent, text = "") {
    const node = document.createElement(kind);
    if (className) node.className = className;
    if (text) node.textContent = text;
    parent.append(node);
    return node;
  }

  return class MapViewer {
    /** Whether this browser can draw it. */
    static supported() {
      try {
        const canvas = document.createElement("canvas");
        return !!(window.WebGL2RenderingContext && canvas.getContext("webgl2"));
      } catch {
        return false;
      }
    }

    /**
     * `options.activate`: "always" (default), or "focus": the wheel and fingers scroll the page until the view is clicked.
     * `options.describe(instance)`: returns a node for the card of the selected instance, in place of the usual text.
     * `options.labels`: how many names are shown at most (40).
     * Throws where WebGL is missing.
     */
    constructor(element, scene, options = {}) {
      this.element = element;
      this.options = { activate: "always", labels: 40, ...options };
      this.shown = { boxes: true, names: true, cameras: true, grid: true };
      this.coloring = "instance";
      this.selected = 0;
      element.classList.add("viewer");
      this.renderer = new THREE.WebGLRenderer({ antialias: true, powerPreference: "low-power" });
      this.renderer.outputColorSpace = "srgb-linear"; // colours are meant as they are: nothing is lit
      THREE.ColorManagement.enabled = false;
      this.renderer.setClearColor(0x14171b);
      this.canvas = this.renderer.domElement;
      this.canvas.tabIndex = 0;
      this.canvas.setAttribute("role", "application");
      this.canvas.setAttribute("aria-label", "The map in 3D. Arrow keys turn, with Shift they move, plus and minus zoom, F fits, T looks from above, N and P go through the instances.");
      element.append(this.canvas);
      this.labels = make("div", "viewer-labels", element);
      this.labels.setAttribute("aria-hidden", "true");
      this.camera = new THREE.PerspectiveCamera(45, 1, 0.1, 1000);
      this.active = this.options.activate === "always";
      this._furnish();
      this._listen();
      this.load(scene);
    }

    /** Show another scene; `keepView`: from where one looks now. */
    load(scene, keepView = false) {
      const before = keepView && this.data ? this.selected : 0;
      this.data = scene;
      this.world = new THREE.Scene();
      this.origin = scene.center;
      this.up = new THREE.Vector3(...scene.up);
      this.byId = new Map(scene.instances.map((item) => [item.id, item]));
      this._control(keepView);
      this._addPoints();
      this._addBoxes();
      this._addCameras();
      this._addGrid();
      for (const [name, on] of Object.entries(this.shown)) this._apply(name, on);
      this.north.style.display = scene.north ? "" : "none"; // an SVG element knows no `hidden`
      if (!scene.instances.length) this.coloring = "photo";
      this.select(this.byId.has(before) ? before : 0);
      if (!keepView) this.reset();
      this.draw();
    }

    /** Colour the points by "instance", "photo" or "class". */
    color(by) {
      this.coloring = by;
      for (const button of this.colorButtons) button.setAttribute("aria-pressed", String(button.value === by));
      const { shade, instance, photo, count } = this.cloud;
      const names = Object.entries(this.data.classes).map(([name, hex]) => [name, rgb(hex)]);
      const classes = new Map(names);
      const table = new Map(this.data.instances.map((item) => [item.id, by === "class" ? classes.get(item.class) : rgb(item.color)]));
      for (let k = 0; k < count; k++) {
        const id = instance[k];
        let color = by === "photo" ? [photo[3 * k] / 255, photo[3 * k + 1] / 255, photo[3 * k + 2] / 255] : table.get(id) || GREY;
        if (this.selected && id !== this.selected) color = color.map((value) => 0.35 * value + 0.05);
        shade.array.set(color, 3 * k);
      }
      shade.needsUpdate = true;
      this.draw();
    }

    /** Emphasise an instance; 0 = none. Dispatches nothing. */
    select(id) {
      this.selected = this.byId.has(id) ? id : 0;
      for (const [other, box] of this.boxes) box.material.opacity = !this.selected || other === this.selected ? 1 : 0.25;
      this.color(this.coloring);
      this._fillCard();
    }

    /** Bring an instance, or without an id the bulk of the map, into view; one goes on looking in the same direction. */
    fit(id = 0) {
      const item = this.byId.get(id);
      const direction = this.camera.position.clone().sub(this.controls.target).normalize();
      const around = item ? this._surroundings(item) : this._bounds();
      if (around) this._look(around, direction, item ? 1.5 : 1.05);
    }

    /** Back to the first view. */
    reset() {
      const direction = new THREE.Vector3(...this.data.direction);
      if (this.camera.aspect < 0.8) direction.applyAxisAngle(this.up, 1.1); // a street fills a narrow window along its length
      this._look(this._bounds(), direction, 1.05);
      this.untouched = true; // a new size of the window sees all of it again
    }

    /** Look from straight above, north up where it is known. */
    lookDown() {
      const side = new THREE.Vector3(...(this.data.north || this.data.direction)).projectOnPlane(this.up).normalize();
      const direction = this.up.clone().addScaledVector(side, this.data.north ? -0.002 : 0.002).normalize();
      this._look(this._bounds(), direction, 1.05);
    }

    /** Show or hide "boxes", "names", "cameras" or "grid". */
    show(what, on) {
      this.shown[what] = on;
      for (const button of this.showButtons) if (button.value === what) button.setAttribute("aria-pressed", String(on));
      this._apply(what, on);
      this.draw();
    }

    /** The instance and, if it lies nearer, the camera at a place in pixels of the canvas. */
    pick(x, y) {
      const point = this._pickPoint(x, y), camera = this._pickCamera(x, y);
      if (camera && (!point || camera.depth < point.depth)) return { id: 0, name: camera.name };
      if (point) return { id: point.id, xyz: point.xyz };
      return { id: this._pickBox(x, y) };
    }

    /** Ask for a new picture; several requests make one. */
    draw() {
      if (this.waiting) return;
      this.waiting = requestAnimationFrame(() => {
        this.waiting = 0;
        this.drawNow();
      });
    }

    drawNow() {
      if (!this.data || !this.canvas.clientWidth) return;
      const far = this.camera.position.length() + 60 * this.data.radius;
      this.camera.far = far;
      this.camera.near = Math.max(1e-5 * far, 0.002 * this.camera.position.distanceTo(this.controls.target));
      this.camera.updateProjectionMatrix();
      this.camera.updateMatrixWorld();
      this.renderer.render(this.world, this.camera);
      this._placeNames();
      this._turnNorth();
    }

    /** Give everything back. */
    dispose() {
      cancelAnimationFrame(this.waiting);
      this.resizing.disconnect();
      this.controls.dispose();
      this.renderer.dispose();
      this.element.replaceChildren();
    }

    _furnish() {
      const bar = make("div", "viewer-bar", this.element);
      const group = (title, entries, press) => {
        const box = make("div", "", bar);
        box.setAttribute("role", "group");
        box.setAttribute("aria-label", title);
        return entries.map(([value, words]) => {
          const button = make("button", "", box, words);
          button.type = "button";
          button.value = value;
          button.addEventListener("click", () => press(value, button));
          return button;
        });
      };
      this.colorButtons = group("Colours", [["instance", "Instances"], ["class", "Classes"], ["photo", "Photo"]], (value) => this.color(value));
      this.showButtons = group("Show", [["boxes", "Boxes"], ["names", "Names"], ["cameras", "Cameras"], ["grid", "Grid"]], (value) => this.show(value, !this.shown[value]));
      for (const button of this.showButtons) button.setAttribute("aria-pressed", "true");
      group("View", [["fit", "Fit"], ["above", "From above"], ["reset", "Reset"]], (value) => ({ fit: () => this.fit(this.selected), above: () => this.lookDown(), reset: () => { this.select(0); this.reset(); } })[value]());
      this.card = make("div", "viewer-card", this.element);
      this.card.hidden = true;
      this.card.setAttribute("role", "status");
      this.scale = make("div", "viewer-scale", this.element);
      this.north = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      this.north.setAttribute("class", "viewer-north");
      this.north.setAttribute("viewBox", "-20 -20 40 40");
      this.north.setAttribute("aria-hidden", "true");
      this.arrow = document.createElementNS(this.north.namespaceURI, "path");
      this.letter = document.createElementNS(this.north.namespaceURI, "text");
      this.arrow.setAttribute("d", "M0 -6L6 12L0 8L-6 12Z");
      this.letter.textContent = "N";
      this.north.append(this.arrow, this.letter);
      this.element.append(this.north);
      this.wait = make("div", "viewer-wait", this.element);
      make("span", "", this.wait, matchMedia("(pointer: coarse)").matches ? "Tap to turn and zoom" : "Click to turn and zoom");
    }

    /** OrbitControls takes the vertical when it is made: each scene has its own. */
    _control(keepView) {
      const target = keepView && this.controls ? this.controls.target.clone() : new THREE.Vector3();
      if (this.controls) this.controls.dispose();
      this.camera.up.copy(this.up);
      this.controls = new THREE.OrbitControls(this.camera, this.canvas);
      Object.assign(this.controls, { enableDamping: false, zoomToCursor: true, maxDistance: 40 * this.data.radius, minDistance: 1e-3 * this.data.radius });
      this.controls.target.copy(target);
      this.controls.addEventListener("change", () => this.draw());
      this.controls.addEventListener("start", () => { this.untouched = false; });
      this._activate(this.active);
    }

    _activate(on) {
      this.active = on;
      this.controls.enabled = on;
      this.canvas.style.touchAction = on ? "none" : "auto";
      this.wait.hidden = on;
    }

    _listen() {
      this.resizing = new ResizeObserver(() => this._resize());
      this.resizing.observe(this.element);
      if (this.options.activate !== "always") {
        document.addEventListener("pointerdown", (event) => { if (!this.element.contains(event.target)) this._activate(false); });
        this.canvas.addEventListener("focus", () => { if (this.canvas.matches(":focus-visible")) this._activate(true); });
      }
      let pressed = null;
      this.canvas.addEventListener("pointerdown", (event) => { pressed = [event.clientX, event.clientY]; });
      this.canvas.addEventListener("click", (event) => {
        const still = pressed && Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) < 5;
        if (!this.active) this._activate(true);
        else if (still) this._clicked(event);
      });
      this.canvas.addEventListener("dblclick", () => { if (this.selected) this.fit(this.selected); });
      this.canvas.addEventListener("keydown", (event) => this._key(event));
      this.canvas.addEventListener("webglcontextlost", (event) => { event.preventDefault(); this.scale.textContent = "The 3D view was lost; reload the page."; });
      this.canvas.addEventListener("webglcontextrestored", () => this.draw());
    }

    _clicked(event) {
      const frame = this.canvas.getBoundingClientRect();
      const hit = this.pick(event.clientX - frame.left, event.clientY - frame.top);
      if (hit.name !== undefined) {
        this.element.dispatchEvent(new CustomEvent("camerapick", { detail: { name: hit.name }, bubbles: true }));
        this._fillCard(this.data.cameras.find((camera) => camera.name === hit.name));
        return;
      }
      this._choose(hit.id, hit.xyz);
    }

    _choose(id, xyz) {
      this.select(id);
      this.element.dispatchEvent(new CustomEvent("instancepick", { detail: { id, xyz }, bubbles: true }));
    }

    _key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const turn = (across, along) => {
        const spherical = this.camera.position.clone().sub(this.controls.target);
        const side = new THREE.Vector3().crossVectors(this.up, spherical).normalize();
        const slope = spherical.angleTo(this.up);
        spherical.applyAxisAngle(side, Math.min(Math.max(along, 0.02 - slope), Math.PI - 0.02 - slope)).applyAxisAngle(this.up, across);
        this.camera.position.copy(this.controls.target).add(spherical);
      };
      const move = (across, along) => {
        const away = this.camera.position.clone().sub(this.controls.target), step = 0.1 * away.length();
        const side = new THREE.Vector3().crossVectors(this.up, away).normalize();
        const shift = side.clone().multiplyScalar(across * step).addScaledVector(new THREE.Vector3().crossVectors(this.up, side).normalize(), along * step);
        this.camera.position.add(shift);
        this.controls.target.add(shift);
      };
      const zoom = (factor) => this.camera.position.sub(this.controls.target).multiplyScalar(factor).add(this.controls.target);
      const step = (by) => {
        const ids = [...this.byId.keys()], at = ids.indexOf(this.selected);
        if (!ids.length) return;
        this._choose(ids[at < 0 ? (by > 0 ? 0 : ids.length - 1) : (at + by + ids.length) % ids.length]);
        this.fit(this.selected);
      };
      const arrow = event.shiftKey ? move : turn, size = event.shiftKey ? 1 : 0.1;
      const action = {
        ArrowLeft: () => arrow(-size, 0), ArrowRight: () => arrow(size, 0), ArrowUp: () => arrow(0, -size), ArrowDown: () => arrow(0, size),
        "+": () => zoom(0.85), "=": () => zoom(0.85), "-": () => zoom(1 / 0.85), f: () => this.fit(this.selected), t: () => this.lookDown(),
        n: () => step(1), p: () => step(-1), Home: () => this.reset(), r: () => this.reset(),
        Escape: () => { if (this.selected) this._choose(0); else if (this.options.activate !== "always") this._activate(false); },
      }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!action) return;
      event.preventDefault();
      action();
      this.controls.update();
      this.draw();
    }

    _resize() {
      const width = this.element.clientWidth, height = this.element.clientHeight;
      if (!width || !height) return;
      this.renderer.setPixelRatio(Math.min(window.devicePixelRatio || 1, 2));
      this.renderer.setSize(width, height, false);
      this.camera.aspect = width / height;
      if (this.cloud) this.cloud.uniforms.pixels.value = 0.5 * this.renderer.domElement.height;
      if (this.untouched) this.reset();
      this.draw();
    }

    /** Look at the middle of places from a direction, so far away that all of them are in the picture, with some room. */
    _look(places, direction, room) {
      const center = new THREE.Box3().setFromPoints(places).getCenter(new THREE.Vector3());
      const right = new THREE.Vector3().crossVectors(this.up, direction).normalize(), top = new THREE.Vector3().crossVectors(direction, right);
      const slope = Math.tan((this.camera.fov * Math.PI) / 360), aspect = this.camera.aspect || 1;
      const distances = places.map((place) => {
        const off = place.clone().sub(center);
        return room * Math.max(Math.abs(off.dot(right)) / (slope * aspect), Math.abs(off.dot(top)) / slope) + off.dot(direction);
      });
      this.controls.target.copy(center);
      this.camera.position.copy(center).addScaledVector(direction, Math.max(...distances, 1e-3 * this.data.radius));
      this.controls.update();
      this.untouched = false;
      this.draw();
    }

    _bounds() {
      return this.data.bounds.map((corner) => this._local(corner));
    }

    _local(xyz) {
      return new THREE.Vector3(xyz[0] - this.origin[0], xyz[1] - this.origin[1], xyz[2] - this.origin[2]);
    }

    _addPoints() {
      const { points } = this.data, count = points.count;
      const values = points.type === "uint16" ? new Uint16Array(bytes(points.xyz)) : new Float32Array(bytes(points.xyz));
      const place = new Float32Array(3 * count);
      for (let k = 0; k < 3 * count; k++) place[k] = points.offset[k % 3] - this.origin[k % 3] + points.step * values[k];
      const geometry = new THREE.BufferGeometry(), shade = new THREE.BufferAttribute(new Float32Array(3 * count), 3);
      geometry.setAttribute("position", new THREE.BufferAttribute(place, 3));
      geometry.setAttribute("shade", shade);
      const spacing = this.data.radius * Math.min(0.012, 1.1 / Math.sqrt(Math.max(count, 1)));
      const uniforms = { size: { value: spacing }, pixels: { value: 0.5 * this.canvas.height }, least: { value: 1.5 * Math.min(window.devicePixelRatio || 1, 2) }, most: { value: 40 } };
      const object = new THREE.Points(geometry, new THREE.ShaderMaterial({ vertexShader: VERTEX, fragmentShader: FRAGMENT, uniforms }));
      object.frustumCulled = false;
      this.world.add(object);
      this.cloud = { place, shade, uniforms, count, instance: new Uint16Array(bytes(points.instance)), photo: new Uint8Array(bytes(points.rgb)) };
    }

    _lines(corners, color, opacity = 1) {
      const geometry = new THREE.BufferGeometry();
      geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(corners), 3));
      return new THREE.LineSegments(geometry, new THREE.LineBasicMaterial({ color, transparent: true, opacity }));
    }

    _addBoxes() {
      this.boxes = new Map();
      this.boxGroup = new THREE.Scene();
      for (const item of this.data.instances) {
        if (!item.box) continue;
        const turn = new THREE.Quaternion(...item.box.quaternion_xyzw), half = item.box.size.map((length) => length / 2);
        const middle = this._local(item.box.center);
        const corner = (k) => new THREE.Vector3(k & 1 ? half[0] : -half[0], k & 2 ? half[1] : -half[1], k & 4 ? half[2] : -half[2]).applyQuaternion(turn).add(middle);
        const corners = [0, 1, 2, 3, 4, 5, 6, 7].map(corner);
        const edges = corners.flatMap((from, k) => [1, 2, 4].filter((bit) => !(k & bit)).flatMap((bit) => [...from, ...corners[k | bit]]));
        const box = this._lines(edges, item.color);
        box.userData = { turn, half, middle, corners };
        this.boxes.set(item.id, box);
        this.boxGroup.add(box);
      }
      this.world.add(this.boxGroup);
    }

    _addCameras() {
      const cameras = this.data.cameras.map((camera) => this._local(camera.center));
      const gaps = cameras.slice(1).map((place, k) => place.distanceTo(cameras[k])).sort((a, b) => a - b);
      const length = Math.min(Math.max(0.8 * (gaps[gaps.length >> 1] || Infinity), 0.012 * this.data.radius), 0.05 * this.data.radius);
      const lines = [];
      this.data.cameras.forEach((camera, k) => {
        const tip = cameras[k];
        const corners = [0, 1, 2, 3].map((c) => tip.clone().addScaledVector(new THREE.Vector3(...camera.corners.slice(3 * c, 3 * c + 3)), length));
        corners.forEach((corner, c) => lines.push(...tip, ...corner, ...corner, ...corners[(c + 1) % 4]));
      });
      this.cameraPlaces = cameras;
      this.cameraLines = this._lines(lines, "#aeb8c4", 0.75);
      this.world.add(this.cameraLines);
    }

    _addGrid() {
      const { radius, up, ground, unit } = this.data;
      const step = niceLength(radius / 4), reach = Math.ceil((1.5 * radius) / step);
      const seed = Math.abs(up[2]) > 0.5 ? new THREE.Vector3(1, 0, 0) : new THREE.Vector3(0, 0, 1);
      const first = seed.projectOnPlane(this.up).normalize(), second = new THREE.Vector3().crossVectors(this.up, first);
      const height = ground - this.origin.reduce((sum, value, k) => sum + value * up[k], 0);
      const at = (a, b) => this.up.clone().multiplyScalar(height).addScaledVector(first, a * step).addScaledVector(second, b * step);
      const lines = [];
      for (let k = -reach; k <= reach; k++) lines.push(...at(k, -reach), ...at(k, reach), ...at(-reach, k), ...at(reach, k));
      this.grid = this._lines(lines, "#59626d", 0.5);
      this.world.add(this.grid);
      const chosen = this.data.points.count < this.data.available ? `${this.data.points.count.toLocaleString("en")} of ${this.data.available.toLocaleString("en")} points · ` : "";
      this.scale.textContent = `${chosen}a square of the grid is ${lengthWords(step, unit)}`;
    }

    _apply(what, on) {
      if (!this.data) return;
      if (what === "names") this.labels.hidden = !on;
      else ({ boxes: this.boxGroup, cameras: this.cameraLines, grid: this.grid })[what].visible = on;
    }

    /** Corners of an instance's box, or where it has none, its points; null where it has neither. */
    _surroundings(item) {
      const box = this.boxes.get(item.id);
      if (box) return box.userData.corners;
      const { place, instance, count } = this.cloud, mine = [];
      for (let k = 0; k < count; k++) if (instance[k] === item.id) mine.push(new THREE.Vector3().fromArray(place, 3 * k));
      return mine.length ? mine : null;
    }

    /** (x, y, depth) in pixels of the canvas of local places, handed to `visit(index, x, y, depth)` where they are in front. */
    _project(place, count, visit) {
      const matrix = new THREE.Matrix4().multiplyMatrices(this.camera.projectionMatrix, this.camera.matrixWorldInverse).elements;
      const width = this.canvas.clientWidth / 2, height = this.canvas.clientHeight / 2;
      for (let k = 0; k < count; k++) {
        const x = place[3 * k], y = place[3 * k + 1], z = place[3 * k + 2];
        const w = matrix[3] * x + matrix[7] * y + matrix[11] * z + matrix[15];
        if (w <= 0) continue;
        visit(k, width * (1 + (matrix[0] * x + matrix[4] * y + matrix[8] * z + matrix[12]) / w), height * (1 - (matrix[1] * x + matrix[5] * y + matrix[9] * z + matrix[13]) / w), w);
      }
    }

    _pickPoint(x, y) {
      const near = [];
      this._project(this.cloud.place, this.cloud.count, (k, u, v, depth) => {
        const off = Math.hypot(u - x, v - y);
        if (off < 8) near.push([off, depth, k]);
      });
      if (!near.length) return null;
      const front = Math.min(...near.map(([, depth]) => depth)); // what lies behind the nearest surface is hidden by it
      const [, depth, k] = near.filter(([, away]) => away < 1.03 * front).sort((a, b) => a[0] - b[0])[0];
      return { id: this.cloud.instance[k], depth, xyz: [0, 1, 2].map((axis) => this.cloud.place[3 * k + axis] + this.origin[axis]) };
    }

    _pickCamera(x, y) {
      if (!this.shown.cameras) return null;
      let best = null;
      this._project(this.cameraPlaces.flatMap((place) => [...place]), this.cameraPlaces.length, (k, u, v, depth) => {
        const off = Math.hypot(u - x, v - y);
        if (off < 9 && (!best || off < best.off)) best = { off, depth, name: this.data.cameras[k].name };
      });
      return best;
    }

    _pickBox(x, y) {
      if (!this.shown.boxes) return 0;
      const eye = this.camera.position, frame = [this.canvas.clientWidth, this.canvas.clientHeight];
      const ray = new THREE.Vector3((2 * x) / frame[0] - 1, 1 - (2 * y) / frame[1], 0.5).unproject(this.camera).sub(eye).normalize();
      let best = [Infinity, 0];
      for (const [id, box] of this.boxes) {
        const { turn, half, middle } = box.userData, back = turn.clone().invert();
        const from = eye.clone().sub(middle).applyQuaternion(back).toArray(), along = ray.clone().applyQuaternion(back).toArray();
        let enter = 0, leave = Infinity;
        for (let axis = 0; axis < 3; axis++) {
          const sides = [(-half[axis] - from[axis]) / along[axis], (half[axis] - from[axis]) / along[axis]];
          enter = Math.max(enter, Math.min(...sides));
          leave = Math.min(leave, Math.max(...sides));
        }
        if (enter <= leave && enter < best[0]) best = [enter, id];
      }
      return best[1];
    }

    _placeNames() {
      if (!this.shown.names) return;
      const anchors = [];
      for (const item of this.data.instances) {
        const box = this.boxes.get(item.id);
        if (!box) continue;
        const top = box.userData.middle.clone().addScaledVector(this.up, box.userData.half[2]);
        this._project(top.toArray(), 1, (_, x, y, depth) => anchors.push({ item, x, y, depth }));
      }
      anchors.sort((a, b) => (b.item.id === this.selected) - (a.item.id === this.selected) || a.depth - b.depth);
      const taken = [], nodes = [];
      for (const { item, x, y } of anchors) {
        if (nodes.length >= this.options.labels) break;
        const words = `${item.class} ${item.id}`, width = Math.min(7.2 * words.length + 16, 208), left = x - width / 2, top = y - 24;
        if (left < 0 || top < 0 || left + width > this.canvas.clientWidth || top + 18 > this.canvas.clientHeight) continue;
        if (taken.some(([a, b, w]) => left < a + w + 3 && a < left + width + 3 && Math.abs(top - b) < 21)) continue;
        taken.push([left, top, width]);
        const node = document.createElement("span");
        node.textContent = words;
        node.style.transform = `translate(${left.toFixed(1)}px, ${top.toFixed(1)}px)`;
        node.style.borderColor = item.color;
        if (this.selected && item.id !== this.selected) node.style.opacity = "0.45";
        nodes.push(node);
      }
      this.labels.replaceChildren(...nodes);
    }

    _turnNorth() {
      if (!this.data.north) return;
      const away = this.controls.target.clone().sub(this.camera.position).projectOnPlane(this.up), north = new THREE.Vector3(...this.data.north).projectOnPlane(this.up);
      const angle = Math.atan2(new THREE.Vector3().crossVectors(away, north).dot(this.up), away.dot(north));
      this.arrow.setAttribute("transform", `rotate(${((-angle * 180) / Math.PI).toFixed(1)})`);
      this.letter.setAttribute("x", (-13 * Math.sin(angle)).toFixed(1));
      this.letter.setAttribute("y", (4 - 13 * Math.cos(angle)).toFixed(1));
    }

    _fillCard(camera = null) {
      const item = this.byId.get(this.selected);
      this.card.hidden = !item && !camera;
      this.card.replaceChildren();
      if (camera) {
        this.card.style.borderColor = "#aeb8c4";
        make("strong", "", this.card, camera.caption);
        make("span", "", this.card, "image");
        return;
      }
      if (!item) return;
      this.card.style.borderColor = item.color;
      const own = this.options.describe && this.options.describe(item);
      if (own) return void this.card.append(own);
      make("strong", "", this.card, `${item.class} ${item.id}`);
      const size = item.box && this.data.unit ? item.box.size.map((length) => length.toFixed(1)).join(" × ") + " m" : "";
      const facts = [size, item.images && `${item.images} images`, item.points && `${item.points.toLocaleString("en")} points`, item.score != null && `score ${item.score.toFixed(2)}`];
      make("span", "", this.card, facts.filter(Boolean).join(" · "));
    }
  };
})();
