// What is seen: the scene on the canvas, and which controls are on, with the reason where one is off.

import { byId, showTags, turn } from "./controls.js";
import { objectColour, promptColours, colourOf, titleOf } from "./format.js";
import { stacked, tinted } from "./layers.js";
import { isSettled } from "./object_history.js";
import { Painter } from "./painter.js";
import { Viewport } from "./viewport.js";

const NOTHING = "Nothing to download yet: click an object first.";
const ABOUT_MAPS = "PA-SAM's own: where it doubts SAM's mask, and the points it finds by itself (blue asks for more mask, orange for less).";

const ticked = (id) => byId(id).checked && !byId(id).disabled;

export class Look {
  constructor(state, work) {
    this.canvas = byId("image");
    this.viewport = new Viewport();
    this.painter = new Painter(this.canvas, this.viewport);
    this.layers = new WeakMap(); // by mask: its colour and layers
    this.stack = { key: [], layer: null };
    Object.assign(this, { state, work });
  }

  show({ width, height }) {
    this.viewport.show(width, height);
  }

  tool() {
    return document.querySelector("input[name=tool]:checked").value;
  }

  wantsDetails() {
    return ticked("show-unsure") || ticked("show-mined");
  }

  previews() {
    return ticked("show-preview") && ticked("show-mask") && this.tool() === "in";
  }

  // Whether two models share the image: not while a person's own mask is shown, or found ones.
  splits() {
    const { history } = this.work;
    const shows = !history?.current ? !history?.now.objects.length : !isSettled(history.current);
    return Boolean(this.state.compared && shows && !this.state.stroke);
  }

  #layer(mask, colour) {
    let known = this.layers.get(mask);
    if (known?.colour !== colour) this.layers.set(mask, known = { colour, layer: tinted(mask, colour) });
    return known.layer;
  }

  #sideOf(model) {
    const found = this.state.found.get(model?.name);
    if (!found) return null;
    return {
      mask: ticked("show-mask") ? this.#layer(found.mask, colourOf(model)) : null,
      map: ticked("show-unsure") ? found.map : null,
    };
  }

  // All objects but the current one, in one layer that is made anew when they change.
  #others() {
    const { history, image } = this.work;
    const drawn = history.now.objects.map((object, i) => ({ ...object, colour: objectColour(i) }))
      .filter(({ id, mask }) => id !== history.now.current && mask?.area);
    if (!drawn.length) return null;
    const key = drawn.flatMap(({ mask, colour }) => [mask, colour]);
    if (key.length !== this.stack.key.length || key.some((part, i) => part !== this.stack.key[i])) {
      const layer = stacked(drawn.map(({ mask }) => mask), drawn.map(({ colour }) => colour), image);
      this.stack = { key, layer };
    }
    return this.stack.layer;
  }

  // The current object's mask where no model's answer stands for it.
  #own(object) {
    const { state, work } = this;
    if (!object?.mask?.area || state.stroke || state.found.has(state.chosen?.name)) return null;
    const place = work.history.now.objects.indexOf(object);
    return this.#layer(object.mask, isSettled(object) ? objectColour(place) : colourOf(state.chosen));
  }

  draw() {
    const { state, work } = this;
    const { split, draft, cross, stroke, preview, brush } = state;
    const current = work.history?.current ?? null;
    const colours = promptColours();
    const mined = { positive: [], negative: [], colours };
    if (ticked("show-mined")) {
      for (const model of [state.compared, state.chosen]) {
        const found = state.found.get(model?.name);
        mined.positive.push(...(found?.positive ?? []));
        mined.negative.push(...(found?.negative ?? []));
      }
    }
    const shows = ticked("show-mask") && work.image;
    this.painter.draw({
      image: work.image, split, draft, cross, mined, colours, preview, opacity: byId("opacity").value / 100,
      left: this.splits() ? this.#sideOf(state.compared) ?? {} : null,
      right: stroke ? null : this.#sideOf(state.chosen),
      others: shows ? this.#others() : null, own: shows ? this.#own(current) : null,
      stroke: stroke?.canvas, brush: brush && { ...brush, width: Number(byId("brush-size").value) },
      box: current?.box ?? null, points: current?.points ?? [],
    });
  }

  refreshControls() {
    const { state, work } = this;
    const { history } = work;
    const current = history?.current ?? null;
    turn("undo", !history?.past.length && "Nothing to undo yet", "Ctrl+Z");
    turn("redo", !history?.future.length && "Nothing was undone", "Ctrl+Y");
    const which = current ? "Removes the chosen object (Delete)" : "Removes all objects of this image (Delete)";
    turn("clear", !history?.now.objects.length && "No object to clear yet", which);
    turn("next", !current && "The next click begins an object already", "Keeps this object and begins another (N)");
    turn("everything", !work.image && "Open an image first");
    this.#refreshDownloads(history, current);
    const named = byId("who").value.trim() ? "" : "Write your name first";
    turn("send", current?.mask?.area ? named : "Choose an object with a mask first");
    const able = state.models.filter((model) => model.details);
    const shown = [state.compared, state.chosen].filter((model) => model?.details);
    let reason = "";
    if (!able.length) reason = "Off: only PA-SAM has them, and none is served here.";
    else if (!shown.length) reason = `Off: ${titleOf(state.chosen)} has none. Choose ${titleOf(able[0])}.`;
    else if (isSettled(current)) reason = "Off: this mask was mended or found, and is no answer to a prompt.";
    for (const id of ["show-unsure", "show-mined"]) turn(id, reason);
    byId("map-note").textContent = reason || ABOUT_MAPS;
    byId("scale").hidden = !ticked("show-unsure");
    turn("show-preview", !ticked("show-mask") && "Off: masks are not shown");
    byId("brush-row").hidden = !["brush", "eraser"].includes(this.tool());
    this.canvas.classList.toggle("moving", this.tool() === "move");
    showTags(current && isSettled(current) ? null : state.chosen, this.splits() ? state.compared : null);
  }

  #refreshDownloads(history, current) {
    const masked = history?.masked ?? [];
    const chosen = current?.mask?.area ? current : null;
    for (const id of ["get-png", "get-cut"]) turn(id, !masked.length && NOTHING, chosen ? "Of the chosen object" : "Of all objects together");
    for (const id of ["get-rle", "get-coco", "get-polygons"]) turn(id, !masked.length && NOTHING, "Of all objects of this image");
    const any = this.work.marked().some(({ objects }) => objects.length);
    turn("get-all", !any && NOTHING, "Masks, cut-outs and annotations of all images");
    const place = history?.now.objects.indexOf(chosen) ?? -1;
    byId("why-get").textContent = !masked.length ? NOTHING
      : masked.length === 1 ? "" : `Mask and cut-out: ${chosen ? `object ${place + 1}` : "all objects together"}. The others: all ${masked.length} objects.`;
  }
}
