// What the user has pointed out so far, with its way back and forth.

const NOTHING = Object.freeze({ points: Object.freeze([]), box: null });

export class PromptHistory {
  constructor() {
    this.past = [];
    this.now = NOTHING;
    this.future = [];
  }

  get isEmpty() {
    return !this.now.box && this.now.points.length === 0;
  }

  addPoint(x, y, label) {
    this.#become({ ...this.now, points: [...this.now.points, { x, y, label }] });
  }

  setBox(x0, y0, x1, y1) {
    const box = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
    this.#become({ ...this.now, box });
  }

  clear() {
    if (!this.isEmpty) this.#become(NOTHING);
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

  // The prompt as the service takes it.
  asked() {
    const prompt = {};
    if (this.now.box) prompt.box = this.now.box;
    if (this.now.points.length) {
      prompt.points = this.now.points.map(({ x, y }) => [x, y]);
      prompt.labels = this.now.points.map(({ label }) => label);
    }
    return prompt;
  }

  #become(next) {
    this.past.push(this.now);
    this.now = next;
    this.future = [];
  }
}
