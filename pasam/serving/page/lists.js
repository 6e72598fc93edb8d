// The list of open images, and that of the objects of one.

import { byId, element } from "./controls.js";
import { objectColour, share } from "./format.js";

// `entries` have id, name, icon and count of objects; `on` has open(id) and close(id).
export function showEntries(entries, open, on) {
  const rows = entries.map(({ id, name, icon, count }) => {
    const picture = element("img", { src: icon, alt: "", loading: "lazy" });
    const button = element("button", { type: "button", className: "entry" }, picture,
      element("b", { textContent: name }),
      element("span", { textContent: count ? `${count} object${count === 1 ? "" : "s"}` : "" }));
    if (id === open?.id) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => on.open(id));
    const away = element("button", { type: "button", className: "away", textContent: "×" });
    away.setAttribute("aria-label", `Close ${name}`);
    away.addEventListener("click", () => on.close(id));
    return element("li", {}, button, away);
  });
  byId("entries").replaceChildren(...rows);
  byId("entries").hidden = entries.length < 2;
}

// Rows of objects; a name that is just being written is left alone. `on` has select, rename and remove.
export function showObjects(history, currentColour, on) {
  const { objects } = history.now;
  byId("no-objects").hidden = objects.length > 0;
  const list = byId("objects");
  list.hidden = !objects.length;
  const old = new Map([...list.children].map((row) => [row.dataset.id, row]));
  const rows = objects.map((object, i) => {
    const row = old.get(object.id) ?? newRow(object.id, on);
    const [pick, name, area, away] = row.children;
    const isCurrent = object.id === history.now.current;
    pick.setAttribute("aria-pressed", String(isCurrent));
    pick.setAttribute("aria-label", `Object ${i + 1}, ${object.name}`);
    pick.lastChild.textContent = i + 1;
    pick.firstChild.style.setProperty("--c", isCurrent ? currentColour : objectColour(i));
    name.setAttribute("aria-label", `Name of object ${i + 1}`);
    if (document.activeElement !== name) name.value = object.name;
    area.textContent = object.mask ? share(object.mask) : "";
    away.setAttribute("aria-label", `Remove object ${i + 1}`);
    return row;
  });
  const same = rows.length === list.children.length && rows.every((row, i) => row === list.children[i]);
  if (!same) list.replaceChildren(...rows); // moving rows would take the focus away
}

function newRow(id, on) {
  const pick = element("button", { type: "button", className: "pick" }, element("i"), element("span"));
  pick.addEventListener("click", () => on.select(id));
  const name = element("input", { type: "text", maxLength: 80, autocomplete: "off", spellcheck: false });
  name.addEventListener("change", () => on.rename(id, name.value.trim() || "object"));
  const away = element("button", { type: "button", className: "away", textContent: "×" });
  away.addEventListener("click", () => on.remove(id));
  const row = element("li", {}, pick, name, element("span", { className: "small" }), away);
  row.dataset.id = id;
  return row;
}
