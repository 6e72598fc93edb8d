// Brush and eraser: paints on a mask, and gives it back when the stroke ends.

import { Mask, blank } from "./masks.js";
import { tinted } from "./layers.js";

export class Stroke {
  // On the object's mask, or on none, in its colour; `size` is the image's.
  constructor(mask, colour, { width, height }) {
    this.canvas = blank(width, height);
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.last = null;
    if (mask) {
      const { fill, x, y } = tinted(mask, colour);
      this.context.drawImage(fill, x, y);
    }
    Object.assign(this.context, { strokeStyle: colour, lineCap: "round", lineJoin: "round" });
  }

  // Paint on from where the stroke was, with a brush of this width in pixels of the image.
  to({ x, y }, width, erases) {
    const { context } = this;
    context.globalCompositeOperation = erases ? "destination-out" : "source-over";
    context.lineWidth = Math.max(1, width);
    context.beginPath();
    context.moveTo(this.last?.x ?? x, this.last?.y ?? y);
    context.lineTo(x + 0.01, y); // a line of no length would paint nothing
    context.stroke();
    this.last = { x, y };
  }

  mask() {
    return Mask.ofCanvas(this.canvas);
  }
}
