// Elements, and requests to the server. Texts of the map only ever become text nodes.

export const byId = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "data") Object.assign(element.dataset, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

export async function get(path) {
  return answered(await fetch(path));
}

export async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return answered(await fetch(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

async function answered(response) {
  let content = {};
  try {
    content = await response.json();
  } catch {
    content = {};
  }
  if (response.ok) return content;
  const error = new Error(content.error || (response.status === 403 ? "the server no longer knows this page; open its address again" : `the server answers ${response.status}`));
  error.status = response.status;
  throw error;
}

export function pictureAddress(kind, width, name, revision) {
  const path = String(name).split("/").map(encodeURIComponent).join("/");
  return `/api/picture/${kind}/${width}/${path}?v=${encodeURIComponent(revision)}`;
}

export function ask(words, value, known) {
  const dialog = byId("ask");
  byId("ask-words").textContent = words;
  byId("ask-value").value = value;
  byId("known-classes").replaceChildren(...known.map((name) => make("option", { value: name })));
  byId("ask-cancel").onclick = () => dialog.close("cancel");
  dialog.returnValue = "cancel";
  dialog.showModal();
  byId("ask-value").select();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "ok" ? byId("ask-value").value.trim() : ""), { once: true });
  });
}
