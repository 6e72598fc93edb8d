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

// The service's own bytes, untouched.
export function savePng(answer, name) {
  answer.masks.forEach((mask, number) => {
    const which = answer.masks.length > 1 ? `_${number + 1}` : "";
    save(bytesOf(mask.png), `${stem(name)}_mask${which}.png`, "image/png");
  });
}

// What the masks cover of the image, all else clear.
export async function saveCutOut(answer, name, image) {
  const cut = blank(image.width, image.height);
  const context = cut.getContext("2d");
  for (const { png } of answer.masks) context.drawImage(await silhouette(png), 0, 0);
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
