"""The pictures that `vit_tiny` is pretrained on, in memory, each with fine and coarse masks.

SAM's masks come from hurried annotation; the coarse mask of an object is therefore drawn once,
like an annotation, and does not change from view to view.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasam.data.coarsening import coarsen
from pasam.data.images import read_image, read_mask
from pasam.data.prepare import PRETRAINING_SET, TRAINING_SET, scene_seed, training_objects
from pasam.data.synthetic.scene import MIXED, draw_scene
from pasam.parallel import spread

# Shapes: H, W of the picture; K annotated objects.

LONGEST_SIDE = 384
"""Larger photographs are brought down to this many pixels: the base sees 256."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image with its annotated objects."""

    image: NDArray[np.uint8]
    """RGB, (H, W, 3)."""
    fine: NDArray[np.uint8]
    """The objects as they are, (K, H, W), 0..255."""
    coarse: NDArray[np.uint8]
    """The objects as a hurried annotator would draw them, (K, H, W), 0..255."""


def read_pool(manifest: pd.DataFrame, *, coarseness: float, workers: int) -> list[Picture]:
    """Read one's own training images with all their masks.

    The generated training set is the adapters'; the base sees further scenes, from `draw_pool`.

    Args:
        manifest: The data.
        coarseness: Radius of the coarsening as a share of the longer side.
        workers: Processes.
    """
    train = manifest[(manifest["split"] == "train") & (manifest["dataset"] != TRAINING_SET)]
    images = [(str(image), tuple(rows["mask"])) for image, rows in train.groupby("image")]
    read = partial(_read, coarseness=coarseness)
    return list(spread(read, list(enumerate(images)), workers=workers, label="reading pictures"))


def draw_pool(
    count: int, *, seed: int, side: int, coarseness: float, workers: int
) -> list[Picture]:
    """Draw scenes that no other generated set holds.

    Args:
        count: How many.
        seed: Seed of all generated data (`data.generated.seed`).
        side: Side of a scene in pixels.
        coarseness: Radius of the coarsening as a share of the side.
        workers: Processes.
    """
    draw = partial(_draw, side=side, coarseness=coarseness)
    seeds = [scene_seed(seed, dataset=PRETRAINING_SET, index=i) for i in range(count)]
    return list(spread(draw, seeds, workers=workers, label="drawing pictures"))


def _read(item: tuple[int, tuple[str, tuple[str, ...]]], *, coarseness: float) -> Picture:
    index, (image_path, mask_paths) = item
    image = read_image(Path(image_path))
    masks = [read_mask(Path(path)) for path in mask_paths]
    scale = LONGEST_SIDE / max(image.shape[:2])
    if scale < 1:
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        masks = [
            np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.uint8)
            for mask in masks
        ]
    return _annotate(image, masks, coarseness, np.random.default_rng([0, index]))


def _draw(seed: int, *, side: int, coarseness: float) -> Picture:
    scene = draw_scene(
        family=MIXED, seed=seed, side=side, held_out=False, objects=training_objects(seed)
    )
    return _annotate(scene.image, list(scene.masks), coarseness, np.random.default_rng([1, seed]))


def _annotate(
    image: NDArray[np.uint8],
    masks: list[NDArray[np.uint8]],
    coarseness: float,
    rng: np.random.Generator,
) -> Picture:
    visible = [mask for mask in masks if (mask > 128).any()]
    coarse = [coarsen(mask, radius_share=coarseness, rng=rng) for mask in visible]
    shape = (len(visible), *image.shape[:2])
    return Picture(
        image=image,
        fine=np.asarray(visible, np.uint8).reshape(shape),
        coarse=np.asarray(coarse, np.uint8).reshape(shape),
    )
