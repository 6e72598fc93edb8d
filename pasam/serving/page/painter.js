// Draws the image and everything that lies on it.

const INK = "rgba(0,0,0,.75)";

export class Painter {
  constructor(canvas, viewport) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.viewport = viewport;
    this.pending = false;
    this.scene = null;
  }

  // Draw a scene at the next frame; of several the last one counts.
  draw(scene) {
    this.scene = scene;
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.#paint(this.scene);
    });
  }

  #paint(scene) {
    const { context, viewport } = this;
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = viewport.screen;
    if (this.canvas.width !== Math.round(width * ratio)) this.canvas.width = Math.round(width * ratio);
    if (this.canvas.height !== Math.round(height * ratio)) this.canvas.height = Math.round(height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!scene.image) return;
    const border = this.#border(scene);
    context.imageSmoothingEnabled = viewport.scale < 3;
    this.#lay(scene.image);
    if (scene.others) this.#layer(scene.others, scene.opacity);
    this.#within(0, border, () => this.#side(scene.left, scene.opacity));
    this.#within(border, width, () => this.#side(scene.right, scene.opacity));
    if (scene.own) this.#layer(scene.own, scene.opacity);
    if (scene.preview) this.#layer(scene.preview, 0.35 * scene.opacity);
    if (scene.stroke) this.#faint(scene.stroke, Math.max(scene.opacity, 0.35));
    if (scene.left) this.#line(border);
    this.#mined(scene.mined);
    this.#prompts(scene);
    if (scene.cross) this.#cross(scene.cross);
    if (scene.brush) this.#ring(scene.brush);
  }

  // The border between both models, in CSS pixels; at the far left when there is one model only.
  #border({ left, split }) {
    return left ? this.viewport.screen.width * split : 0;
  }

  #side(side, opacity) {
    if (!side) return;
    if (side.map) this.#lay(side.map);
    if (side.mask) this.#layer(side.mask, opacity);
  }

  // A mask: what it covers at this opacity, and its edge, which is always firm.
  #layer({ fill, edge, x, y, scale }, opacity) {
    const { scale: zoom, left, top } = this.viewport;
    const place = [left + x * zoom, top + y * zoom, fill.width * scale * zoom, fill.height * scale * zoom];
    this.context.globalAlpha = opacity;
    this.context.drawImage(fill, ...place);
    this.context.globalAlpha = 1;
    this.context.drawImage(edge, ...place);
  }

  #faint(canvas, opacity) {
    this.context.globalAlpha = opacity;
    this.#lay(canvas);
    this.context.globalAlpha = 1;
  }

  #lay(bitmap) {
    const { scale, left, top, image } = this.viewport;
    this.context.drawImage(bitmap, left, top, image.width * scale, image.height * scale);
  }

  // How wide the brush is, where the pointer is.
  #ring({ x, y, width }) {
    const { context } = this;
    const there = this.viewport.toScreen(x, y);
    for (const [style, line] of [[INK, 3], ["#fff", 1]]) {
      context.strokeStyle = style;
      context.lineWidth = line;
      context.beginPath();
      context.arc(there.x, there.y, width / 2, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  #within(from, to, paint) {
    if (to <= from) return;
    this.context.save();
    this.context.beginPath();
    this.context.rect(from, 0, to - from, this.viewport.screen.height);
    this.context.clip();
    paint();
    this.context.restore();
  }

  #line(x) {
    const { height } = this.viewport.screen;
    this.context.fillStyle = INK;
    this.context.fillRect(x - 2, 0, 4, height);
    this.context.fillStyle = "#fff";
    this.context.fillRect(x - 1, 0, 2, height);
  }

  #mined({ positive, negative, colours }) {
    for (const [points, colour] of [[positive, colours.in], [negative, colours.out]]) {
      for (const [px, py] of points) {
        const { x, y } = this.viewport.toScreen(px + 0.5, py + 0.5);
        const { context } = this;
        context.beginPath();
        context.moveTo(x, y - 6);
        context.lineTo(x + 6, y);
        context.lineTo(x, y + 6);
        context.lineTo(x - 6, y);
        context.closePath();
        this.#filled(colour, 1.5);
      }
    }
  }

  #prompts({ box, draft, points, colours }) {
    for (const each of [box, draft]) {
      if (each) this.#box(each, colours.box, each === draft);
    }
    for (const { x: px, y: py, label } of points) {
      const { x, y } = this.viewport.toScreen(px, py);
      this.context.beginPath();
      this.context.arc(x, y, 9, 0, 2 * Math.PI);
      this.#filled(label ? colours.in : colours.out, 2);
      this.context.fillStyle = "#000";
      this.context.fillRect(x - 4.5, y - 1, 9, 2);
      if (label) this.context.fillRect(x - 1, y - 4.5, 2, 9);
    }
  }

  #box([x0, y0, x1, y1], colour, isDraft) {
    const { context } = this;
    const from = this.viewport.toScreen(x0, y0);
    const to = this.viewport.toScreen(x1, y1);
    context.setLineDash(isDraft ? [6, 4] : []);
    for (const [style, width] of [[INK, 4], [colour, 2]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.strokeRect(from.x, from.y, to.x - from.x, to.y - from.y);
    }
    context.setLineDash([]);
  }

  #cross({ x: px, y: py }) {
    const { context } = this;
    const { x, y } = this.viewport.toScreen(px, py);
    for (const [style, width] of [[INK, 5], ["#fff", 2]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 4 * dx, y + 4 * dy);
        context.lineTo(x + 14 * dx, y + 14 * dy);
      }
      context.stroke();
    }
  }

  #filled(colour, width) {
    this.context.fillStyle = colour;
    this.context.fill();
    this.context.strokeStyle = INK;
    this.context.lineWidth = width;
    this.context.stroke();
  }
}
