// Connects buttons, keys, pointer and files with what they do.

import { Stroke } from "./brush.js";
import { byId, complain, turn } from "./controls.js";
import { saveAll, saveCoco, saveCutOut, saveMask, savePolygons, saveRle } from "./downloads.js";
import { objectColour } from "./format.js";
import { listenForFiles } from "./file_input.js";
import { listen } from "./pointing.js";
import { isKept } from "./storage.js";
import { followTheme } from "./theme.js";

// The object that is chosen or, without one, all that have a mask.
function chosenOf({ current, masked }) {
  return current?.mask?.area ? [current] : masked;
}

function commandsOf({ state, work, look, ask, findEverything, failed }) {
  const place = () => ({ name: work.open.name, image: work.image });
  const saving = (save, objects) => () => Promise.resolve(save(objects(work.history), place())).catch(failed);
  const all = ({ masked }) => masked;
  return {
    undo: () => work.history?.undo() && ask(),
    redo: () => work.history?.redo() && ask(),
    clear: () => { if (work.history) { work.history.remove(work.history.now.current); ask(); } },
    next: async () => {
      await state.pending; // its mask may still be under way
      if (work.history?.current) { work.history.select(null); ask(); }
    },
    larger: () => { look.viewport.zoom(1.5); look.draw(); },
    smaller: () => { look.viewport.zoom(1 / 1.5); look.draw(); },
    fit: () => { look.viewport.fit(); look.draw(); },
    everything: findEverything,
    "get-png": saving(saveMask, chosenOf),
    "get-cut": saving(saveCutOut, chosenOf),
    "get-rle": saving(saveRle, all),
    "get-coco": saving(saveCoco, all),
    "get-polygons": saving(savePolygons, all),
    "get-all": async () => {
      turn("get-all", "The zip is being made");
      await saveAll(work.marked(), createImageBitmap).catch(failed);
      look.refreshControls();
    },
  };
}

// Brush and eraser on the current object's mask.
function painting({ state, work, client, look, ask }) {
  return {
    paint: (place) => {
      if (!work.image) return;
      const { current, now } = work.history;
      const erases = look.tool() === "eraser";
      if (erases && !state.stroke && !current?.mask?.area) {
        complain("There is no mask to erase from: choose an object of the list, or click one first.");
        return;
      }
      if (!state.stroke) {
        client.begin(); // what a model still answers would cover the stroke
        const number = current ? now.objects.indexOf(current) : now.objects.length;
        state.stroke = new Stroke(current?.mask, objectColour(number), work.image);
      }
      state.stroke.to(place, byId("brush-size").value / look.viewport.scale, erases);
      state.brush = place;
      look.draw();
    },
    painted: () => {
      if (!state.stroke) return;
      const mask = state.stroke.mask();
      state.stroke = null;
      work.history.mend(mask);
      ask();
    },
  };
}

function wireKeeping({ work, failed }) {
  const tell = () => {
    byId("keep-note").textContent = isKept()
      ? "Images, objects and names stay on this computer until they are closed here, or this is unticked."
      : "Off: closing this tab forgets images and objects.";
  };
  byId("keep").checked = isKept();
  byId("keep").addEventListener("change", () => work.setKept(byId("keep").checked).catch(failed).then(tell));
  tell();
}

// Corrections, where the service takes any.
function wireFeedback({ state, work, client, look, failed }) {
  byId("who").addEventListener("input", () => look.refreshControls());
  byId("send").addEventListener("click", async () => {
    turn("send", "It is being sent");
    byId("sent").textContent = "";
    const words = { who: byId("who").value.trim(), why: byId("why").value.trim() };
    try {
      const { id } = await client.feedback(state.chosen, work.history.current, words);
      byId("sent").textContent = `Sent; it waits for review as ${id}.`;
    } catch (error) {
      failed(error);
    }
    look.refreshControls();
  });
}

export function wire(page) {
  const { state, work, look, ask, refresh, openFiles, hovered } = page;
  const commands = commandsOf(page);
  for (const [id, run] of Object.entries(commands)) byId(id).addEventListener("click", run);
  byId("tools").addEventListener("change", refresh);
  listen(look.canvas, look.viewport, look.tool, {
    ...painting(page),
    point: (x, y, label) => { if (work.image) { work.history.addPoint(x, y, label); ask(); } },
    box: (...corners) => { if (work.image) { work.history.setBox(...corners); ask(); } },
    draft: (box) => { state.draft = box; look.draw(); },
    cross: (place) => { state.cross = place; look.draw(); },
    moved: () => look.draw(),
    hover: (place) => {
      const brush = place && ["brush", "eraser"].includes(look.tool()) ? place : null;
      if (brush || state.brush) { state.brush = brush; look.draw(); }
      hovered(place);
    },
    command: (name) => commands[name](),
  });
  byId("split").addEventListener("input", (event) => { state.split = event.target.value / 100; look.draw(); });
  byId("compare").addEventListener("change", (event) => {
    state.compared = state.models.find((model) => model.name === event.target.value) ?? null;
    ask();
  });
  for (const id of ["show-mask", "show-preview"]) byId(id).addEventListener("change", refresh);
  for (const id of ["opacity", "brush-size"]) byId(id).addEventListener("input", () => look.draw());
  for (const id of ["show-unsure", "show-mined"]) byId(id).addEventListener("change", ask);
  listenForFiles(byId("file"), openFiles);
  wireKeeping(page);
  wireFeedback(page);
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.target.type === "text") return; // a name has its own undo
    const key = event.key.toLowerCase();
    const name = key === "z" ? (event.shiftKey ? "redo" : "undo") : key === "y" ? "redo" : null;
    if (name) { event.preventDefault(); commands[name](); }
  });
  const { canvas, viewport } = look;
  new ResizeObserver(() => { viewport.resize(canvas.clientWidth, canvas.clientHeight); look.draw(); }).observe(canvas);
  followTheme(byId("theme"), () => look.draw()); // layers know their colour
}
