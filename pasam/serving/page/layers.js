// Masks and maps from the service as images that can be laid over the photograph.

// Matplotlib's magma at nine equal steps; its lightness grows evenly.
const MAGMA = [
  [0, 0, 4], [28, 16, 68], [79, 18, 123], [129, 37, 129], [181, 54, 122],
  [229, 80, 100], [251, 135, 97], [254, 194, 135], [252, 253, 191],
];

export function blank(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

async function valuesOf(base64) {
  const bitmap = await createImageBitmap(new Blob([bytesOf(base64)], { type: "image/png" }));
  const canvas = blank(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return { canvas, context, data: context.getImageData(0, 0, bitmap.width, bitmap.height) };
}

// A mask (PNG of 0 and 255, base64) as a silhouette, white where it is and clear elsewhere.
export async function silhouette(base64) {
  const { canvas, context, data } = await valuesOf(base64);
  const pixels = data.data;
  for (let i = 0; i < pixels.length; i += 4) {
    pixels[i + 3] = pixels[i];
    pixels[i] = pixels[i + 1] = pixels[i + 2] = 255;
  }
  context.putImageData(data, 0, 0);
  return canvas;
}

// A silhouette in a colour: half clear inside, with a firm edge.
export function tinted(shape, colour, width = 1) {
  const edge = blank(shape.width, shape.height);
  const context = edge.getContext("2d");
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-1, -1], [1, -1], [-1, 1]]) {
    context.drawImage(shape, dx * width, dy * width);
  }
  context.globalCompositeOperation = "destination-out";
  context.drawImage(shape, 0, 0);
  context.globalCompositeOperation = "source-over";
  context.globalAlpha = 0.5;
  context.drawImage(shape, 0, 0);
  context.globalAlpha = 1;
  context.globalCompositeOperation = "source-in";
  context.fillStyle = colour;
  context.fillRect(0, 0, edge.width, edge.height);
  return edge;
}

// Silhouettes in one image, each in the next colour; a later one covers what it lies on.
export function stacked(shapes, colours, width) {
  const whole = blank(shapes[0]?.width ?? 1, shapes[0]?.height ?? 1);
  const context = whole.getContext("2d");
  shapes.forEach((shape, i) => {
    context.globalCompositeOperation = "destination-out";
    context.drawImage(shape, 0, 0);
    context.globalCompositeOperation = "source-over";
    context.drawImage(tinted(shape, colours[i % colours.length], width), 0, 0);
  });
  return whole;
}

// The uncertainty map (grey PNG, base64) in magma: dark is sure, light is not.
export async function heated(base64) {
  const { canvas, context, data } = await valuesOf(base64);
  const pixels = data.data;
  for (let i = 0; i < pixels.length; i += 4) {
    const place = (pixels[i] / 255) * (MAGMA.length - 1);
    const step = Math.min(Math.floor(place), MAGMA.length - 2);
    for (let channel = 0; channel < 3; channel += 1) {
      const [from, to] = [MAGMA[step][channel], MAGMA[step + 1][channel]];
      pixels[i + channel] = from + (to - from) * (place - step);
    }
  }
  context.putImageData(data, 0, 0);
  return canvas;
}
