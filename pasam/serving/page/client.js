// Asks the service about one image: embeds it once, and again should it have been forgotten.

import * as api from "./api.js";
import { blank } from "./layers.js";

const GONE = [404, 409];
const SEARCHED = 6_000_000; // pixels; the service takes 8 million

// An image of too many pixels as a smaller file, or null.
async function shrunk(blob) {
  const image = await createImageBitmap(blob);
  const scale = Math.sqrt(SEARCHED / (image.width * image.height));
  if (scale >= 1) return null;
  const small = blank(Math.round(image.width * scale), Math.round(image.height * scale));
  small.getContext("2d").drawImage(image, 0, 0, small.width, small.height);
  return new Promise((done) => small.toBlob(done, "image/jpeg", 0.95));
}

export class Client {
  constructor() {
    this.blob = null;
    this.embeddings = new Map();
    this.turn = null;
  }

  // Take another image; whatever is still under way for the old one is dropped.
  take(blob) {
    this.turn?.abort();
    this.blob = blob;
    this.embeddings = new Map();
  }

  // Embed the image for a model; models of one base share the embedding.
  embed(model) {
    const known = this.embeddings.get(model.base);
    if (known) return known;
    const asked = api.embed(this.blob, model.name);
    this.embeddings.set(model.base, asked);
    asked.catch(() => this.embeddings.delete(model.base));
    return asked;
  }

  // Begin another question, which makes earlier ones moot.
  begin() {
    this.turn?.abort();
    this.turn = new AbortController();
    return this.turn.signal;
  }

  predict(model, prompt, { details = false, signal } = {}) {
    return this.#again(model, (embedding) =>
      api.predict({ embedding, model: model.name, details, format: "png" }, prompt, signal));
  }

  // A phone's photograph is searched at a size that the service takes; masks are shown over all of it.
  async everything(model, { signal, onProgress }) {
    const image = await shrunk(this.blob);
    if (image) return api.everything({ image, model: model.name, format: "png" }, { signal, onProgress });
    return this.#again(model, (embedding) =>
      api.everything({ embedding, model: model.name, format: "png" }, { signal, onProgress }));
  }

  async #again(model, ask) {
    const { embedding } = await this.embed(model);
    try {
      return await ask(embedding);
    } catch (error) {
      if (!GONE.includes(error.status)) throw error;
      this.embeddings.delete(model.base);
      return ask((await this.embed(model)).embedding);
    }
  }
}
