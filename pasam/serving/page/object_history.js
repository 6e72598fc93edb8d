// The objects of an image: their names, prompts and masks, with the way back and forth.

import { Mask } from "./masks.js";

const NOTHING = Object.freeze({ objects: Object.freeze([]), current: null });
const FRESH = Object.freeze({ points: Object.freeze([]), box: null, seed: null, mask: null, answered: null, by: null });
export const BRUSH = "brush";
export const SEARCH = "search";

let made = 0;
const identity = () => `${Date.now().toString(36)}-${made += 1}`; // other than in any saved session

// Whether an object's mask stands as it is: mended or found, and not prompted since.
export const isSettled = (object) => object?.by === BRUSH || object?.by === SEARCH;

export class ObjectHistory {
  // Every value is kept whole and never changed, so that a way back cannot lose anything.
  constructor(now = NOTHING) {
    Object.assign(this, { past: [], now, future: [], name: now.objects.at(-1)?.name ?? "object" });
  }

  get current() {
    return this.now.objects.find((each) => each.id === this.now.current) ?? null;
  }

  get masked() {
    return this.now.objects.filter((each) => each.mask?.area);
  }

  addPoint(x, y, label) {
    this.#change((object) => ({ ...object, by: null, points: [...object.points, { x, y, label }] }));
  }

  setBox(x0, y0, x1, y1) {
    const box = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
    this.#change((object) => ({ ...object, by: null, box }));
  }

  // A mask that a person has mended: it stands, and goes along with later prompts.
  mend(mask) {
    this.#change((object) => ({ ...object, mask, seed: mask, by: BRUSH }));
  }

  // Objects of a search, in the place of those of the search before.
  find(masks) {
    const kept = this.now.objects.filter((each) => each.by !== SEARCH && (each.mask || each.points.length || each.box));
    const found = masks.map((mask) => ({ ...FRESH, id: identity(), name: this.name, mask, seed: mask, by: SEARCH }));
    this.#become({ objects: [...kept, ...found], current: null });
  }

  // Take an object away; without one, all of them.
  remove(id) {
    const objects = id ? this.now.objects.filter((each) => each.id !== id) : [];
    const current = this.now.current === id ? null : this.now.current;
    if (objects.length !== this.now.objects.length) this.#become({ objects, current });
  }

  rename(id, name) {
    this.name = name;
    this.#become({ ...this.now, objects: this.now.objects.map((each) => (each.id === id ? { ...each, name } : each)) });
  }

  // Turn to another object, or to none, so that the next prompt begins one; no step of the way back.
  select(id) {
    this.now = { ...this.now, current: id };
  }

  // The model's answer to what is asked now; no step of the way back.
  answer(id, mask, by) {
    this.now = { ...this.now, objects: this.now.objects.map((each) => (each.id === id ? { ...each, mask, by, answered: mask } : each)) };
  }

  undo() {
    if (!this.past.length) return false;
    this.future.push(this.now);
    this.now = this.past.pop();
    return true;
  }

  redo() {
    if (!this.future.length) return false;
    this.past.push(this.now);
    this.now = this.future.pop();
    return true;
  }

  // As it is kept in the browser: plain values, masks as run lengths.
  saved() {
    const plain = ({ mask, seed, answered, ...rest }) => (
      { ...rest, mask: mask?.rle() ?? null, seed: seed?.rle() ?? null, answered: answered?.rle() ?? null });
    return { ...this.now, objects: this.now.objects.map(plain) };
  }

  static ofSaved({ objects, current }) {
    const drawn = (rle) => rle && Mask.ofRle(rle);
    const whole = ({ mask, seed, answered, ...rest }) => (
      { ...rest, mask: drawn(mask), seed: drawn(seed), answered: drawn(answered) });
    return new ObjectHistory({ objects: objects.map(whole), current });
  }

  #change(changed) {
    const object = this.current ?? { ...FRESH, id: identity(), name: this.name };
    const next = changed(object);
    const objects = this.current
      ? this.now.objects.map((each) => (each.id === next.id ? next : each)) : [...this.now.objects, next];
    this.#become({ objects, current: next.id });
  }

  #become(next) {
    this.past.push(this.now);
    this.now = next;
    this.future = [];
  }
}
