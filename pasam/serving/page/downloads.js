// Results as files.

import { bytesOf } from "./layers.js";

function save(content, name, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const stem = (name) => name.replace(/\.[^.]*$/, "") || "picture";

// The service's own bytes, untouched.
export function savePng(answer, name) {
  answer.masks.forEach((mask, number) => {
    const which = answer.masks.length > 1 ? `_${number + 1}` : "";
    save(bytesOf(mask.png), `${stem(name)}_mask${which}.png`, "image/png");
  });
}

export function saveRle(answer, name) {
  const records = answer.masks.map(({ score, area, bbox, segmentation }) => ({ score, area, bbox, segmentation }));
  save(`${JSON.stringify(records)}\n`, `${stem(name)}_rle.json`, "application/json");
}

export function saveCoco(answer, name) {
  const set = structuredClone(answer.coco);
  set.images[0].file_name = name;
  save(`${JSON.stringify(set)}\n`, `${stem(name)}_coco.json`, "application/json");
}
