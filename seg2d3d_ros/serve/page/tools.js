// What may be corrected, by buttons and keys.

import { ask, byId, make } from "./dom.js";

const TOOLS = [
  ["merge", "m", "Merge", "the selected instances are one object (select two or more with Shift)"],
  ["split", "s", "Split", "the selected instance is two objects: draw a line in the image, or click two places in 3D"],
  ["rename", "r", "Rename", "call the selected instances something else"],
  ["delete", "Delete", "Delete", "the selected instances are no objects"],
  ["redraw", "d", "Redraw", "click what the object is in the image; nothing selected: a new object"],
  ["undo", "u", "Undo", "take the newest correction back"],
];

export class Tools {
  constructor(app) {
    this.app = app;
    this.mode = "";
    this.ends = [];
    this.buttons = new Map();
    for (const [name, key, text, words] of TOOLS) {
      const button = make("button", { type: "button", textContent: text, title: `${words} (${key})`, on: { click: () => this.use(name) } });
      button.setAttribute("aria-keyshortcuts", key);
      this.buttons.set(name, button);
    }
    this.apply = make("button", { type: "button", textContent: "Apply (Enter)", className: "primary", hidden: true, on: { click: () => this.finish() } });
    this.cancel = make("button", { type: "button", textContent: "Cancel (Esc)", hidden: true, on: { click: () => this.leave() } });
    byId("tools").replaceChildren(...this.buttons.values(), this.apply, this.cancel);
    document.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.target.closest("input:not([type=checkbox]):not([type=range]), textarea, dialog") || event.ctrlKey || event.metaKey || event.altKey) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const inSpace = Boolean(event.target.closest("#space"));
    const tool = TOOLS.find(([, key]) => key === event.key || (key === "Delete" && event.key === "Backspace"));
    const others = {
      Escape: () => (this.mode ? this.leave() : this.app.pick(0, false, false)),
      Enter: () => this.mode === "redraw" && event.target.tagName !== "BUTTON" && this.finish(),
      "/": () => byId("search").focus(),
      i: () => this.app.view("picture"),
      3: () => this.app.view("space"),
      ArrowLeft: () => !inSpace && event.target.tagName !== "SELECT" && this.app.picture.step(-1),
      ArrowRight: () => !inSpace && event.target.tagName !== "SELECT" && this.app.picture.step(1),
    };
    if (tool && !(inSpace && event.key === "r")) {
      event.preventDefault();
      this.use(tool[0]);
    } else if (others[event.key]) {
      if (event.key === "/") event.preventDefault();
      others[event.key]();
    }
  }

  update() {
    const count = this.app.selected.size;
    const possible = { merge: count > 1, split: count === 1, rename: count > 0, delete: count > 0, redraw: count < 2, undo: this.app.map.edits.some((edit) => edit.state !== "undo" && edit.state !== "undone") };
    for (const [name, button] of this.buttons) {
      button.disabled = this.app.busy || !possible[name];
      button.setAttribute("aria-pressed", String(this.mode === name));
    }
    this.apply.hidden = this.mode !== "redraw";
    this.apply.disabled = this.app.busy || !this.app.picture.clicks.some((click) => click.positive);
    this.cancel.hidden = !this.mode;
  }

  async use(name) {
    if (this.app.busy || this.buttons.get(name).disabled) return;
    const ids = [...this.app.selected].sort((a, b) => a - b);
    this.leave();
    if (name === "merge") await this.app.correct({ op: "merge", instances: ids }, `merging ${ids.join(", ")}`);
    else if (name === "delete") await this.app.correct({ op: "delete", instances: ids }, `deleting ${ids.join(", ")}`);
    else if (name === "undo") await this.app.correct({ op: "undo" }, "taking the newest correction back");
    else if (name === "rename") {
      const first = this.app.byId.get(ids[0]);
      const called = await ask(`Call ${ids.join(", ")}:`, first ? first.class : "", this.app.classes());
      if (called) await this.app.correct({ op: "rename", instances: ids, name: called }, `renaming ${ids.join(", ")}`);
    } else {
      this.mode = name;
      if (name === "redraw") this.app.view("picture");
      const upright = this.app.space ? "; or, in the 3D view, click two points: an upright plane through both divides it" : "";
      const words = name === "split"
        ? `Draw a line across instance ${ids[0]} in the image${upright}.`
        : `Click the object${ids.length ? ` in the place of instance ${ids[0]}` : ""}; right click or Alt: not this. Enter applies.`;
      byId("hint").textContent = words;
      document.body.dataset.mode = name;
      this.update();
    }
  }

  drawn(line) {
    const [instance] = this.app.selected;
    this.app.correct({ op: "split", instance, line }, `splitting ${instance}`);
  }

  placed(xyz) {
    this.ends.push(xyz);
    if (this.ends.length < 2) {
      byId("hint").textContent = "Now click the second point.";
      return;
    }
    const [instance] = this.app.selected;
    this.app.correct({ op: "split", instance, above: { from: this.ends[0], to: this.ends[1] } }, `splitting ${instance}`);
  }

  clicked() {
    this.update();
  }

  finish() {
    const { name, clicks } = this.app.picture;
    if (this.mode !== "redraw" || !clicks.some((click) => click.positive)) return;
    const [instance] = this.app.selected;
    const asked = { op: "redraw", image: name, clicks, level: "fine" };
    this.app.correct(instance ? { ...asked, instance } : asked, instance ? `redrawing ${instance}` : "drawing a new object");
  }

  leave() {
    this.mode = "";
    this.ends = [];
    byId("hint").textContent = "";
    delete document.body.dataset.mode;
    this.app.picture.clear();
    this.update();
  }
}
