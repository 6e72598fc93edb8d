"""Photographs and generated scenes that a base is trained on, in memory, their masks as bits.

SAM learnt from masks without fine detail, drawn by hurried annotators; so does the small base, that
the adapters have the same detail to put back. The coarse mask of an object is drawn once, like an
annotation, and does not change from view to view.

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
from pasam.workers import parallel_map

# Shapes: H, W of the image; K annotated objects. Radii are in pixels.

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


_VARIATION = (0.6, 1.4)  # no two annotators are equally hurried
_POOR_OVERLAP = 0.6  # opening that keeps less of the closed mask has lost the object's character
_SMOOTHING = 0.5  # deviation of the Gaussian, in radii
_FILLED_HOLE = 4.0  # radius, in radii, of a disk as large as the largest hole that is filled
_SPECK = 1.5  # radius, in radii, of a disk as large as the smallest part that is kept
_SIMPLIFICATION = 0.15  # distance a polygon may leave the outline, in radii


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


def coarsen(
    mask: NDArray[np.uint8], *, radius_fraction: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Fill what is hollow, drop what is thin, and round the outline off.

    Closing with a disk bridges gaps, enclosed holes up to 4 radii are filled, opening removes thin
    protrusions, a Gaussian and a polygon of few corners smooth the outline, and specks beside a
    larger part are dropped. An object that is thin all over (a wire, a vessel tree) would vanish:
    its closed mask is drawn thick instead.

    Args:
        mask: Fine mask, (H, W), 0..255, foreground above 128.
        radius_fraction: Radius of the disk as a fraction of the longer side, varied by a random
            factor in [0.6, 1.4]; 0 returns the mask thresholded.
        rng: Source of that one factor.

    Returns:
        Coarse mask, (H, W), 0 or 255; it has foreground whenever `mask` has some.
    """
    radius = radius_fraction * max(mask.shape) * rng.uniform(*_VARIATION)
    fine = foreground(mask)
    if radius <= 0 or not fine.any():
        return fine.astype(np.uint8) * 255
    closed = _without_holes(_eroded(_dilated(fine, radius), radius), _FILLED_HOLE * radius)
    opened = _dilated(_eroded(closed, radius), radius)
    kept = np.count_nonzero(opened & closed) / np.count_nonzero(opened | closed)
    solid = opened if kept >= _POOR_OVERLAP else _dilated(closed, 0.5 * radius)
    smooth = _without_specks(_smoothed(solid, _SMOOTHING * radius), _SPECK * radius)
    return _simplified(smooth, _SIMPLIFICATION * radius) * np.uint8(255)


def _dilated(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Grow by a disk; distances make the cost independent of the radius."""
    if mask.all():
        return mask
    return np.asarray(_distance(~mask) <= radius)


def _eroded(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Shrink by a disk; outside the image counts as foreground, so objects at its rim stay."""
    if mask.all():
        return mask
    return np.asarray(_distance(mask) > radius)


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance of each true pixel to the nearest false one, (H, W)."""
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(distance, dtype=np.float32)


def _smoothed(mask: NDArray[np.bool_], deviation: float) -> NDArray[np.uint8]:
    """Blur and threshold at one half; a mask that this would erase stays as it is."""
    sharp = mask.astype(np.float32)
    blurred = cv2.GaussianBlur(sharp, (0, 0), deviation, borderType=cv2.BORDER_REPLICATE)
    smooth = (blurred > 0.5).astype(np.uint8)
    return smooth if smooth.any() else mask.astype(np.uint8)


def _without_holes(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Fill enclosed holes that are smaller than a disk of this radius."""
    filled = mask.astype(np.uint8)
    outlines, hierarchy = cv2.findContours(filled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for outline, (_, _, _, parent) in zip(outlines, hierarchy[0], strict=True):
        if parent >= 0 and cv2.contourArea(outline) < np.pi * radius**2:
            cv2.fillPoly(filled, [outline], 1)
    return filled.astype(np.bool_)


def _without_specks(mask: NDArray[np.uint8], radius: float) -> NDArray[np.uint8]:
    """Drop parts smaller than a disk of this radius, but never the largest part."""
    count, parts, statistics, _ = cv2.connectedComponentsWithStats(mask)
    areas = statistics[:, cv2.CC_STAT_AREA]
    keep = areas >= min(np.pi * radius**2, areas[1:].max())
    keep[0] = False
    return np.asarray(keep[parts], dtype=np.uint8)


def _simplified(mask: NDArray[np.uint8], tolerance: float) -> NDArray[np.uint8]:
    """Redraw a 0/1 mask from outlines with few corners; holes stay holes."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    polygons = [cv2.approxPolyDP(outline, tolerance, True) for outline in outlines]
    drawn = np.zeros_like(mask)
    cv2.fillPoly(drawn, polygons, 1)
    return drawn
