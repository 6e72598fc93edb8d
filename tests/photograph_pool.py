"""Made-up photographs: a folder in the pool's form, and annotated pictures in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pasam.masks.images import write_png
from pasam.training.annotated import Annotated, annotate


def rectangle(height: int, width: int, x: int, y: int, across: int, down: int) -> np.ndarray:
    """A mask of one rectangle, (height, width)."""
    mask = np.zeros((height, width), np.uint8)
    mask[y : y + down, x : x + across] = 255
    return mask


def image_of(masks, *, seed: int) -> np.ndarray:
    """Noise, on which every object has a colour of its own."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 90, (*masks[0].shape, 3), np.uint8)
    for mask in masks:
        image[mask > 128] += rng.integers(60, 160, 3, np.uint8)
    return image


def picture(dataset: str, *masks: np.ndarray, seed: int = 0, coarseness: float = 0.0) -> Annotated:
    """An annotated picture of these masks."""
    rng = np.random.default_rng(seed)
    made = annotate(dataset, image_of(masks, seed=seed), masks, coarseness=coarseness, rng=rng)
    assert made is not None
    return made


def write_pool(folder: Path) -> Path:
    """Three training photographs of two sets and two of `val`, each with two masks."""
    rows = ["split,dataset,image,mask,licence"]
    for number, (split, dataset) in enumerate(
        [("train", "cats"), ("train", "cats"), ("train", "cups"), ("val", "cats"), ("val", "cups")]
    ):
        masks = [rectangle(80, 120, 5 + number, 10, 50, 40), rectangle(80, 120, 70, 50, 20, 16)]
        image = f"{dataset}/im/{number}.png"
        write_png(folder / image, image_of(masks, seed=number))
        for part, mask in enumerate(masks):
            path = f"{dataset}/gt/{number}_{part}.png"
            write_png(folder / path, mask)
            rows.append(f"{split},{dataset},{image},{path},CC0 1.0")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder
