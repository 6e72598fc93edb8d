"""A set of images and masks, written for other tools: COCO, YOLO-seg, labelme, cut-outs."""

# Shapes: H, W of an image.

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasam.data.pairing import Pair
from pasam.errors import DataError
from pasam.files import draft_folder
from pasam.masks.images import encode_rgba, foreground, read_image
from pasam.masks.mask_files import read_mask
from pasam.masks.polygons import joined, polygons_of
from pasam.masks.run_lengths import area, bounding_box, encode

Masks = Sequence[NDArray[np.uint8]]
_LONGEST_CORNER = 2  # digits behind the point


def export_set(pairs: Sequence[Pair], out: Path, form: str) -> int:
    """Write the masks of a set in another tool's form.

    Args:
        pairs: Sorted, of one data set.
        out: Folder to write, which must not exist or be empty.
        form: One of `FORMS`.

    Returns:
        How many images were written.

    Raises:
        DataError: The folder holds something, or a file cannot be read.
    """
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty. Name a folder of its own (--out).")
    images: dict[Path, list[Path]] = {}
    for pair in pairs:
        images.setdefault(pair.image, []).append(pair.mask)
    top = os.path.commonpath([image.parent for image in images]) if images else ""
    with draft_folder(out) as draft:
        done = [
            (image.relative_to(top), image, [read_mask(mask) for mask in masks])
            for image, masks in images.items()
        ]
        FORMS[form](draft, done, pairs[0].dataset if pairs else "object")
    return len(images)


Named = Sequence[tuple[Path, Path, Masks]]
"""Images: the name below the set's folder, the file, and the masks."""


def _write_coco(out: Path, images: Named, category: str) -> None:
    """Write `annotations.json` with polygons; one with run lengths keeps every pixel."""
    _write(out / "annotations.json", _coco(images, category, _coco_polygons))


def _write_coco_rle(out: Path, images: Named, category: str) -> None:
    _write(out / "annotations.json", _coco(images, category, lambda mask: encode(foreground(mask))))


def _coco(
    images: Named, category: str, drawn: Callable[[NDArray[np.uint8]], Any]
) -> Mapping[str, Any]:
    records: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, _, masks) in enumerate(images, start=1):
        height, width = masks[0].shape
        records.append(
            {"id": number, "file_name": name.as_posix(), "height": height, "width": width}
        )
        for mask in masks:
            code = encode(foreground(mask))
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": number, "category_id": 1,
                    "bbox": list(bounding_box(code)), "area": area(code), "iscrowd": 0,
                    "segmentation": drawn(mask),
                }
            )  # fmt: skip
    return {
        "images": records, "annotations": annotations,
        "categories": [{"id": 1, "name": category}],
    }  # fmt: skip


def _coco_polygons(mask: NDArray[np.uint8]) -> list[list[float]]:
    return [np.round(part, _LONGEST_CORNER).ravel().tolist() for part in polygons_of(mask)]


def _write_yolo(out: Path, images: Named, category: str) -> None:
    """Write a text file per image: class 0 and one polygon per object, parts joined by cuts."""
    for name, _, masks in images:
        height, width = masks[0].shape
        lines = []
        for mask in masks:
            parts = polygons_of(mask)
            if parts:
                corners = reduce(joined, parts) / (width, height)
                lines.append("0 " + " ".join(f"{value:.6f}" for value in corners.ravel()))
        _write_text(out / name.with_suffix(".txt"), "\n".join(lines) + "\n")
    _write_text(out / "classes.txt", category + "\n")


def _write_labelme(out: Path, images: Named, category: str) -> None:
    """Write a JSON file per image; the parts of an object share a group."""
    for name, file, masks in images:
        height, width = masks[0].shape
        shapes = [
            {
                "label": category, "points": np.round(part, _LONGEST_CORNER).tolist(),
                "group_id": number, "shape_type": "polygon", "flags": {},
            }
            for number, mask in enumerate(masks, start=1) for part in polygons_of(mask)
        ]  # fmt: skip
        content = {
            "version": "5.0.0", "flags": {}, "shapes": shapes, "imagePath": file.name,
            "imageData": None, "imageHeight": height, "imageWidth": width,
        }  # fmt: skip
        _write(out / name.with_suffix(".json"), content)


def _write_cutouts(out: Path, images: Named, category: str) -> None:
    """Write a PNG per object: the image inside the mask's box, the mask in the alpha channel."""
    for name, file, masks in images:
        pixels = read_image(file)
        for number, mask in enumerate(masks):
            x, y, wide, tall = bounding_box(encode(foreground(mask)))
            part = np.dstack([pixels, mask])[y : y + tall, x : x + wide]
            path = out / name.with_name(f"{name.stem}_{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_rgba(part))


FORMS: Mapping[str, Callable[[Path, Named, str], None]] = {
    "coco": _write_coco, "coco-rle": _write_coco_rle, "yolo": _write_yolo,
    "labelme": _write_labelme, "cutout": _write_cutouts,
}  # fmt: skip
"""What writes a set, by the name of its form."""


def _write(path: Path, content: Any) -> None:
    _write_text(path, json.dumps(content) + "\n")


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
