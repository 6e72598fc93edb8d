// Where the picture lies on the screen: fitted, zoomed and moved. Lengths are CSS pixels.

const MOST = 24;
const MARGIN = 12;

export class Viewport {
  constructor() {
    this.screen = { width: 1, height: 1 };
    this.picture = { width: 1, height: 1 };
    this.fit();
  }

  get fitted() {
    const { screen, picture } = this;
    const room = { width: screen.width - 2 * MARGIN, height: screen.height - 2 * MARGIN };
    return Math.max(0.01, Math.min(room.width / picture.width, room.height / picture.height));
  }

  resize(width, height) {
    const middle = this.toPicture(this.screen.width / 2, this.screen.height / 2);
    const zoom = this.scale / this.fitted;
    this.screen = { width, height };
    this.scale = this.fitted * zoom;
    this.left = width / 2 - middle.x * this.scale;
    this.top = height / 2 - middle.y * this.scale;
    this.#keepInSight();
  }

  show(width, height) {
    this.picture = { width, height };
    this.fit();
  }

  fit() {
    this.scale = this.fitted;
    this.left = (this.screen.width - this.picture.width * this.scale) / 2;
    this.top = (this.screen.height - this.picture.height * this.scale) / 2;
  }

  zoom(factor, x = this.screen.width / 2, y = this.screen.height / 2) {
    const there = this.toPicture(x, y);
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

  toPicture(x, y) {
    return { x: (x - this.left) / this.scale, y: (y - this.top) / this.scale };
  }

  toScreen(x, y) {
    return { x: x * this.scale + this.left, y: y * this.scale + this.top };
  }

  // The nearest place in the picture, rounded to tenths of a pixel.
  inside(x, y) {
    const there = this.toPicture(x, y);
    const bound = (value, most) => Math.round(Math.min(Math.max(value, 0), most - 1) * 10) / 10;
    return { x: bound(there.x, this.picture.width), y: bound(there.y, this.picture.height) };
  }

  #keepInSight() {
    const held = (start, size, room) =>
      size <= room ? (room - size) / 2 : Math.min(MARGIN, Math.max(room - size - MARGIN, start));
    this.left = held(this.left, this.picture.width * this.scale, this.screen.width);
    this.top = held(this.top, this.picture.height * this.scale, this.screen.height);
  }
}
