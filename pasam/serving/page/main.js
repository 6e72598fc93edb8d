// The page: holds what is shown, and asks the service whenever that changes.

import * as api from "./api.js";
import { Client } from "./client.js";
import {
  busy, byId, complain, factsOf, hint, pressExample, say, showCompare, showExamples, showFacts, showModels, showSearch,
} from "./controls.js";
import { heated, tinted } from "./layers.js";
import { Look } from "./look.js";
import { showEntries, showObjects } from "./lists.js";
import { BRUSH, isSettled } from "./object_history.js";
import { isKept } from "./storage.js";
import { Workspace } from "./workspace.js";
import { wire } from "./wiring.js";
import { colourOf, milliseconds, share, titleOf, whole } from "./format.js";

const work = new Workspace((error) => complain(error.message));
const client = new Client();
const state = {
  models: [], chosen: null, compared: null, found: new Map(), searching: false, split: 0.4, embedded: 0, asked: null,
  draft: null, cross: null, brush: null, stroke: null, preview: null, pending: null,
};
const look = new Look(state, work);
const shownModels = () => [state.compared, state.chosen].filter(Boolean);

function refresh() {
  showEntries(work.shown(), work.open, { open: (id) => openEntry(work.entries.find((each) => each.id === id)), close });
  if (work.history) {
    showObjects(work.history, state.chosen ? colourOf(state.chosen) : "", { select, rename, remove });
  }
  look.refreshControls();
  look.draw();
}

// Ask for the mask of the current object, or show the one that it has.
function ask() {
  state.pending = askNow();
  return state.pending;
}

async function askNow() {
  const signal = client.begin(); // a search ends by this, too
  searches(false);
  const object = work.history?.current ?? null;
  if (state.asked !== object?.id || isSettled(object)) state.found.clear();
  Object.assign(state, { asked: object?.id, preview: null });
  busy(true);
  complain(null);
  refresh();
  if (!object) {
    showFacts([]);
    say("");
    const which = work.history?.now.objects.length ? "Click the next object" : "Click the object";
    hint(work.image && `${which}, or drag a box round it`);
  } else if (isSettled(object)) {
    hint(null);
    const how = object.by === BRUSH ? "Mended" : "Found";
    showFacts([[how, `${whole(object.mask.area)} px, ${share(object.mask)}`]]);
    say(`${how}: ${share(object.mask)} of the image`);
  } else {
    hint(null);
    await Promise.all(shownModels().map((model) => askModel(model, object, signal))).catch(failed);
  }
  if (signal.aborted) return; // a later question goes on from here
  busy(false);
  refresh();
  work.save();
}

async function askModel(model, object, signal) {
  const details = look.wantsDetails() && model.details;
  // A click is answered on the whole image at once; the look from near, which takes longer, then replaces that.
  if (model.zoom && !object.box && !object.seed && !details) await answered(model, object, { near: false, signal });
  await answered(model, object, { details, signal });
}

async function answered(model, object, { signal, ...how }) {
  if (signal.aborted) return;
  const start = performance.now();
  const found = await client.predict(model, object, { ...how, signal });
  const map = found.uncertainty ? await heated(found.uncertainty) : null;
  if (signal.aborted) return;
  if (found.answer.model.version !== model.version) showVersions().catch(failed); // a new champion
  state.found.set(model.name, { ...found, model, map, took: performance.now() - start });
  if (model === state.chosen) work.history.answer(object.id, found.mask, model.name);
  const known = shownModels().map((each) => state.found.get(each.name)).filter(Boolean);
  showFacts(factsOf(known, state.embedded));
  say(known.map(({ model: each, answer, mask }) =>
    `${titleOf(each)}: ${share(mask)} of the image, ${milliseconds(answer.milliseconds.predict)}`).join(" · "));
  look.draw();
}

function failed(error) {
  if (error.name === "AbortError") return;
  state.found.clear();
  showFacts([]); // what stood there was of another answer
  say("");
  complain(error.message);
}

// Show what a click would give where the mouse rests, as long as no object is begun.
let rests = null;
function hovered(place) {
  clearTimeout(rests);
  const inside = place && work.image && place.x >= 0 && place.y >= 0
    && place.x < work.image.width && place.y < work.image.height;
  const isWanted = inside && look.previews() && !work.history.current && !state.searching && state.embedded;
  if (!isWanted) {
    if (state.preview) { state.preview = null; look.draw(); }
    return;
  }
  rests = setTimeout(async () => {
    const signal = client.peek();
    const prompt = { points: [{ ...place, label: 1 }], box: null, seed: null };
    const found = await client.predict(state.chosen, prompt, { near: false, signal }).catch(() => null); // it was only a look
    if (!found || signal.aborted || work.history.current) return;
    state.preview = tinted(found.mask, colourOf(state.chosen));
    look.draw();
  }, 120);
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
  let rows = [];
  try {
    const { answer, masks } = await client.everything(model, { signal, onProgress });
    if (signal.aborted) return;
    work.history.find(masks);
    state.found.clear();
    const [objects, spent] = [`${masks.length} object${masks.length === 1 ? "" : "s"}`, milliseconds(answer.milliseconds.everything)];
    say(`${objects} · ${titleOf(model)} ${spent}`);
    rows = [["Found", objects, `${titleOf(model)}, ${spent}`]];
  } catch (error) {
    failed(error);
  }
  if (signal.aborted) return;
  searches(false);
  busy(false);
  hint(null);
  showFacts(rows);
  byId("frame").scrollIntoView({ block: "nearest" }); // at phone width the button is far below it
  refresh();
  work.save();
}

async function openEntry(entry, box = null) {
  busy(true);
  complain(null);
  say("");
  let image;
  try {
    image = await createImageBitmap(entry.blob);
  } catch {
    busy(false);
    work.remove(entry.id);
    refresh();
    complain(`${entry.name} is not an image that this browser can show. Take a PNG, JPEG or WebP.`);
    return;
  }
  client.take(entry.blob, image);
  searches(false);
  state.found.clear();
  Object.assign(state, { embedded: 0, preview: null, stroke: null });
  work.turnTo(entry, image);
  look.show(image);
  if (box) entry.history.setBox(...box);
  pressExample(entry.example);
  hint("Embedding the image");
  showFacts([]);
  refresh();
  try {
    const embedded = await client.embed(state.chosen);
    if (work.open !== entry) return;
    state.embedded = embedded.milliseconds.embed;
    say(`Image embedded in ${milliseconds(state.embedded)}`);
    await ask();
  } catch (error) {
    if (work.open !== entry) return; // another image is shown by now
    busy(false);
    hint(null);
    failed(error);
  }
}

async function openExample(example) {
  const known = work.entries.find((each) => each.example === example.title);
  if (known) {
    await openEntry(known);
    return;
  }
  const blob = await (await fetch(example.url)).blob();
  await openEntry(work.add(blob, `${example.title.replaceAll(" ", "_")}.png`, { example: example.title }), example.box);
}

async function openFiles(files) {
  const added = files.map((file) => work.add(file, file.name || "image.png"));
  await openEntry(added[0]);
  for (const entry of added.slice(1)) work.save(entry);
}

async function close(id) {
  const place = work.entries.findIndex((each) => each.id === id);
  work.remove(id);
  if (work.open?.id === id) await openEntry(work.entries[Math.min(place, work.entries.length - 1)]);
  else refresh();
}

function select(id) {
  work.history.select(id);
  ask();
}

function rename(id, name) {
  work.history.rename(id, name);
  refresh();
  work.save();
}

function remove(id) {
  work.history.remove(id);
  ask();
}

function choose(model) {
  state.chosen = model;
  if (state.compared?.name === model.name) state.compared = null;
  showCompare(state.models, model, state.compared);
  ask();
}

// Show which versions answer now; what was chosen before stays so, by its name.
async function showVersions() {
  const { models, note, feedback } = await api.models();
  byId("feedback").hidden = !feedback;
  const named = (old) => old && models.find((model) => model.name === old.name);
  state.models = models;
  state.chosen = named(state.chosen) ?? models[0];
  state.compared = named(state.compared) ?? null;
  showModels(models, state.chosen, choose);
  showCompare(models, state.chosen, state.compared);
  byId("note").hidden = !note;
  byId("note").textContent = note ?? "";
  look.refreshControls();
}

async function begin() {
  wire({ state, work, client, look, ask, refresh, findEverything, openFiles, hovered, failed });
  try {
    await showVersions();
    state.compared = state.models.find((model) => model.kind === "sam" && model !== state.chosen) ?? null;
    showCompare(state.models, state.chosen, state.compared);
    look.refreshControls();
    const examples = await api.examples();
    showExamples(examples, openExample);
    const last = isKept() ? await work.resume() : null;
    await (last ? openEntry(last) : openExample(examples[0]));
  } catch (error) {
    hint(null);
    failed(error);
  }
}

begin();
