"""Prompts drawn from a label: box, points, noisy mask, their mixes, and their grouping."""

# Shapes: S side of the label in input pixels; M side of a mask prompt; k points; n prompts.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pasam.errors import DataError
from pasam.masks.images import FOREGROUND, foreground

Mix = Literal["effective", "intended", "thirds"]

POINTS = 10
"""Points of a points prompt; a label with fewer foreground pixels gets none."""

KINDS: dict[Mix, tuple[str, ...]] = {
    # The reference names seven kinds but uses only the first part of each name.
    "effective": ("box",) * 4 + ("points",) * 2 + ("mask",),
    "intended": (
        "box", "points", "mask", "box+points", "box+mask", "points+mask", "box+points+mask",
    ),
    "thirds": ("box", "points", "mask"),
}  # fmt: skip
"""Equally likely kinds of each mix."""

_KINDS_WITHOUT_POINTS: dict[Mix, tuple[str, ...]] = {
    "effective": ("box", "mask", "box"),
    "intended": ("box", "mask", "box+mask"),
    "thirds": ("box", "mask"),
}

_JITTER_DEVIATION, _JITTER_LIMIT = 0.1, 0.2  # fractions of the box's width and height
_BLUR = 8  # a pixel is near an edge when shrinking the mask this many times changes it
_BLUR_TOLERANCE = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """What the user is taken to have drawn; absent parts are None."""

    kind: str
    """`box`, `points`, `mask`, or several of them joined by `+` in this order."""
    box: NDArray[np.float32] | None = None
    """Corners x0, y0, x1, y1 as inclusive pixel indices, (4,)."""
    points: NDArray[np.float32] | None = None
    """Foreground points x, y as pixel indices, (k, 2)."""
    mask: NDArray[np.float32] | None = None
    """Noisy mask, (M, M), 0 or 255."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptGroup:
    """Prompts of a batch that have the same parts and can therefore be stacked."""

    indices: NDArray[np.int64]
    """Places of the prompts in the batch, ascending, (n,)."""
    boxes: NDArray[np.float32] | None
    """(n, 4)"""
    points: NDArray[np.float32] | None
    """(n, k, 2)"""
    point_labels: NDArray[np.float32] | None
    """1 for foreground, (n, k)."""
    masks: NDArray[np.float32] | None
    """(n, 1, M, M), 0 or 255."""


def tight_box(label: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Find the smallest box round the foreground.

    Args:
        label: Mask of one object, (S, S), foreground above 128.

    Returns:
        x0, y0, x1, y1: first and last pixel index, inclusive, (4,).

    Raises:
        DataError: The label has no foreground.
    """
    inside = foreground(label)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        raise DataError(
            f"A label of {label.shape} has no pixel above {FOREGROUND}, so no prompt can be drawn "
            "from it. Leave labels out whose object the crop has cut away."
        )
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], dtype=np.float32)


def sample_prompt(
    label: NDArray[np.uint8], *, mix: Mix, mask_side: int, rng: np.random.Generator
) -> Prompt:
    """Draw one prompt for a label, by the reference's rules.

    Mixes: `effective` is what the reference comes down to (box 4/7, points 2/7, mask 1/7),
    `thirds` takes each with 1/3, `intended` takes the seven names with 1/7 each, combines what a
    name lists and jitters the box. Labels with fewer than 10 foreground pixels get no points:
    box 2/3 and mask 1/3 (`effective`), 1/2 each (`thirds`), or 1/3 each of box, mask and both.

    Args:
        label: Mask of one object, (S, S), 0..255, foreground above 128.
        mix: Which kinds of prompt, and how often.
        mask_side: Height and width of a mask prompt: four times the embedding grid.
        rng: Source of the draws.

    Raises:
        DataError: The label has no foreground.
    """
    box = tight_box(label)
    enough = int(foreground(label).sum()) >= POINTS
    kinds = KINDS[mix] if enough else _KINDS_WITHOUT_POINTS[mix]
    kind = kinds[int(rng.integers(len(kinds)))]
    parts = kind.split("+")
    if mix == "intended":
        box = jittered_box(box, shape=label.shape, rng=rng)
    return Prompt(
        kind=kind,
        box=box if "box" in parts else None,
        points=foreground_points(label, rng=rng) if "points" in parts else None,
        mask=noisy_mask(label, side=mask_side, rng=rng) if "mask" in parts else None,
    )


def jittered_box(
    box: NDArray[np.float32], *, shape: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Move each corner of a box as an impatient user would.

    Every coordinate moves by N(0, 0.1) of the box's width or height, by at most 0.2 of it, and
    stays inside the image. This rule is ours: the reference computes a jittered box only to drop
    it.

    Args:
        box: x0, y0, x1, y1, (4,).
        shape: Height and width of the image.
        rng: Source of the four draws.
    """
    extent = np.tile(box[2:] - box[:2], 2)
    shift = np.clip(_JITTER_DEVIATION * rng.standard_normal(4), -_JITTER_LIMIT, _JITTER_LIMIT)
    last = np.array([shape[1] - 1, shape[0] - 1] * 2)
    return np.clip(box + extent * shift, 0, last).astype(np.float32)


def foreground_points(
    label: NDArray[np.uint8], *, rng: np.random.Generator, count: int = POINTS
) -> NDArray[np.float32]:
    """Draw distinct, uniformly random foreground pixels as x, y, (count, 2).

    Raises:
        DataError: The label has fewer foreground pixels than that.
    """
    candidates = np.flatnonzero(foreground(label))
    if len(candidates) < count:
        raise DataError(
            f"A label has {len(candidates)} foreground pixels, {count} distinct points were asked "
            "for. Use a box or a mask prompt for objects this small."
        )
    rows, columns = np.divmod(rng.choice(candidates, size=count, replace=False), label.shape[1])
    return np.stack([columns, rows], axis=1).astype(np.float32)


def noisy_mask(
    label: NDArray[np.uint8], *, side: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Make a mask prompt that is right inside and random near edges.

    The label is resized to (M, M) and scaled to v in [0, 1]; standard normal noise is added where
    shrinking v eightfold and enlarging it again changes it by 0.01 or more; the sum is
    thresholded at 0.5.

    Returns:
        0 or 255 (not logits, as in the reference), (M, M).
    """
    value: NDArray[np.float32] = _bilinear(label.astype(np.float32), side) / np.float32(255)
    blurred = _bilinear(_bilinear(value, max(1, side // _BLUR)), side)
    near_edge = np.abs(value - blurred) >= _BLUR_TOLERANCE
    noise = rng.standard_normal(value.shape, dtype=np.float32)
    return np.where(value + noise * near_edge > 0.5, np.float32(255), np.float32(0))


def collate_prompts(prompts: Sequence[Prompt]) -> list[PromptGroup]:
    """Group a batch by the parts its prompts have, so that each group can be stacked.

    Returns:
        Groups in the order in which their first prompt appears; together they hold every index
        once.
    """
    members: dict[tuple[bool, int, int], list[int]] = {}
    for index, prompt in enumerate(prompts):
        key = (
            prompt.box is not None,
            0 if prompt.points is None else len(prompt.points),
            0 if prompt.mask is None else len(prompt.mask),
        )
        members.setdefault(key, []).append(index)
    return [_stacked(prompts, indices) for indices in members.values()]


def _stacked(prompts: Sequence[Prompt], indices: list[int]) -> PromptGroup:
    chosen = [prompts[index] for index in indices]
    points = _stack([prompt.points for prompt in chosen])
    masks = _stack([prompt.mask for prompt in chosen])
    return PromptGroup(
        indices=np.array(indices, dtype=np.int64),
        boxes=_stack([prompt.box for prompt in chosen]),
        points=points,
        point_labels=None if points is None else np.ones(points.shape[:2], dtype=np.float32),
        masks=None if masks is None else masks[:, None],  # (n, 1, M, M)
    )


def _stack(parts: list[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    present = [part for part in parts if part is not None]
    return np.stack(present) if present else None


def _bilinear(array: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Resize to (side, side) with half-pixel centres and no antialias filter."""
    resized = cv2.resize(array, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.float32)
