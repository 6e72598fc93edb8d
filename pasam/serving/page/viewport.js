// Where the image lies on the screen: fitted, zoomed and moved. Lengths are CSS pixels.

const MOST = 24;
const MARGIN = 12;

export class Viewport {
  constructor() {
    this.screen = { width: 1, height: 1 };
    this.image = { width: 1, height: 1 };
    this.fit();
  }

  get fitted() {
    const { screen, image } = this;
    const room = { width: screen.width - 2 * MARGIN, height: screen.height - 2 * MARGIN };
    return Math.max(0.01, Math.min(room.width / image.width, room.height / image.height));
  }

  resize(width, height) {
    const middle = this.toImage(this.screen.width / 2, this.screen.height / 2);
    const zoom = this.scale / this.fitted;
    this.screen = { width, height };
    this.scale = this.fitted * zoom;
    this.left = width / 2 - middle.x * this.scale;
    this.top = height / 2 - middle.y * this.scale;
    this.#keepInSight();
  }

  show(width, height) {
    this.image = { width, height };
    this.fit();
  }

  fit() {
    this.scale = this.fitted;
    this.left = (this.screen.width - this.image.width * this.scale) / 2;
    this.top = (this.screen.height - this.image.height * this.scale) / 2;
  }

  zoom(factor, x = this.screen.width / 2, y = this.screen.height / 2) {
    const there = this.toImage(x, y);
    this.scale = Math.min(Math.max(this.scale * factor, this.fitted), this.fitted * MOST);
    this.left = x - there.x * this.scale;
    this.top = y - there.y * this.scale;
    this.#keepInSight();
  }

  move(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.#keepInSight();
  }

  toImage(x, y) {
    return { x: (x - this.left) / this.scale, y: (y - this.top) / this.scale };
  }

  toScreen(x, y) {
    return { x: x * this.scale + this.left, y: y * this.scale + this.top };
  }

  // The nearest place in the image, rounded to tenths of a pixel.
  inside(x, y) {
    const there = this.toImage(x, y);
    const bound = (value, most) => Math.round(Math.min(Math.max(value, 0), most - 1) * 10) / 10;
    return { x: bound(there.x, this.image.width), y: bound(there.y, this.image.height) };
  }

  #keepInSight() {
    const held = (start, size, room) =>
      size <= room ? (room - size) / 2 : Math.min(MARGIN, Math.max(room - size - MARGIN, start));
    this.left = held(this.left, this.image.width * this.scale, this.screen.width);
    this.top = held(this.top, this.image.height * this.scale, this.screen.height);
  }
}
