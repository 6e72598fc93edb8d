"""What `vit_tiny` is pretrained on: a pool of images with coarse masks, and batches of prompts.

SAM learnt from masks without fine detail, drawn by hurried annotators; so does the small base, that
the adapters have the same detail to put back. The coarse mask of an object is drawn once, like an
annotation, and does not change from view to view. A batch is a function of the seed and the step
alone, so that neither the number of workers nor an interruption changes what is seen.
"""

# Shapes: H, W of an image; K annotated objects; B images, N prompts of a batch, S pixels a side,
# m = S / 2 mask pixels a side, k points. Radii are in pixels.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from pasam.data.catalogue import PRETRAINING_SET, TRAINING_SET
from pasam.data.preparation import scene_seed, training_objects
from pasam.errors import DataError
from pasam.masks.images import foreground, read_image
from pasam.masks.mask_files import read_mask
from pasam.masks.prompts import foreground_points, jittered_box, tight_box
from pasam.masks.transforms import augment
from pasam.synthetic.scene import MIXED, draw_scene
from pasam.workers import parallel_map

LONGEST_SIDE = 384
"""Larger photographs are brought down to this many pixels: the base sees 256."""
SMALLEST_OBJECT = 64
"""Objects that a crop leaves with fewer pixels are not prompted for."""
BOX_FRACTION = 0.85
"""Steps that prompt with boxes; the others prompt with points."""
TIGHT_FRACTION = 0.5
"""Boxes that are tight, as benchmarks draw them; the others are jittered, as SAM was trained."""
ITERATED_FRACTION = 0.15
"""Steps that correct a first answer instead of giving one."""
MOST_POINTS = 8

_VARIATION = (0.6, 1.4)  # no two annotators are equally hurried
_POOR_OVERLAP = 0.6  # opening that keeps less of the closed mask has lost the object's character
_SMOOTHING = 0.5  # deviation of the Gaussian, in radii
_FILLED_HOLE = 4.0  # radius, in radii, of a disk as large as the largest hole that is filled
_SPECK = 1.5  # radius, in radii, of a disk as large as the smallest part that is kept
_SIMPLIFICATION = 0.15  # distance a polygon may leave the outline, in radii


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


@dataclass(frozen=True, slots=True)
class PoolImage:
    """An image with its annotated objects."""

    image: NDArray[np.uint8]
    """RGB, (H, W, 3)."""
    fine: NDArray[np.uint8]
    """The objects as they are, (K, H, W), 0..255."""
    coarse: NDArray[np.uint8]
    """The objects as a hurried annotator would draw them, (K, H, W), 0..255."""


def read_pool(manifest: pd.DataFrame, *, coarseness: float, workers: int) -> list[PoolImage]:
    """Read one's own training images with all their masks.

    The synthetic training set is the adapters'; the base sees further scenes, from `draw_pool`.

    Args:
        manifest: The data.
        coarseness: Radius of the coarsening as a fraction of the longer side.
        workers: Processes.
    """
    train = manifest[(manifest["split"] == "train") & (manifest["dataset"] != TRAINING_SET)]
    images = [(str(image), tuple(rows["mask"])) for image, rows in train.groupby("image")]
    read = partial(_read, coarseness=coarseness)
    return list(
        parallel_map(read, list(enumerate(images)), workers=workers, label="reading images")
    )


def draw_pool(
    count: int, *, seed: int, side: int, coarseness: float, workers: int
) -> list[PoolImage]:
    """Draw scenes that no other synthetic set holds.

    Args:
        count: How many.
        seed: Seed of all synthetic data (`data.generated.seed`).
        side: Side of a scene in pixels.
        coarseness: Radius of the coarsening as a fraction of the side.
        workers: Processes.
    """
    draw = partial(_draw, side=side, coarseness=coarseness)
    seeds = [scene_seed(seed, dataset=PRETRAINING_SET, index=i) for i in range(count)]
    return list(parallel_map(draw, seeds, workers=workers, label="drawing images"))


def _read(item: tuple[int, tuple[str, tuple[str, ...]]], *, coarseness: float) -> PoolImage:
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


def _draw(seed: int, *, side: int, coarseness: float) -> PoolImage:
    scene = draw_scene(
        family=MIXED, seed=seed, side=side, held_out=False, objects=training_objects(seed)
    )
    return _annotate(scene.image, list(scene.masks), coarseness, np.random.default_rng([1, seed]))


def _annotate(
    image: NDArray[np.uint8],
    masks: list[NDArray[np.uint8]],
    coarseness: float,
    rng: np.random.Generator,
) -> PoolImage:
    visible = [mask for mask in masks if foreground(mask).any()]
    coarse = [coarsen(mask, radius_fraction=coarseness, rng=rng) for mask in visible]
    shape = (len(visible), *image.shape[:2])
    return PoolImage(
        image=image,
        fine=np.asarray(visible, np.uint8).reshape(shape),
        coarse=np.asarray(coarse, np.uint8).reshape(shape),
    )


@dataclass  # Fabric moves and casts the fields in place, so it cannot be frozen
class PromptableBatch:
    """What one step of pretraining sees."""

    images: Tensor
    """Pixels, uint8 (B, 3, S, S)."""
    targets: Tensor
    """Coarse masks, 0 or 1, (N, m, m)."""
    detail: Tensor
    """What the features must not forget, in [0, 1]: RGB and all fine masks in one, (B, 4, m, m)."""
    image_index: Tensor
    """Image of each prompt, int64 (N,)."""
    boxes: Tensor | None
    """Corners in pixels, (N, 4), or None when the step prompts with points."""
    points: Tensor | None
    """Foreground points x, y in pixels, (N, k, 2), or None when the step prompts with boxes."""
    iterate: bool
    """Whether the step corrects a first answer, by mask prompt and an error point."""


class PromptableBatches(Dataset[PromptableBatch]):
    """Batch number t of pretraining.

    Args:
        pool: The images.
        side: Input side S.
        batch_size: Images per step.
        prompts_per_image: Most objects per image and step.
        jitter: Range of the large-scale jitter.
        seed: Seed of order, views and prompts.
        steps: Number of batches.
    """

    def __init__(
        self,
        pool: Sequence[PoolImage],
        *,
        side: int,
        batch_size: int,
        prompts_per_image: int,
        jitter: tuple[float, float],
        seed: int,
        steps: int,
    ) -> None:
        self.pool = pool
        self.side = side
        self.batch_size = batch_size
        self.prompts_per_image = prompts_per_image
        self.jitter = jitter
        self.seed = seed
        self.steps = steps

    def __len__(self) -> int:
        """Return the number of steps."""
        return self.steps

    def __getitem__(self, step: int) -> PromptableBatch:
        """Make the batch of one step."""
        rng = np.random.default_rng([self.seed, 2, step])
        with_box = rng.random() < BOX_FRACTION
        iterate = bool(rng.random() < ITERATED_FRACTION)
        points_each = int(rng.integers(1, MOST_POINTS + 1))
        views = [self._view(self.pool[number], rng) for number in self._numbers(step)]
        targets, prompts = [], []
        chosen = self._objects([coarse for _, coarse, _ in views], rng)
        for row, k in chosen:
            _, coarse, fine = views[row]
            exact = fine[k] if foreground(fine[k]).sum() >= MOST_POINTS else coarse[k]
            targets.append(_halve(coarse[k]) > 0.5)
            prompts.append(
                _box(exact, rng)
                if with_box
                else foreground_points(exact, count=points_each, rng=rng)
            )
        images = torch.from_numpy(np.stack([image for image, _, _ in views]))
        stacked = torch.from_numpy(np.asarray(prompts, np.float32))
        return PromptableBatch(
            images=images.permute(0, 3, 1, 2).contiguous(),
            targets=torch.from_numpy(np.asarray(targets, np.float32)),
            detail=torch.from_numpy(np.stack([_detail(image, fine) for image, _, fine in views])),
            image_index=torch.tensor([row for row, _ in chosen], dtype=torch.int64),
            boxes=stacked if with_box else None,
            points=None if with_box else stacked,
            iterate=iterate,
        )

    def _objects(
        self, coarse: Sequence[NDArray[np.uint8]], rng: np.random.Generator
    ) -> list[tuple[int, int]]:
        """Choose which objects a step prompts for, as (image, object), image by image.

        Always N = batch_size * prompts_per_image: where views show fewer objects, some are
        prompted for again. (A constant N also spares the kernels of ever new shapes.)

        Raises:
            DataError: No view shows an object.
        """
        shown = [
            (row, int(k))
            for row, masks in enumerate(coarse)
            for k in rng.permutation(
                np.flatnonzero(foreground(masks).sum(axis=(1, 2)) >= SMALLEST_OBJECT)
            )[: self.prompts_per_image]
        ]
        if not shown:
            raise DataError(
                f"None of {len(coarse)} training views shows an object of {SMALLEST_OBJECT} pixels "
                "or more. Use larger objects, a larger pretrain.batch_size or less pretrain.jitter."
            )
        missing = self.batch_size * self.prompts_per_image - len(shown)
        again = [shown[int(i)] for i in rng.integers(len(shown), size=max(0, missing))]
        return sorted(shown + again)

    def _numbers(self, step: int) -> list[int]:
        """Which images a step sees: the pool, shuffled anew each time it is used up."""
        total, first = len(self.pool), step * self.batch_size
        wanted = range(first, first + self.batch_size)
        orders = {
            turn: np.random.default_rng([self.seed, 3, turn]).permutation(total)
            for turn in {position // total for position in wanted}
        }
        return [int(orders[position // total][position % total]) for position in wanted]

    def _view(
        self, image: PoolImage, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        both = np.concatenate([image.coarse, image.fine])
        view = augment(image.image, both, side=self.side, jitter=self.jitter, rng=rng)
        count = len(image.coarse)
        return _recolour(view.image, rng), view.masks[:count], view.masks[count:]


def _recolour(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change contrast, brightness and the balance of the channels a little."""
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3)
    offset = rng.uniform(-25, 25)
    levels = np.arange(256)[:, None] * gain + offset
    table = np.clip(levels, 0, 255).astype(np.uint8)  # (256, 3)
    return np.stack([table[image[..., c], c] for c in range(3)], axis=-1)


def _halve(mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Average a mask (S, S) over 2 x 2 pixels, to [0, 1]."""
    side = mask.shape[0] // 2
    blocks = mask.reshape(side, 2, side, 2).astype(np.float32)
    halved: NDArray[np.float32] = blocks.mean(axis=(1, 3)) / 255
    return halved


def _detail(image: NDArray[np.uint8], fine: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Stack RGB and the union of the fine masks at half the side, (4, m, m)."""
    union = fine.max(axis=0) if len(fine) else np.zeros(image.shape[:2], np.uint8)
    return np.stack([*(_halve(image[..., c]) for c in range(3)), _halve(union)])


def _box(label: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    box = tight_box(label)
    moved = jittered_box(box, shape=label.shape, rng=rng)
    return box if rng.random() < TIGHT_FRACTION else moved
