// Asks the service about images: embeds each once, and sends it again should it have been forgotten.

import * as api from "./api.js";
import { Mask, blank } from "./masks.js";

const GONE = [404, 409];
const [TOO_LARGE, UNKNOWN_KIND] = [413, 415];
const TAKEN = /^(image\/(png|jpeg|webp|bmp|tiff))?$/; // others, such as HEIC and AVIF, are sent as they are shown
const SENT = 11_000_000; // pixels; of more the service gives no details
const SEARCHED = 6_000_000; // pixels; the service takes 8 million
const LARGEST = 30_000_000; // bytes; the service takes 32 million

// Whether other programs may turn the file otherwise than this browser has: only what is shown counts.
async function mayBeTurned(blob) {
  const text = new TextDecoder("latin1").decode(await blob.arrayBuffer());
  const isJpeg = text.startsWith("\u00ff\u00d8");
  return text.includes("tiff:Orientation") || (!isJpeg && /EXIF|eXIf|Exif/.test(text));
}

// The image as this browser shows it, with at most so many pixels.
export function redrawn(image, pixels, type = "image/jpeg") {
  const scale = Math.min(1, Math.sqrt(pixels / (image.width * image.height)));
  const canvas = blank(Math.round(image.width * scale), Math.round(image.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, type, 0.95));
}

// What is sent for an image: its own file where the service reads the same pixels from it.
class Source {
  constructor(blob, image) {
    const size = { width: image.width, height: image.height };
    Object.assign(this, { blob, image, size, sent: null, embeddings: new Map(), pixels: SENT });
  }

  async file() {
    this.sent ??= this.#chosen();
    return this.sent;
  }

  async #chosen() {
    const { blob, image } = this;
    const fits = image.width * image.height <= this.pixels && blob.size <= LARGEST;
    if (fits && TAKEN.test(blob.type) && !(await mayBeTurned(blob))) return blob;
    return redrawn(image, this.pixels, fits ? "image/png" : "image/jpeg");
  }

  // Embed for a model, smaller or in another format where the service will not take it so.
  async embedded(model, tries = 4) {
    try {
      return await api.embed(await this.file(), model.name);
    } catch (error) {
      if (tries <= 1 || ![TOO_LARGE, UNKNOWN_KIND].includes(error.status)) throw error;
      if (error.status === TOO_LARGE) this.pixels = Math.min(this.pixels, this.image.width * this.image.height) / 2;
      this.sent = redrawn(this.image, this.pixels);
      return this.embedded(model, tries - 1);
    }
  }
}

// Points and box in the pixels of the image that is sent.
function promptOf(points, box, by) {
  const prompt = {};
  if (box) prompt.box = box.map((value) => value * by);
  if (points.length) {
    prompt.points = points.map(({ x, y }) => [x * by, y * by]);
    prompt.labels = points.map(({ label }) => label);
  }
  return prompt;
}

export class Client {
  constructor() {
    this.sources = new WeakMap(); // by file
    this.source = null;
    this.turn = null;
    this.look = null;
  }

  // Turn to an image; whatever is still under way for another is dropped.
  take(blob, image) {
    this.begin();
    if (this.source) this.source.image = null; // of many images only one is held decoded
    this.source = this.sources.get(blob) ?? new Source(blob, image);
    this.source.image = image;
    this.sources.set(blob, this.source);
  }

  // Embed the image for a model; models of one base share the embedding.
  embed(model) {
    const { embeddings } = this.source;
    const known = embeddings.get(model.base);
    if (known) return known;
    const asked = this.source.embedded(model);
    embeddings.set(model.base, asked);
    asked.catch(() => embeddings.delete(model.base));
    return asked;
  }

  // Begin another question, which makes earlier ones moot.
  begin() {
    this.turn?.abort();
    this.look?.abort();
    this.turn = new AbortController();
    return this.turn.signal;
  }

  // Begin another preview, which ends the one before.
  peek() {
    this.look?.abort();
    this.look = new AbortController();
    return this.look.signal;
  }

  // Ask for the mask of an object; places are in pixels of the image that is shown. What is small is looked at from near.
  async predict(model, { points, box, seed }, { details = false, near = true, signal } = {}) {
    const { source } = this;
    const embedded = await this.embed(model);
    const by = embedded.width / source.size.width;
    const prompt = promptOf(points, box, by);
    if (seed) prompt.mask = seed.resized(embedded.width, embedded.height).rle();
    const fields = { model: model.name, details, format: "png" };
    if (near && model.zoom && !seed && !details) fields.zoom = true;
    const answer = await this.#again(source, model, (held) => api.predict({ ...fields, ...held }, prompt, signal));
    const [found] = answer.masks;
    const places = (list) => (list ?? []).map(([x, y]) => [x / by, y / by]);
    return {
      answer, score: found.score, mask: this.#whole(found, source), uncertainty: found.details?.uncertainty,
      positive: places(found.details?.positive), negative: places(found.details?.negative),
    };
  }

  // Masks of everything, the largest first. A large photograph is searched smaller.
  async everything(model, { signal, onProgress }) {
    const { source } = this;
    const { image } = source;
    const fields = { model: model.name, format: "png" };
    const how = { signal, onProgress };
    const answer = image.width * image.height > SEARCHED
      ? await api.everything({ ...fields, image: await redrawn(image, SEARCHED) }, how)
      : await this.#again(source, model, (held) => api.everything({ ...fields, ...held }, how));
    const masks = answer.masks.toSorted((a, b) => b.area - a.area).map((found) => this.#whole(found, source));
    return { answer, masks };
  }

  // Send an object's mask, with the image, for review.
  async feedback(model, { points, box, mask, answered }, { who, why }) {
    const { width, height } = await this.embed(model);
    const code = (one) => one && JSON.stringify(one.resized(width, height).rle());
    const prompt = promptOf(points, box, width / this.source.size.width);
    const prompts = Object.keys(prompt).length ? JSON.stringify([prompt]) : null;
    const image = await this.source.file();
    return api.feedback({ image, mask: code(mask), before: code(answered), prompts, who, why, model: model.name });
  }

  #whole({ segmentation, png, score }, { size }) {
    const found = Mask.ofRle(segmentation, png);
    const whole = found.resized(size.width, size.height);
    whole.score = score;
    return whole;
  }

  // Where the service has forgotten the embedding, or another replica answers, the image goes along.
  async #again(source, model, ask) {
    const { embedding } = await this.embed(model);
    try {
      return await ask({ embedding });
    } catch (error) {
      if (!GONE.includes(error.status)) throw error;
      const answer = await ask({ embedding, image: await source.file() });
      const { width, height } = answer;
      source.embeddings.set(model.base, Promise.resolve({ embedding: answer.embedding, width, height, milliseconds: answer.milliseconds }));
      return answer;
    }
  }
}
