// The page: holds what is shown, and asks the service whenever that changes.

import * as api from "./api.js";
import { Client } from "./client.js";
import {
  busy, byId, complain, factsOf, hint, pressExample, say, showCompare, showExamples, showFacts, showModels,
  showSearch, showTags,
} from "./controls.js";
import { saveCoco, saveCutOut, savePng, saveRle } from "./downloads.js";
import { heated, silhouette, stacked, tinted } from "./layers.js";
import { Painter } from "./painter.js";
import { listen } from "./pointing.js";
import { PromptHistory } from "./prompt_history.js";
import { listenForFiles } from "./file_input.js";
import { followTheme } from "./theme.js";
import { Viewport } from "./viewport.js";
import { colourOf, milliseconds, promptColours, titleOf } from "./format.js";

const OBJECTS = ["#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2"];

const canvas = byId("image");
const viewport = new Viewport();
const painter = new Painter(canvas, viewport);
const client = new Client();
const state = {
  models: [], chosen: null, compared: null, image: null, name: "image", history: new PromptHistory(),
  found: new Map(), everything: null, objects: null, searching: false, split: 0.4, draft: null, cross: null, embedded: 0,
};

const ticked = (id) => byId(id).checked && !byId(id).disabled;
const shownModels = () => [state.compared, state.chosen].filter(Boolean);
const splits = () => Boolean(state.compared && !state.everything);
const wantsDetails = () => ticked("show-unsure") || ticked("show-mined");

function sideOf(model) {
  if (!model || state.everything) return null;
  const found = state.found.get(model.name);
  if (!found) return null;
  const mask = ticked("show-mask") && (found.tint ??= tinted(found.shape, colourOf(model), found.edge));
  return { mask: mask || null, map: ticked("show-unsure") ? found.map : null };
}

function draw() {
  const { history, draft, cross, split, image } = state;
  const colours = promptColours();
  const mined = { positive: [], negative: [], colours };
  if (ticked("show-mined") && !state.everything) {
    for (const model of shownModels()) {
      const details = state.found.get(model.name)?.details;
      mined.positive.push(...(details?.positive ?? []));
      mined.negative.push(...(details?.negative ?? []));
    }
  }
  painter.draw({
    image, split, draft, cross, mined, colours,
    left: splits() ? sideOf(state.compared) ?? {} : null, right: sideOf(state.chosen),
    objects: ticked("show-mask") ? state.objects : null,
    box: state.everything ? null : history.now.box,
    points: state.everything ? [] : history.now.points,
  });
}

function refreshControls() {
  const { history, chosen, compared, models } = state;
  byId("undo").disabled = !history.past.length && !state.everything;
  byId("redo").disabled = !history.future.length;
  byId("clear").disabled = history.isEmpty && !state.everything;
  const result = state.everything ?? state.found.get(chosen?.name);
  for (const id of ["get-png", "get-cut", "get-rle", "get-coco"]) byId(id).disabled = !result;
  byId("everything").disabled = !state.image;
  const hasMap = shownModels().some((model) => model.details);
  for (const id of ["show-unsure", "show-mined"]) byId(id).disabled = !hasMap;
  byId("map-note").hidden = !models.some((model) => model.details);
  showTags(chosen, splits() ? compared : null);
}

async function ask() {
  state.everything = null;
  state.objects = null;
  const signal = client.begin(); // a search ends by this, too
  searches(false);
  refreshControls();
  busy(true);
  complain(null);
  if (state.history.isEmpty) {
    state.found.clear();
    showFacts([]);
    say("");
    hint(state.image && "Click the object, or drag a box round it");
  } else {
    hint(null);
    await Promise.all(shownModels().map((model) => askModel(model, signal))).catch(failed);
  }
  if (signal.aborted) return; // a later question goes on from here
  busy(false);
  refreshControls();
  draw();
}

async function askModel(model, signal) {
  const start = performance.now();
  const details = wantsDetails() && model.details;
  const answer = await client.predict(model, state.history.asked(), { details, signal });
  const [mask] = answer.masks;
  const shape = await silhouette(mask.png);
  const map = mask.details?.uncertainty ? await heated(mask.details.uncertainty) : null;
  if (signal.aborted) return;
  if (answer.model.version !== model.version) showVersions().catch(failed); // a new champion
  const edge = Math.max(1, Math.round(Math.max(answer.width, answer.height) / 500));
  const took = performance.now() - start;
  state.found.set(model.name, { model, answer, shape, map, edge, took, details: mask.details });
  const known = shownModels().map((each) => state.found.get(each.name)).filter(Boolean);
  showFacts(factsOf(known, state.embedded));
  say(known.map(({ model: each, answer: one }) => {
    const percent = (100 * one.masks[0].area) / (one.width * one.height);
    return `${titleOf(each)}: ${percent.toFixed(1)} % of the image, ${milliseconds(one.milliseconds.predict)}`;
  }).join(" · "));
  draw();
}

function failed(error) {
  if (error.name === "AbortError") return;
  state.found.clear();
  showFacts([]); // what stood there was of another answer
  say("");
  complain(error.message);
}

function searches(isSearching) {
  state.searching = isSearching;
  showSearch(isSearching ? 0 : null);
}

async function findEverything() {
  if (state.searching) {
    await ask();
    return;
  }
  const [signal, model] = [client.begin(), state.chosen];
  searches(true);
  busy(true);
  complain(null);
  const onProgress = (fraction) => { if (!signal.aborted) showSearch(fraction); };
  try {
    const answer = await client.everything(model, { signal, onProgress });
    const edge = Math.max(1, Math.round(Math.max(answer.width, answer.height) / 500));
    const largestFirst = answer.masks.toSorted((a, b) => b.area - a.area);
    const shapes = await Promise.all(largestFirst.map((mask) => silhouette(mask.png)));
    if (signal.aborted) return;
    state.objects = stacked(shapes, OBJECTS, edge);
    state.everything = { answer };
    const [objects, spent] = [`${shapes.length} object${shapes.length === 1 ? "" : "s"}`, milliseconds(answer.milliseconds.everything)];
    say(`${objects} · ${titleOf(model)} ${spent}`);
    showFacts([["Found", objects, `${titleOf(model)}, ${spent}`]]);
  } catch (error) {
    failed(error);
  }
  if (signal.aborted) return;
  searches(false);
  busy(false);
  hint(null);
  byId("frame").scrollIntoView({ block: "nearest" }); // at phone width the button is far below it
  refreshControls();
  draw();
}

async function open(blob, name, box = null) {
  busy(true);
  complain(null);
  say("");
  let image;
  try {
    image = await createImageBitmap(blob);
  } catch {
    busy(false);
    complain(`${name} is not an image that this browser can show. Take a PNG, JPEG or WebP.`);
    return;
  }
  client.take(blob);
  searches(false);
  Object.assign(state, { image, name, history: new PromptHistory(), everything: null, objects: null });
  state.found.clear();
  viewport.show(image.width, image.height);
  if (box) state.history.setBox(...box);
  hint("Embedding the image");
  showFacts([]);
  refreshControls();
  draw();
  try {
    const embedded = await client.embed(state.chosen);
    if (client.blob !== blob) return;
    state.embedded = embedded.milliseconds.embed;
    say(`Image embedded in ${milliseconds(state.embedded)}`);
    await ask();
  } catch (error) {
    busy(false);
    hint(null);
    failed(error);
  }
}

async function openExample(example, button) {
  pressExample(button);
  const response = await fetch(example.url);
  await open(await response.blob(), `${example.title.replaceAll(" ", "_")}.png`, example.box);
}

function openFile(file) {
  pressExample(null);
  return open(file, file.name || "image.png");
}

function choose(model) {
  state.chosen = model;
  if (state.compared?.name === model.name) state.compared = null;
  showCompare(state.models, model, state.compared);
  ask();
}

function download(save) {
  save(state.everything?.answer ?? state.found.get(state.chosen.name).answer, state.name, state.image);
}

const commands = {
  undo: () => (state.everything || state.history.undo()) && ask(), // a search hides the prompts
  redo: () => state.history.redo() && ask(),
  clear: () => { state.history.clear(); ask(); },
  larger: () => { viewport.zoom(1.5); draw(); },
  smaller: () => { viewport.zoom(1 / 1.5); draw(); },
  fit: () => { viewport.fit(); draw(); },
  everything: findEverything,
  "get-png": () => download(savePng),
  "get-cut": () => download(saveCutOut),
  "get-rle": () => download(saveRle),
  "get-coco": () => download(saveCoco),
};

function wire() {
  for (const [id, run] of Object.entries(commands)) byId(id).addEventListener("click", run);
  const tool = () => document.querySelector("input[name=tool]:checked").value;
  byId("tools").addEventListener("change", () => canvas.classList.toggle("moving", tool() === "move"));
  listen(canvas, viewport, tool, {
    point: (x, y, label) => { if (state.image) { state.history.addPoint(x, y, label); ask(); } },
    box: (...corners) => { if (state.image) { state.history.setBox(...corners); ask(); } },
    draft: (box) => { state.draft = box; draw(); },
    cross: (place) => { state.cross = place; draw(); },
    moved: draw,
    command: (name) => commands[name](),
  });
  byId("split").addEventListener("input", (event) => { state.split = event.target.value / 100; draw(); });
  byId("compare").addEventListener("change", (event) => {
    state.compared = state.models.find((model) => model.name === event.target.value) ?? null;
    ask();
  });
  byId("show-mask").addEventListener("change", draw);
  for (const id of ["show-unsure", "show-mined"]) byId(id).addEventListener("change", ask);
  listenForFiles(byId("file"), openFile, complain);
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey)) return;
    const key = event.key.toLowerCase();
    const name = key === "z" ? (event.shiftKey ? "redo" : "undo") : key === "y" ? "redo" : null;
    if (name) { event.preventDefault(); commands[name](); }
  });
  new ResizeObserver(() => { viewport.resize(canvas.clientWidth, canvas.clientHeight); draw(); }).observe(canvas);
  followTheme(byId("theme"), () => {
    for (const found of state.found.values()) found.tint = null;
    draw();
  });
}

// Show which versions answer now; what was chosen before stays so, by its name.
async function showVersions() {
  const { models, note } = await api.models();
  const named = (old) => old && models.find((model) => model.name === old.name);
  state.models = models;
  state.chosen = named(state.chosen) ?? models[0];
  state.compared = named(state.compared) ?? null;
  showModels(models, state.chosen, choose);
  showCompare(models, state.chosen, state.compared);
  byId("note").hidden = !note;
  byId("note").textContent = note ?? "";
  refreshControls();
}

async function begin() {
  wire();
  try {
    await showVersions();
    state.compared = state.models.find((model) => model.kind === "sam" && model !== state.chosen) ?? null;
    showCompare(state.models, state.chosen, state.compared);
    refreshControls();
    showExamples(await api.examples(), openExample);
    document.querySelector("#examples button").click();
  } catch (error) {
    hint(null);
    failed(error);
  }
}

begin();
