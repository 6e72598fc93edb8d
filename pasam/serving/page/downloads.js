// Results as files: of the chosen object or, without one, of all; and one zip for everything.

import * as api from "./api.js";
import { bytesOf } from "./layers.js";
import { blank } from "./masks.js";
import { zipped } from "./zip.js";

function save(content, name, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const stem = (name) => name.replace(/\.[^.]*$/, "") || "image";
const plain = (name) => name.replaceAll(/[^\p{L}\p{N} ._-]/gu, "_").slice(0, 60) || "object";
const asPng = (canvas) => new Promise((done) => canvas.toBlob(done, "image/png"));

function drawn(masks, { width, height }, colourOf = () => "#fff", ground = null) {
  const canvas = blank(width, height);
  const context = canvas.getContext("2d");
  if (ground) {
    context.fillStyle = ground;
    context.fillRect(0, 0, width, height);
  }
  masks.forEach((mask, i) => {
    const { canvas: patch, x, y } = mask.patch();
    const own = patch.getContext("2d");
    own.globalCompositeOperation = "source-in";
    own.fillStyle = colourOf(i);
    own.fillRect(0, 0, patch.width, patch.height);
    context.drawImage(patch, x, y);
  });
  return canvas;
}

// The service's own bytes where there are any; else 0 and 255 all the same.
async function maskPng(masks, image) {
  if (masks.length === 1 && masks[0].png) return bytesOf(masks[0].png);
  return asPng(drawn(masks, image, undefined, "#000"));
}

// What the masks cover of the image, all else clear.
function cutOut(masks, image) {
  const canvas = drawn(masks, image);
  const context = canvas.getContext("2d");
  context.globalCompositeOperation = "source-in";
  context.drawImage(image, 0, 0);
  return asPng(canvas);
}

export const saveMask = async (objects, { name, image }) =>
  save(await maskPng(objects.map(({ mask }) => mask), image), `${stem(name)}_mask.png`, "image/png");

export const saveCutOut = async (objects, { name, image }) =>
  save(await cutOut(objects.map(({ mask }) => mask), image), `${stem(name)}_cutout.png`, "image/png");

const recordOf = ({ name, mask }) => (
  { name, score: mask.score, area: mask.area, bbox: mask.box, segmentation: mask.rle() });

export function saveRle(objects, { name }) {
  save(`${JSON.stringify(objects.map(recordOf))}\n`, `${stem(name)}_rle.json`, "application/json");
}

// A whole COCO set of one image, with run lengths.
export function saveCoco(objects, { name, image }) {
  const names = [...new Set(objects.map((each) => each.name))];
  const annotations = objects.map((object, i) => {
    const { name: category, ...record } = recordOf(object);
    return { id: i + 1, image_id: 1, category_id: names.indexOf(category) + 1, iscrowd: 0, ...record };
  });
  const set = {
    images: [{ id: 1, file_name: name, height: image.height, width: image.width }],
    annotations,
    categories: names.map((category, i) => ({ id: i + 1, name: category })),
  };
  save(`${JSON.stringify(set)}\n`, `${stem(name)}_coco.json`, "application/json");
}

const exported = ({ name, objects }) => ({
  file_name: name.replaceAll(/[\\/:\p{Cc}]/gu, "_").slice(0, 80), height: objects[0].mask.height, width: objects[0].mask.width,
  objects: objects.map(({ name: label, mask }) => ({ name: label, segmentation: mask.rle() })),
});

// COCO with polygons, which the service draws round the masks.
export async function savePolygons(objects, { name }) {
  const { files } = await api.annotations([exported({ name, objects })], "coco");
  save(files["annotations.json"], `${stem(name)}_polygons.json`, "application/json");
}

// Object numbers as grey values; above 255, red holds the rest and green the times 256.
const numberColour = (i) => {
  const number = i + 1;
  return number < 256 ? `rgb(${number},${number},${number})` : `rgb(${number % 256},${Math.floor(number / 256)},0)`;
};

// Everything of all images: masks, cut-outs, label maps, and the annotations in every form. `bitmapOf` decodes an image.
export async function saveAll(entries, bitmapOf) {
  const files = [];
  const used = new Set(["classes"]); // as YOLO's list is called
  const marked = entries.filter(({ objects }) => objects.length);
  for (const entry of marked) {
    const { name, objects, blob } = entry;
    let folder = plain(stem(name));
    for (let i = 2; used.has(folder.toLowerCase()); i += 1) folder = `${plain(stem(name))}_${i}`;
    used.add(folder.toLowerCase());
    entry.name = `${folder}${name.slice(stem(name).length)}`; // one that no other image has
    const image = await bitmapOf(blob);
    for (const [i, object] of objects.entries()) {
      const title = `${i + 1}_${plain(object.name)}.png`;
      files.push([`${folder}/masks/${title}`, await maskPng([object.mask], image)]);
      files.push([`${folder}/cutouts/${title}`, await cutOut([object.mask], image)]);
    }
    const numbers = drawn(objects.map(({ mask }) => mask), image, numberColour, "#000");
    files.push([`${folder}/labels.png`, await asPng(numbers)]);
  }
  const forms = ["coco", "coco-rle", "yolo", "labelme"];
  for (const form of forms) {
    const { files: texts } = await api.annotations(marked.map(exported), form);
    for (const [name, text] of Object.entries(texts)) files.push([`${form}/${name}`, text]);
  }
  save(await zipped(files), "pasam.zip", "application/zip");
}
