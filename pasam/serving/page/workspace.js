// The images that are open, each with its objects; kept in this browser where that was asked for.

import { ObjectHistory } from "./object_history.js";
import * as storage from "./storage.js";

const OPEN = "pasam-open";
let made = 0;

export class Workspace {
  // `onFault` is told what could not be kept.
  constructor(onFault) {
    Object.assign(this, { entries: [], open: null, image: null, onFault });
  }

  get history() {
    return this.open?.history ?? null;
  }

  add(blob, name, { example = null, history = new ObjectHistory(), id = null, order = Date.now() } = {}) {
    const entry = {
      id: id ?? `${Date.now().toString(36)}-${made += 1}`, order, blob, name, example, history, icon: URL.createObjectURL(blob),
    };
    this.entries.push(entry);
    return entry;
  }

  // Turn to an image that was decoded; an example that nobody has worked on is put away.
  turnTo(entry, image) {
    const before = this.open;
    Object.assign(this, { open: entry, image });
    if (before && before !== entry && before.example && before.history.past.length < 2) this.remove(before.id);
    if (storage.isKept()) localStorage.setItem(OPEN, entry.id);
  }

  remove(id) {
    const entry = this.entries.find((each) => each.id === id);
    this.entries = this.entries.filter((each) => each !== entry);
    if (entry) URL.revokeObjectURL(entry.icon);
    if (storage.isKept()) storage.drop(id).catch(this.onFault);
  }

  shown() {
    return this.entries.map(({ id, name, icon, history }) => ({ id, name, icon, count: history.masked.length }));
  }

  // Everything that has a mask, for downloads.
  marked() {
    return this.entries.map(({ name, blob, history }) => ({ name, blob, objects: history.masked }));
  }

  // Keep an image as it is now, once nothing has changed for a moment.
  save(entry = this.open) {
    if (!storage.isKept() || !entry) return;
    clearTimeout(entry.saving);
    entry.saving = setTimeout(() => this.#keep(entry), 300);
  }

  async setKept(wanted) {
    await storage.setKept(wanted);
    if (wanted) for (const entry of this.entries) await this.#keep(entry);
  }

  // Bring back what was kept; returns the image that was open last, or null.
  async resume() {
    if (!storage.isKept()) return null;
    for (const { id, order, name, blob, objects } of await storage.kept()) {
      this.add(blob, name, { id, order, history: ObjectHistory.ofSaved(objects) });
    }
    const last = localStorage.getItem(OPEN);
    return this.entries.find((each) => each.id === last) ?? this.entries[0] ?? null;
  }

  #keep({ id, order, name, blob, history }) {
    if (!this.entries.some((each) => each.id === id)) return undefined; // closed meanwhile
    return storage.keep({ id, order, name, blob, objects: history.saved() }).catch(this.onFault);
  }
}
