// Masks and maps as images that can be laid over the photograph.

import { blank } from "./masks.js";

const STACKED = 8_000_000; // pixels of all other objects' layer, which is drawn smaller above

// How uncertain a pixel is, as colour and opacity: nothing where the model is sure. Style.css shows
// the same steps beside the checkbox.
const UNSURE = [[156, 23, 158, 0], [204, 71, 120, 130], [237, 121, 83, 190], [240, 249, 33, 235]];

export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

// Width of a mask's edge in pixels of its image.
export const edgeOf = ({ width, height }) => Math.max(1, Math.round(Math.max(width, height) / 500));

function coloured(canvas, colour) {
  const context = canvas.getContext("2d");
  context.globalCompositeOperation = "source-in";
  context.fillStyle = colour;
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}

// A mask in a colour, as two layers: what it covers, and the edge round it.
export function tinted(mask, colour) {
  const width = edgeOf(mask);
  const { canvas: fill, x, y } = mask.patch(width);
  const edge = blank(fill.width, fill.height);
  const context = edge.getContext("2d");
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-1, -1], [1, -1], [-1, 1]]) {
    context.drawImage(fill, dx * width, dy * width);
  }
  context.globalCompositeOperation = "destination-out";
  context.drawImage(fill, 0, 0);
  return { fill: coloured(fill, colour), edge: coloured(edge, colour), x, y, scale: 1 };
}

// Masks in one pair of layers, each in its colour; a later one covers what it lies on.
export function stacked(masks, colours, { width, height }) {
  const scale = Math.min(1, Math.sqrt(STACKED / (width * height)));
  const [fill, edge] = [0, 1].map(() => blank(Math.ceil(width * scale), Math.ceil(height * scale)));
  masks.forEach((mask, i) => {
    const one = tinted(mask, colours[i]);
    const place = [one.x, one.y, one.fill.width, one.fill.height].map((value) => value * scale);
    for (const [whole, part] of [[fill, one.fill], [edge, one.edge]]) {
      const context = whole.getContext("2d");
      context.globalCompositeOperation = "destination-out";
      context.drawImage(one.fill, ...place);
      context.globalCompositeOperation = "source-over";
      context.drawImage(part, ...place);
    }
  });
  return { fill, edge, x: 0, y: 0, scale: 1 / scale };
}

// The uncertainty map (grey PNG, base64): clear where the model is sure, so that the image stays seen.
export async function heated(base64) {
  const bitmap = await createImageBitmap(new Blob([bytesOf(base64)], { type: "image/png" }));
  const canvas = blank(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const data = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const pixels = data.data;
  for (let i = 0; i < pixels.length; i += 4) {
    const place = (pixels[i] / 255) * (UNSURE.length - 1);
    const step = Math.min(Math.floor(place), UNSURE.length - 2);
    for (let channel = 0; channel < 4; channel += 1) {
      const [from, to] = [UNSURE[step][channel], UNSURE[step + 1][channel]];
      pixels[i + channel] = from + (to - from) * (place - step);
    }
  }
  context.putImageData(data, 0, 0);
  return canvas;
}
