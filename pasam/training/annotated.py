"""Photographs and generated scenes that a base is trained on, in memory, their masks as bits.

A folder of photographs has the pool's form: `manifest.csv` with the columns split, dataset, image
and mask, the paths relative to the folder, one row per mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasam.data.catalogue import PRETRAINING_SET
from pasam.data.preparation import scene_seed, training_objects
from pasam.errors import DataError
from pasam.masks.images import foreground, read_image
from pasam.masks.mask_files import read_mask
from pasam.masks.prompts import tight_box
from pasam.synthetic.scene import MIXED, draw_scene
from pasam.training.promptable_batches import coarsen
from pasam.workers import parallel_map

# Shapes: H, W of the image; K annotated objects.

MANIFEST = "manifest.csv"
COLUMNS = ("split", "dataset", "image", "mask")
TRAINED_ON = "train"
"""The one split that is ever read for training."""
LONGEST_SIDE = 416
"""Larger photographs are brought down to this many pixels."""
GENERATED = "generated"
"""Dataset of the drawn scenes."""
SMALL_OBJECT_FRACTION = 0.05
"""Largest radius of the coarsening as a fraction of an object's extent: a radius made for the whole
image would swallow small objects."""


@dataclass(frozen=True, slots=True)
class Annotated:
    """An image with its annotated objects."""

    dataset: str
    image: NDArray[np.uint8]
    """RGB, (H, W, 3)."""
    fine: NDArray[np.uint8]
    """The objects as they are, packed bits, (K, H, ceil(W / 8))."""
    coarse: NDArray[np.uint8]
    """The objects as a hurried annotator would draw them, packed bits, (K, H, ceil(W / 8))."""
    boxes: NDArray[np.float32]
    """Tight boxes of the fine masks: x0, y0, x1, y1, inclusive, (K, 4)."""
    union: NDArray[np.uint8]
    """All fine masks in one, packed bits, (H, ceil(W / 8))."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]

    def extents(self) -> NDArray[np.float32]:
        """Square root of each box's fraction of the image, in (0, 1], (K,)."""
        sides = self.boxes[:, 2:] - self.boxes[:, :2] + 1
        fraction = sides[:, 0] * sides[:, 1] / (self.shape[0] * self.shape[1])
        return np.sqrt(fraction, dtype=np.float32)


def unpack(packed: NDArray[np.uint8], window: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Return part of a packed mask.

    Args:
        packed: Packed bits, (H, ceil(W / 8)).
        window: x0, y0, x1, y1 in pixels, the last exclusive.

    Returns:
        0 or 1, (y1 - y0, x1 - x0).
    """
    x0, y0, x1, y1 = window
    first = x0 // 8
    bits = np.unpackbits(packed[y0:y1, first : -(-x1 // 8)], axis=-1)
    return np.ascontiguousarray(bits[:, x0 - 8 * first : x1 - 8 * first])


def annotate(
    dataset: str,
    image: NDArray[np.uint8],
    masks: Sequence[NDArray[np.uint8]],
    *,
    coarseness: float,
    rng: np.random.Generator,
) -> Annotated | None:
    """Put an image and its masks in memory; None where no mask shows anything.

    Args:
        dataset: Set the image belongs to.
        image: RGB, (H, W, 3).
        masks: One per object, (H, W), 0..255.
        coarseness: Radius of the coarsening as a fraction of the longer side.
        rng: Source of the coarsening's factors.
    """
    visible = [mask for mask in masks if foreground(mask).any()]
    if not visible:
        return None
    boxes = np.stack([tight_box(mask) for mask in visible])
    longest = max(image.shape[:2])
    extents = np.sqrt((boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)) / longest
    coarse = [
        coarsen(
            mask, radius_fraction=min(coarseness, SMALL_OBJECT_FRACTION * float(extent)), rng=rng
        )
        for mask, extent in zip(visible, extents, strict=True)
    ]
    fine = foreground(np.stack(visible))
    return Annotated(
        dataset=dataset,
        image=image,
        fine=np.packbits(fine, axis=-1),
        coarse=np.packbits(foreground(np.stack(coarse)), axis=-1),
        boxes=boxes,
        union=np.packbits(fine.any(axis=0), axis=-1),
    )


def read_photographs(folder: Path, *, coarseness: float, workers: int) -> list[Annotated]:
    """Read the training split of a folder in the pool's form.

    Args:
        folder: Holds `manifest.csv` and what it names.
        coarseness: Radius of the coarsening as a fraction of the longer side.
        workers: Processes.

    Raises:
        DataError: The manifest is missing, lacks columns, or names nothing to train on.
    """
    frame = read_pool_manifest(folder)
    train = frame[frame["split"] == TRAINED_ON]
    if train.empty:
        raise DataError(
            f"{folder / MANIFEST} has no row whose split is {TRAINED_ON!r} among its {len(frame)} "
            "rows; photographs of other splits are never trained on."
        )
    groups = train.groupby(["dataset", "image"], sort=True)["mask"]
    tasks = [
        (number, str(dataset), str(image), tuple(masks))
        for number, ((dataset, image), masks) in enumerate(groups)
    ]
    read = partial(_read, folder=folder, coarseness=coarseness)
    found = parallel_map(read, tasks, workers=workers, label="reading photographs")
    return [picture for picture in found if picture is not None]


def read_pool_manifest(folder: Path) -> pd.DataFrame:
    """Read `manifest.csv` of a folder in the pool's form.

    Raises:
        DataError: It is missing, unreadable or lacks columns.
    """
    path = folder / MANIFEST
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise DataError(
            f"{path} does not exist. Point pretrain.photographs.folder at a folder that holds "
            f"{MANIFEST} with the columns {list(COLUMNS)}."
        ) from None
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path} cannot be read as a table: {error}.") from None
    lacking = [column for column in COLUMNS if column not in frame]
    if lacking:
        raise DataError(f"{path} lacks the columns {lacking}; found {list(frame.columns)}.")
    return frame


def draw_scenes(
    count: int, *, seed: int, side: int, coarseness: float, workers: int
) -> list[Annotated]:
    """Draw scenes that no other generated set holds.

    Args:
        count: How many.
        seed: Seed of all generated data (`data.generated.seed`).
        side: Side of a scene in pixels.
        coarseness: Radius of the coarsening as a fraction of the side.
        workers: Processes.
    """
    draw = partial(_draw, side=side, coarseness=coarseness)
    seeds = [scene_seed(seed, dataset=PRETRAINING_SET, index=i) for i in range(count)]
    found = parallel_map(draw, seeds, workers=workers, label="drawing scenes")
    return [picture for picture in found if picture is not None]


def _read(
    task: tuple[int, str, str, tuple[str, ...]], *, folder: Path, coarseness: float
) -> Annotated | None:
    number, dataset, image_path, mask_paths = task
    image = read_image(folder / image_path)
    masks = [read_mask(folder / path) for path in mask_paths]
    scale = LONGEST_SIDE / max(image.shape[:2])
    if scale < 1:
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        image, *masks = (_shrunk(pixels, size) for pixels in (image, *masks))
    rng = np.random.default_rng([0, number])
    return annotate(dataset, image, masks, coarseness=coarseness, rng=rng)


def _shrunk(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _draw(seed: int, *, side: int, coarseness: float) -> Annotated | None:
    scene = draw_scene(
        family=MIXED, seed=seed, side=side, held_out=False, objects=training_objects(seed)
    )
    rng = np.random.default_rng([1, seed])
    return annotate(GENERATED, scene.image, scene.masks, coarseness=coarseness, rng=rng)
