// One photograph with its instances in colour; clicks become instances, lines and places in the image's own pixels.

import { byId, get, make, pictureAddress } from "./dom.js";

export class Picture {
  constructor(app) {
    this.app = app;
    this.name = "";
    this.ids = null;
    this.line = null;
    this.clicks = [];
    this.turn = 0;
    const overlay = byId("overlay");
    overlay.addEventListener("pointerdown", (event) => this.down(event));
    overlay.addEventListener("pointermove", (event) => this.move(event));
    overlay.addEventListener("pointerup", (event) => this.up(event));
    overlay.addEventListener("contextmenu", (event) => this.app.tools.mode === "redraw" && event.preventDefault());
    byId("images").addEventListener("change", (event) => this.show(event.target.value));
    byId("previous").addEventListener("click", () => this.step(-1));
    byId("next").addEventListener("click", () => this.step(1));
    byId("only").addEventListener("change", () => this.list());
    byId("strength").addEventListener("input", () => this.paint());
    new ResizeObserver(() => this.fit()).observe(byId("canvas-box"));
  }

  names() {
    const all = this.app.map.images;
    const wanted = [...this.app.selected];
    const some = byId("only").checked && wanted.length ? all.filter((image) => wanted.some((id) => image.instances.includes(id))) : all;
    return (some.length ? some : all).map((image) => image.name);
  }

  list() {
    const names = this.names();
    const option = (name) => make("option", { value: name, textContent: this.app.captions.get(name) || name });
    byId("images").replaceChildren(...names.map(option));
    if (!names.includes(this.name) && names.length) this.show(names[0]);
    else byId("images").value = this.name;
  }

  step(by) {
    const names = this.names();
    const place = names.indexOf(this.name);
    if (names.length) this.show(names[(place + by + names.length) % names.length]);
  }

  async show(name) {
    const turn = ++this.turn;
    const changed = name !== this.name;
    this.name = name;
    byId("images").value = name;
    if (changed) this.app.tools.leave();
    try {
      const size = await get(`/api/size/${name.split("/").map(encodeURIComponent).join("/")}`);
      const width = size.width > 1280 ? 1920 : 1280;
      const revision = this.app.map.revision;
      const [photo, labels] = await Promise.all([
        loaded(pictureAddress("photo", width, name, "")).catch(() => null),
        loaded(pictureAddress("labels", width, name, revision)).catch(() => null),
      ]);
      if (turn !== this.turn) return;
      this.size = size;
      const shape = photo || labels;
      if (!shape) throw new Error("neither the photograph nor its labels can be shown");
      if (!photo) this.app.say("the photograph is no longer where it was; its labels are shown", true);
      const canvas = byId("photo");
      canvas.width = shape.naturalWidth;
      canvas.height = shape.naturalHeight;
      if (photo) canvas.getContext("2d").drawImage(photo, 0, 0);
      this.ids = labels ? this.read(labels) : null;
      this.paint();
      this.fit();
      byId("canvas-box").dataset.shown = name;
    } catch (error) {
      if (turn === this.turn) this.app.say(error.message, true);
    }
  }

  read(image) {
    const canvas = make("canvas", { width: image.naturalWidth, height: image.naturalHeight });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const ids = new Uint16Array(canvas.width * canvas.height);
    for (let k = 0; k < ids.length; k++) ids[k] = data[4 * k] * 256 + data[4 * k + 1];
    return { width: canvas.width, height: canvas.height, ids };
  }

  paint() {
    const overlay = byId("overlay");
    const base = this.ids || { width: byId("photo").width, height: byId("photo").height, ids: null };
    overlay.width = base.width;
    overlay.height = base.height;
    const context = overlay.getContext("2d");
    if (base.ids && base.width) {
      const strength = Number(byId("strength").value) * 2.55;
      const colors = new Map(this.app.map.instances.map((item) => [item.id, Number.parseInt(item.color.slice(1), 16)]));
      const picture = context.createImageData(base.width, base.height);
      const { ids, width } = base;
      const sums = new Map();
      for (let k = 0; k < ids.length; k++) {
        const id = ids[k];
        if (!id) continue;
        const color = colors.get(id) ?? 0x888888;
        const chosen = this.app.selected.has(id);
        const border = ids[k - 1] !== id || ids[k + 1] !== id || ids[k - width] !== id || ids[k + width] !== id
          || (chosen && (ids[k - 2] !== id || ids[k + 2] !== id || ids[k - 2 * width] !== id || ids[k + 2 * width] !== id));
        const light = chosen && border;
        picture.data[4 * k] = light ? 255 : color >> 16;
        picture.data[4 * k + 1] = light ? 255 : (color >> 8) & 255;
        picture.data[4 * k + 2] = light ? 255 : color & 255;
        picture.data[4 * k + 3] = border ? 255 : chosen ? Math.min(255, strength * 1.5) : strength;
        const sum = sums.get(id) || [0, 0, 0];
        sum[0] += k % width;
        sum[1] += Math.floor(k / width);
        sum[2] += 1;
        sums.set(id, sum);
      }
      context.putImageData(picture, 0, 0);
      this.writeNames(context, sums);
    }
    this.drawMarks(context);
  }

  writeNames(context, sums) {
    const size = Math.max(11, Math.round(byId("overlay").width / 75));
    context.font = `600 ${size}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineJoin = "round";
    context.lineWidth = size / 4;
    for (const [id, [x, y, count]] of sums) {
      const item = this.app.byId.get(id);
      if (!item || count < size * size * 4) continue;
      const text = `${item.class} ${id}`;
      context.strokeStyle = "rgba(0, 0, 0, .75)";
      context.strokeText(text, x / count, y / count);
      context.fillStyle = "#fff";
      context.fillText(text, x / count, y / count);
    }
  }

  drawMarks(context) {
    const zoom = this.size ? context.canvas.width / this.size.width : 1;
    context.lineWidth = Math.max(2, context.canvas.width / 500);
    if (this.line) {
      const [from, to] = this.line.map(([x, y]) => [x * zoom, y * zoom]);
      const [dx, dy] = [(to[0] - from[0]) * 50, (to[1] - from[1]) * 50];
      context.strokeStyle = "rgba(255, 255, 255, .6)";
      context.setLineDash([8, 6]);
      context.beginPath();
      context.moveTo(from[0] - dx, from[1] - dy);
      context.lineTo(to[0] + dx, to[1] + dy);
      context.stroke();
      context.setLineDash([]);
      for (const [color, width] of [["#000", 2], ["#fff", 1]]) {
        context.strokeStyle = color;
        context.lineWidth = width * Math.max(2, context.canvas.width / 400);
        context.beginPath();
        context.moveTo(...from);
        context.lineTo(...to);
        context.stroke();
      }
    }
    for (const { xy, positive } of this.clicks) {
      context.fillStyle = positive ? "#18c964" : "#ff2d55";
      context.strokeStyle = "#fff";
      context.beginPath();
      context.arc(xy[0] * zoom, xy[1] * zoom, Math.max(5, context.canvas.width / 200), 0, 7);
      context.fill();
      context.stroke();
    }
  }

  place(event) {
    const overlay = byId("overlay");
    const box = overlay.getBoundingClientRect();
    const size = this.size || { width: overlay.width, height: overlay.height };
    const clamp = (value, limit) => Math.min(Math.max(value, 0), limit - 0.01);
    return [
      clamp(((event.clientX - box.left) / box.width) * size.width, size.width),
      clamp(((event.clientY - box.top) / box.height) * size.height, size.height),
    ];
  }

  idAt([x, y]) {
    if (!this.ids || !this.size) return 0;
    const column = Math.min(this.ids.width - 1, Math.floor((x / this.size.width) * this.ids.width));
    const row = Math.min(this.ids.height - 1, Math.floor((y / this.size.height) * this.ids.height));
    return this.ids.ids[row * this.ids.width + column];
  }

  down(event) {
    if (!this.name || this.app.busy) return;
    const place = this.place(event);
    const mode = this.app.tools.mode;
    if (mode === "split") {
      byId("overlay").setPointerCapture(event.pointerId);
      this.line = [place, place];
    } else if (mode === "redraw") {
      event.preventDefault();
      this.clicks.push({ xy: place, positive: event.button === 0 && !event.altKey });
      this.app.tools.clicked();
      this.paint();
    } else if (event.button === 0) {
      this.app.pick(this.idAt(place), event.shiftKey || event.ctrlKey || event.metaKey, false);
    }
  }

  move(event) {
    if (this.app.tools.mode === "split" && this.line && event.buttons) {
      this.line[1] = this.place(event);
      this.paint();
    } else if (!event.buttons) {
      const item = this.app.byId.get(this.idAt(this.place(event)));
      byId("overlay").title = item ? `${item.class} ${item.id}` : "";
    }
  }

  up() {
    if (this.app.tools.mode !== "split" || !this.line) return;
    const [[x0, y0], [x1, y1]] = this.line;
    if (Math.hypot(x1 - x0, y1 - y0) < 3) {
      this.line = null;
      this.paint();
      return;
    }
    this.app.tools.drawn({ image: this.name, from: this.line[0], to: this.line[1] });
  }

  clear() {
    this.line = null;
    this.clicks = [];
    if (this.name) this.paint();
  }

  fit() {
    const box = byId("canvas-box");
    const { width, height } = byId("photo");
    if (!width || !box.clientWidth) return;
    const scale = Math.min(box.clientWidth / width, box.clientHeight / height);
    for (const id of ["photo", "overlay"]) {
      byId(id).style.width = `${Math.round(width * scale)}px`;
      byId(id).style.height = `${Math.round(height * scale)}px`;
    }
  }
}

function loaded(address) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("a picture cannot be loaded"));
    image.src = address;
  });
}
