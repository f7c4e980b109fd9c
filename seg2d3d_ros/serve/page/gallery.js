// The cards of all instances: filtered, sorted, searched.

import { byId, make, pictureAddress } from "./dom.js";

export class Gallery {
  constructor(app) {
    this.app = app;
    for (const id of ["search", "class", "order"]) byId(id).addEventListener("input", () => this.draw());
    this.near = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        target.src = target.dataset.src;
        this.near.unobserve(target);
      }
    }, { rootMargin: "300px" });
  }

  load() {
    const chosen = byId("class").value;
    const classes = this.app.classes();
    byId("class").replaceChildren(
      make("option", { value: "", textContent: "all classes" }),
      ...classes.map((name) => make("option", { value: name, textContent: name })),
    );
    byId("class").value = classes.includes(chosen) ? chosen : "";
    this.draw();
  }

  shown() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const only = byId("class").value;
    const captions = this.app.captions;
    const found = this.app.map.instances.filter((item) => {
      if (only && item.class !== only) return false;
      if (!words.length) return true;
      const text = `${item.id} ${item.class} ${item.images.map((name) => `${name} ${captions.get(name)}`).join(" ")}`.toLowerCase();
      return words.every((word) => (/^\d+$/.test(word) && String(item.id) === word) || (!/^\d+$/.test(word) && text.includes(word)));
    });
    const volume = (item) => (item.size ? item.size[0] * Math.max(item.size[1], 0.1) * Math.max(item.size[2], 0.1) : 0);
    const orders = {
      id: (a, b) => a.id - b.id,
      score: (a, b) => a.score - b.score,
      images: (a, b) => b.images.length - a.images.length,
      points: (a, b) => b.points - a.points,
      size: (a, b) => volume(b) - volume(a),
    };
    return found.sort((a, b) => orders[byId("order").value](a, b) || a.id - b.id);
  }

  draw() {
    const items = this.shown();
    byId("count").textContent = `${items.length} of ${this.app.map.instances.length} instances`;
    this.near.disconnect();
    byId("cards").replaceChildren(...items.map((item) => this.card(item)));
    this.mark();
  }

  card(item) {
    const picture = make("img", { alt: "", loading: "lazy", decoding: "async" });
    if (item.best) {
      picture.dataset.src = pictureAddress("thumb", 320, item.id, this.app.map.revision);
      this.near.observe(picture);
    }
    const swatch = make("span", { className: "swatch" });
    swatch.style.background = item.color;
    const marks = [...item.edited, ...(item.prompted ? ["prompted"] : [])].join(", ");
    const words = `${item.images.length} images, ${item.points} points, ${Math.round(item.score * 100)} %`;
    const button = make("button", { type: "button", className: "card", title: "Shift adds to the selection" },
      picture,
      make("span", { className: "name" }, swatch, `${item.class} ${item.id}`),
      make("small", { textContent: marks ? `${words} · ${marks}` : words }),
    );
    button.addEventListener("click", (event) => this.app.pick(item.id, event.shiftKey || event.ctrlKey || event.metaKey, true));
    return make("li", { data: { id: String(item.id) } }, button);
  }

  mark() {
    for (const card of byId("cards").children) {
      const on = this.app.selected.has(Number(card.dataset.id));
      card.firstChild.setAttribute("aria-pressed", String(on));
    }
  }

  reveal(id) {
    const card = [...byId("cards").children].find((item) => Number(item.dataset.id) === id);
    if (card) card.scrollIntoView({ block: "nearest" });
  }
}
