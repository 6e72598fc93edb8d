"""Prompts of a careless or a lazy user: loose boxes, and few points.

Draws depend on the seed and the object's name alone, and are shared by all strengths: a looser
box errs the same way but further, and three points are the first three of ten.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from pasam.data.images import FOREGROUND
from pasam.errors import DataError

# Shapes: S side of the label in input pixels, k points.

_BOX, _POINTS = 0, 1  # streams of draws


def loose_box(
    box: NDArray[np.float32], scale: float, *, side: int, name: str, seed: int
) -> NDArray[np.float32]:
    """Move and stretch a box at random, as HQ-SAM tests robustness to boxes.

    The centre moves by U(-1, 1) of half the box's width and height times the scale, width and
    height change by U(-1, 1) of themselves times the scale, and the box is cut off at the image.

    Args:
        box: x0, y0, x1, y1 in input pixels, (4,).
        scale: Noise scale, 0 to leave the box as it is.
        side: Side S of the input.
        name: Name of the object.
        seed: Seed of the draws.

    Returns:
        x0, y0, x1, y1, (4,).
    """
    draws = _rng(name, seed, _BOX).uniform(-1, 1, size=4)
    extent = box[2:] - box[:2]
    centre = (box[:2] + box[2:]) / 2 + draws[:2] * scale * extent / 2
    half = extent * (1 + draws[2:] * scale) / 2
    corners = np.concatenate([centre - half, centre + half])
    return np.asarray(np.clip(corners, 0, side - 1), dtype=np.float32)


def first_points(
    label: NDArray[np.uint8], count: int, *, most: int, name: str, seed: int
) -> NDArray[np.float32]:
    """Take the first few of an object's random foreground points.

    Args:
        label: Mask of the object, (S, S), foreground above 128.
        count: How many.
        most: How many are drawn in all; the same for every count that is compared.
        name: Name of the object.
        seed: Seed of the draws.

    Returns:
        x, y as pixel indices, (k, 2); distinct, unless the object has fewer pixels than `most`.

    Raises:
        DataError: The label has no foreground.
    """
    inside = np.flatnonzero(label > FOREGROUND)
    if not len(inside):
        raise DataError(f"{name} has no pixel at the input side, so no point can lie on it.")
    chosen = _rng(name, seed, _POINTS).choice(inside, size=most, replace=len(inside) < most)
    rows, columns = np.divmod(chosen[:count], label.shape[1])
    return np.stack([columns, rows], axis=1).astype(np.float32)


def _rng(name: str, seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode()), stream])
