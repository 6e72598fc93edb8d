// Results as files.

import { blank, bytesOf, silhouette } from "./layers.js";

function save(content, name, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const stem = (name) => name.replace(/\.[^.]*$/, "") || "image";

// The service's own bytes; brought to the image's size where a smaller one was searched.
export function savePng(answer, name, image) {
  answer.masks.forEach(async (mask, number) => {
    const which = answer.masks.length > 1 ? `_${number + 1}` : "";
    const content = answer.width === image.width ? bytesOf(mask.png) : await enlarged(mask.png, image);
    save(content, `${stem(name)}_mask${which}.png`, "image/png");
  });
}

async function enlarged(png, { width, height }) {
  const whole = blank(width, height);
  const context = whole.getContext("2d");
  context.imageSmoothingEnabled = false; // a mask is 0 or 255, nothing between
  context.drawImage(await createImageBitmap(new Blob([bytesOf(png)], { type: "image/png" })), 0, 0, width, height);
  return new Promise((done) => whole.toBlob(done, "image/png"));
}

// What the masks cover of the image, all else clear.
export async function saveCutOut(answer, name, image) {
  const cut = blank(image.width, image.height);
  const context = cut.getContext("2d");
  for (const { png } of answer.masks) context.drawImage(await silhouette(png), 0, 0, image.width, image.height);
  context.globalCompositeOperation = "source-in";
  context.drawImage(image, 0, 0);
  cut.toBlob((blob) => save(blob, `${stem(name)}_cutout.png`, "image/png"));
}

export function saveRle(answer, name) {
  const records = answer.masks.map(({ score, area, bbox, segmentation }) => ({ score, area, bbox, segmentation }));
  save(`${JSON.stringify(records)}\n`, `${stem(name)}_rle.json`, "application/json");
}

// A whole COCO set of one image, as the service's format `coco` writes it.
export function saveCoco({ masks, width, height }, name) {
  const annotations = masks.map(({ score, area, bbox, segmentation }, i) => (
    { id: i + 1, image_id: 1, category_id: 1, iscrowd: 0, segmentation, area, bbox, score }));
  const set = {
    images: [{ id: 1, file_name: name, height, width }],
    annotations,
    categories: [{ id: 1, name: "object" }],
  };
  save(`${JSON.stringify(set)}\n`, `${stem(name)}_coco.json`, "application/json");
}
