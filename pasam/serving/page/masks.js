// A mask as COCO's run lengths: from column to column, background first; small, however large the image.

export class Mask {
  // `runs` are lengths of background and object by turns; `png` the service's own file of it, if it is.
  constructor(width, height, runs, png = null) {
    Object.assign(this, { width, height, runs, png });
  }

  static ofRle({ size: [height, width], counts }, png = null) {
    return new Mask(width, height, decoded(counts), png);
  }

  // What is painted on a canvas of the image's size.
  static ofCanvas(canvas) {
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    const writer = new RunWriter(width * height);
    for (let x = 0; x < width; x += 1) {
      let start = -1;
      for (let y = 0; y < height; y += 1) {
        const inside = data[4 * (y * width + x) + 3] > 127;
        if (inside && start < 0) start = y;
        if (!inside && start >= 0) {
          writer.add(x * height + start, x * height + y);
          start = -1;
        }
      }
      if (start >= 0) writer.add(x * height + start, (x + 1) * height);
    }
    return new Mask(width, height, writer.end());
  }

  get area() {
    let sum = 0;
    for (let i = 1; i < this.runs.length; i += 2) sum += this.runs[i];
    return sum;
  }

  // x, y, width, height in pixels; all 0 of an empty mask.
  get box() {
    if (this.known) return this.known;
    let [left, top, right, bottom] = [this.width, this.height, 0, 0];
    for (const [x, from, to] of this.columns()) {
      [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
      [top, bottom] = [Math.min(top, from), Math.max(bottom, to)];
    }
    this.known = right ? [left, top, right - left, bottom - top] : [0, 0, 0, 0];
    return this.known;
  }

  // Pieces of columns: x, first y, y behind the last.
  * columns() {
    const { height, runs } = this;
    let place = 0;
    for (let i = 0; i < runs.length; i += 1) {
      const end = place + runs[i];
      if (i % 2) {
        while (place < end) {
          const x = Math.floor(place / height);
          const stop = Math.min(end, (x + 1) * height);
          yield [x, place - x * height, stop - x * height];
          place = stop;
        }
      }
      place = end;
    }
  }

  rle() {
    return { size: [this.height, this.width], counts: encoded(this.runs) };
  }

  // The mask for an image of another size, to the nearest pixel.
  resized(width, height) {
    if (width === this.width && height === this.height) return this;
    const pieces = Array.from({ length: this.width }, () => []);
    for (const [x, from, to] of this.columns()) pieces[x].push([from, to]);
    const writer = new RunWriter(width * height);
    const at = (y) => Math.ceil((y * height) / this.height - 0.5);
    for (let x = 0; x < width; x += 1) {
      for (const [from, to] of pieces[Math.floor(((x + 0.5) * this.width) / width)]) {
        writer.add(x * height + at(from), x * height + at(to));
      }
    }
    return new Mask(width, height, writer.end());
  }

  // White where the mask is and clear elsewhere, on a canvas no larger than needed: {canvas, x, y}.
  patch(margin = 0) {
    const [x, y, wide, tall] = this.box;
    const canvas = blank(wide + 2 * margin || 1, tall + 2 * margin || 1);
    const context = canvas.getContext("2d");
    const pixels = new ImageData(canvas.width, canvas.height);
    const values = new Uint32Array(pixels.data.buffer);
    for (const [column, from, to] of this.columns()) {
      let place = (from - y + margin) * canvas.width + column - x + margin;
      for (let row = from; row < to; row += 1, place += canvas.width) values[place] = 0xffffffff;
    }
    context.putImageData(pixels, 0, 0);
    return { canvas, x: x - margin, y: y - margin };
  }
}

// Collects pieces of object in their order, and joins those that touch.
class RunWriter {
  constructor(size) {
    Object.assign(this, { size, runs: [], reached: 0 });
  }

  add(from, to) {
    if (to <= from) return;
    if (from === this.reached && this.runs.length) this.runs[this.runs.length - 1] += to - from;
    else this.runs.push(from - this.reached, to - from);
    this.reached = to;
  }

  end() {
    if (this.reached < this.size) this.runs.push(this.size - this.reached);
    return this.runs;
  }
}

export function blank(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

// COCO's text of run lengths: differences to the run before last, five bits a letter.
function encoded(runs) {
  let text = "";
  for (let i = 0; i < runs.length; i += 1) {
    let value = i > 2 ? runs[i] - runs[i - 2] : runs[i];
    for (let more = true; more;) {
      let bits = value & 31;
      value >>= 5;
      more = bits & 16 ? value !== -1 : value !== 0;
      if (more) bits |= 32;
      text += String.fromCharCode(bits + 48);
    }
  }
  return text;
}

function decoded(text) {
  const runs = [];
  for (let place = 0; place < text.length;) {
    let [value, shift, bits] = [0, 0, 32];
    while (bits & 32) {
      bits = text.charCodeAt(place) - 48;
      value |= (bits & 31) << shift;
      shift += 5;
      place += 1;
    }
    if (bits & 16 && shift < 32) value |= -1 << shift;
    runs.push(runs.length > 2 ? value + runs[runs.length - 2] : value);
  }
  return runs;
}
