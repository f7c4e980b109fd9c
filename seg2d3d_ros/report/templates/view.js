/* Puts the 3D view in place of the picture, where the browser can draw it. */
"use strict";
(() => {
  const stage = document.getElementById("stage"), data = document.getElementById("scenes");
  if (!stage || !data || !MapViewer.supported()) return;
  const scenes = JSON.parse(data.textContent);
  const element = document.createElement("div");
  stage.append(element);
  stage.classList.add("live");
  const describe = (item) => {
    const box = document.createElement("div"), name = document.createElement("strong"), facts = document.createElement("span");
    name.textContent = `${item.class} ${item.id}`;
    const unit = viewer.data.unit ? " m" : "";
    const parts = [item.box && item.box.size.map((length) => length.toFixed(1)).join(" × ") + unit, `${item.images} images`, item.score != null && `score ${item.score.toFixed(2)}`];
    facts.textContent = parts.filter(Boolean).join(" · ") + " ";
    box.append(name, facts);
    if (document.getElementById(`instance-${item.id}`)) {
      const link = document.createElement("a");
      link.href = `#instance-${item.id}`;
      link.textContent = "Pictures";
      box.append(link);
    }
    return box;
  };
  let viewer;
  try {
    viewer = new MapViewer(element, scenes[0], { activate: "focus", describe });
  } catch {
    stage.classList.remove("live");
    element.remove();
    return;
  }
  let shown = 0;
  const choose = document.getElementById("scene");
  const open = (index) => {
    if (index !== shown) viewer.load(scenes[(shown = index)]);
    if (choose) choose.value = String(index);
  };
  if (choose) {
    choose.parentElement.hidden = scenes.length < 2;
    choose.addEventListener("change", () => open(Number(choose.value)));
  }
  for (const link of document.querySelectorAll("a[data-instance]")) {
    const id = Number(link.dataset.instance), index = scenes.findIndex((scene) => scene.instances.some((item) => item.id === id));
    link.hidden = index < 0;
    link.addEventListener("click", () => {
      open(index);
      viewer.select(id);
      viewer.fit(id);
    });
  }
})();
