"""Masks on disk, in the forms that other programs read: PNG, COCO's run lengths, a COCO set."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pasam.data.images import write_png
from pasam.inference.found_masks import FoundMask


def numbered(name: str, number: int, count: int, ending: str) -> str:
    """Name one of several files: `photo_mask_2.png`, or `photo_mask.png` when it is alone."""
    return f"{name}_{ending}" if count == 1 else f"{name}_{ending}_{number + 1}"


def write_masks(folder: Path, name: str, masks: Sequence[FoundMask]) -> list[Path]:
    """Write each mask as a PNG of 0 and 255, of the picture's size."""
    paths = [folder / f"{numbered(name, i, len(masks), 'mask')}.png" for i in range(len(masks))]
    for path, found in zip(paths, masks, strict=True):
        write_png(path, found.mask.astype(np.uint8) * 255)
    return paths


def write_uncertainty(folder: Path, name: str, masks: Sequence[FoundMask]) -> list[Path]:
    """Write each uncertainty map as a grey PNG: black is sure, white is not."""
    mapped = [(i, m.uncertainty) for i, m in enumerate(masks) if m.uncertainty is not None]
    paths = []
    for number, values in mapped:
        path = folder / f"{numbered(name, number, len(masks), 'uncertainty')}.png"
        write_png(path, np.rint(values * 255).astype(np.uint8))
        paths.append(path)
    return paths


def write_records(folder: Path, name: str, masks: Sequence[FoundMask]) -> Path:
    """Write all masks of a picture as one JSON list of records with COCO run lengths."""
    path = folder / f"{name}.json"
    write_json(path, [found.record() for found in masks])
    return path


class CocoSet:
    """A COCO data set that grows picture by picture; pycocotools and other tools read it."""

    def __init__(self) -> None:
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(self, picture: Path, size: tuple[int, int], masks: Sequence[FoundMask]) -> None:
        """Add a picture of (H, W) pixels with its masks."""
        number = len(self.images) + 1
        self.images.append(
            {"id": number, "file_name": picture.name, "height": size[0], "width": size[1]}
        )
        for found in masks:
            record = found.record()
            del record["prompt"]
            record.pop("category", None)  # the set has its name
            self.annotations.append(
                {
                    "id": len(self.annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "iscrowd": 0,
                    **record,
                }
            )

    def write(self, path: Path, names: Mapping[int, str]) -> None:
        """Write the set as JSON, with the names of its categories by id."""
        categories = [{"id": identity, "name": name} for identity, name in names.items()]
        content = {
            "images": self.images,
            "annotations": self.annotations,
            "categories": categories,
        }
        write_json(path, content)


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; equal content gives equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file)
            file.write("\n")
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
