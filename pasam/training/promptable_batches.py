"""Batches of promptable segmentation: pictures, coarse masks, and one kind of prompt per step.

A batch is a function of the seed and the step alone, so that neither the number of workers nor an
interruption changes what is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from pasam.data.prompts import foreground_points, jittered_box, tight_box
from pasam.data.transforms import augment
from pasam.errors import DataError
from pasam.training.pool import Picture

# Shapes: B images, N prompts, S pixels a side, m = S / 2 mask pixels a side, k points.

FOREGROUND = 128
"""Mask values above this belong to the object."""
HALF = 0.5
SMALLEST_OBJECT = 64
"""Objects that a crop leaves with fewer pixels are not prompted for."""
BOX_SHARE = 0.85
"""Steps that prompt with boxes; the others prompt with points."""
TIGHT_SHARE = 0.5
"""Boxes that are tight, as benchmarks draw them; the others are jittered, as SAM was trained."""
ITERATED_SHARE = 0.15
"""Steps that correct a first answer instead of giving one."""
MOST_POINTS = 8


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
        pictures: The pool.
        side: Input side S.
        batch_size: Images per step.
        prompts_per_image: Most objects per image and step.
        jitter: Range of the large-scale jitter.
        seed: Seed of order, views and prompts.
        steps: Number of batches.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        *,
        side: int,
        batch_size: int,
        prompts_per_image: int,
        jitter: tuple[float, float],
        seed: int,
        steps: int,
    ) -> None:
        self.pictures = pictures
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
        with_box = rng.random() < BOX_SHARE
        iterate = bool(rng.random() < ITERATED_SHARE)
        points_each = int(rng.integers(1, MOST_POINTS + 1))
        views = [self._view(self.pictures[number], rng) for number in self._numbers(step)]
        targets, prompts = [], []
        chosen = self._objects([coarse for _, coarse, _ in views], rng)
        for row, k in chosen:
            _, coarse, fine = views[row]
            exact = fine[k] if (fine[k] > FOREGROUND).sum() >= MOST_POINTS else coarse[k]
            targets.append(_halve(coarse[k]) > HALF)
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
                np.flatnonzero((masks > FOREGROUND).sum(axis=(1, 2)) >= SMALLEST_OBJECT)
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
        """Which pictures a step sees: the pool, shuffled anew each time it is used up."""
        total, first = len(self.pictures), step * self.batch_size
        wanted = range(first, first + self.batch_size)
        orders = {
            turn: np.random.default_rng([self.seed, 3, turn]).permutation(total)
            for turn in {position // total for position in wanted}
        }
        return [int(orders[position // total][position % total]) for position in wanted]

    def _view(
        self, picture: Picture, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        both = np.concatenate([picture.coarse, picture.fine])
        view = augment(picture.image, both, side=self.side, jitter=self.jitter, rng=rng)
        count = len(picture.coarse)
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
    return box if rng.random() < TIGHT_SHARE else moved
