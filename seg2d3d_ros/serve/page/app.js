// The page: one map, what is selected in it, and what the server says.

import { byId, get, make, post } from "./dom.js";
import { Gallery } from "./gallery.js";
import { Picture } from "./picture.js";
import { Tools } from "./tools.js";

class App {
  constructor() {
    this.map = { instances: [], images: [], edits: [], notes: [], revision: "" };
    this.selected = new Set();
    this.byId = new Map();
    this.captions = new Map();
    this.busy = false;
    this.space = null;
    this.gallery = new Gallery(this);
    this.picture = new Picture(this);
    this.tools = new Tools(this);
    byId("show-picture").addEventListener("click", () => this.view("picture"));
    byId("show-space").addEventListener("click", () => this.view("space"));
    byId("space").addEventListener("instancepick", (event) => this.pickedInSpace(event.detail));
    byId("space").addEventListener("camerapick", (event) => {
      this.view("picture");
      this.picture.show(event.detail.name);
    });
  }

  async start() {
    try {
      this.take(await get("/api/map"));
      const first = this.map.images.find((image) => image.instances.length) || this.map.images[0];
      if (first) await this.picture.show(first.name);
      setInterval(() => this.look(), 5000);
    } catch (error) {
      this.say(error.message, true);
    }
  }

  take(map) {
    this.map = map;
    this.byId = new Map(map.instances.map((item) => [item.id, item]));
    this.captions = new Map(map.images.map((image) => [image.name, image.caption]));
    this.selected = new Set([...this.selected].filter((id) => this.byId.has(id)));
    document.title = `${map.name}: map`;
    byId("title").textContent = map.name;
    this.gallery.load();
    this.picture.list();
    this.drawEdits();
    byId("notes-title").textContent = `Notes (${map.notes.length})`;
    byId("notes").replaceChildren(...map.notes.map((text) => make("li", { textContent: text })));
    document.body.dataset.revision = map.revision;
    this.selection();
  }

  async look() {
    if (this.busy || document.hidden) return;
    try {
      const map = await get("/api/map");
      if (this.busy || map.revision === this.map.revision) return;
      this.take(map);
      await this.again();
      this.say("the map was changed elsewhere, and is shown as it is now");
    } catch (error) {
      this.say(error.message, true);
    }
  }

  async again() {
    if (this.picture.name) await this.picture.show(this.picture.name);
    if (this.space) await this.loadSpace();
    else this.spaceStale = true;
  }

  classes() {
    return [...new Set(this.map.instances.map((item) => item.class))].sort((a, b) => a.localeCompare(b));
  }

  pick(id, more, fromGallery) {
    if (this.busy) return;
    if (!more) this.selected.clear();
    if (id && more && this.selected.has(id)) this.selected.delete(id);
    else if (id) this.selected.add(id);
    if (this.tools.mode) this.tools.leave();
    this.selection();
    const item = this.byId.get(id);
    if (!item) return;
    if (fromGallery) {
      const here = this.map.images.find((image) => image.name === this.picture.name);
      if (item.best && !(here && here.instances.includes(id))) this.picture.show(item.best);
      if (this.space) this.space.fit(id);
    } else this.gallery.reveal(id);
  }

  pickedInSpace({ id, xyz }) {
    if (this.tools.mode === "split") {
      if (xyz) this.tools.placed([...xyz]);
      else this.say("no point of the map lies there; click on one", true);
    } else if (!(this.selected.size === 1 && this.selected.has(id))) this.pick(id, this.shift, false);
  }

  selection() {
    this.gallery.mark();
    if (byId("only").checked) this.picture.list();
    if (this.picture.name) this.picture.paint();
    if (this.space) this.space.select(this.selected.size === 1 ? [...this.selected][0] : 0);
    this.drawDetails();
    this.tools.update();
  }

  drawDetails() {
    const items = [...this.selected].map((id) => this.byId.get(id)).filter(Boolean);
    if (!items.length) {
      byId("details").replaceChildren(make("p", { textContent: "Click an instance in the image, in 3D or in the list; Shift adds others." }));
      return;
    }
    byId("details").replaceChildren(...items.map((item) => {
      const unit = this.map.metric ? " m" : "";
      const size = item.size ? `${item.size.map((value) => value.toFixed(1)).join(" × ")}${unit}` : "no place in 3D";
      const go = (name) => make("button", { type: "button", className: "link", textContent: this.captions.get(name) || name, on: { click: () => { this.view("picture"); this.picture.show(name); } } });
      return make("article", {},
        make("h2", { textContent: `${item.class} ${item.id}` }),
        make("p", { textContent: `${size}; ${item.points} points; sure: ${Math.round(item.score * 100)} %` }),
        make("p", { className: "where" }, `${item.images.length} images: `, ...item.images.slice(0, 40).flatMap((name) => [go(name), " "])),
      );
    }));
  }

  drawEdits() {
    const words = { shown: "", undone: "undone", undo: "", lost: "finds its objects no longer" };
    byId("edits").replaceChildren(...[...this.map.edits].reverse().map((edit) => {
      const state = words[edit.state] ? ` (${words[edit.state]}${edit.state === "lost" ? `: ${edit.why}` : ""})` : "";
      const line = make("li", { value: edit.id, className: edit.state, title: `${edit.time} ${edit.author}` }, `${edit.what}${state} `);
      if (edit.state === "shown" || edit.state === "lost" || edit.state === "undo")
        line.append(make("button", { type: "button", className: "link", textContent: "undo", on: { click: () => this.correct({ op: "undo", of: edit.id }, `taking correction ${edit.id} back`) } }));
      return line;
    }));
  }

  async view(which) {
    const space = which === "space";
    byId("picture").hidden = space;
    byId("space").hidden = !space;
    byId("show-picture").setAttribute("aria-pressed", String(!space));
    byId("show-space").setAttribute("aria-pressed", String(space));
    if (space && (!this.space || this.spaceStale)) await this.loadSpace();
    if (!space) this.picture.fit();
  }

  async loadSpace() {
    if (!(window.MapViewer && window.MapViewer.supported())) {
      this.say("this browser shows no 3D (WebGL is missing)", true);
      return;
    }
    try {
      const scene = await get("/api/scene");
      this.spaceStale = false;
      if (!Object.keys(scene).length) this.say("the map has no model to be shown in 3D", true);
      else if (this.space) this.space.load(scene, true);
      else {
        this.space = new window.MapViewer(byId("space"), scene, { activate: "always", labels: 40 });
        this.space.select(this.selected.size === 1 ? [...this.selected][0] : 0);
        byId("space").addEventListener("pointerdown", (event) => { this.shift = event.shiftKey || event.ctrlKey; }, true);
      }
    } catch (error) {
      this.say(error.message, true);
    }
  }

  async correct(asked, words) {
    if (this.busy) return;
    this.busy = true;
    document.body.dataset.busy = "true";
    this.say(`${words} …`);
    this.tools.update();
    try {
      const answer = await post("/api/correct", { ...asked, revision: this.map.revision });
      this.selected = new Set(answer.instances);
      this.tools.mode = "";
      this.take(answer.map);
      this.busy = false;
      this.tools.leave();
      await this.again();
      this.say([answer.what, ...answer.notes].join(" — "), answer.notes.length > 0);
    } catch (error) {
      this.busy = false;
      this.tools.leave();
      this.say(error.message, true);
      if (error.status === 409) await this.look();
    } finally {
      delete document.body.dataset.busy;
      this.tools.update();
    }
  }

  say(text, wrong = false) {
    byId("message").textContent = text;
    byId("message").className = wrong ? "wrong" : "";
  }
}

new App().start();
