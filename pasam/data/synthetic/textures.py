"""Grey procedural textures: clouds, wood, bricks, stripes, grass, pebbles and more."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pasam.data.synthetic.photographs import (
    HELD_OUT_GREYS,
    TRAINING_GREYS,
    crop,
    photograph,
)
from pasam.data.synthetic.randomness import Draws

Grey = NDArray[np.uint8]

TILE = 512
"""Side of a texture tile in pixels; windows of it are cut and scaled."""
VARIANTS = 3
"""Tiles of each kind on either side of the split."""


def _clouds(draws: Draws) -> Grey:
    """Sum noise of doubling fineness."""
    total = np.zeros((TILE, TILE), np.uint16)
    cells, weight = draws.whole(2, 6), 8
    for _ in range(5):
        coarse = draws.levels(0, 255, (cells + 1, cells + 1))
        octave = cv2.resize(coarse, (TILE, TILE), interpolation=cv2.INTER_LINEAR_EXACT)
        total += octave.astype(np.uint16) * weight
        cells, weight = min(cells * 2, TILE // 2), max(weight // 2, 1)
    return _spread((total // 16).astype(np.uint8))


def _spread(grey: Grey) -> Grey:
    """Stretch the grey levels over the full range."""
    low, high = int(grey.min()), int(grey.max())
    return ((grey.astype(np.uint16) - low) * 255 // max(high - low, 1)).astype(np.uint8)


def _waves(phase: NDArray[np.int64]) -> Grey:
    """Fold phases, 512 to a period, into grey levels."""
    folded = np.abs(phase % 512 - 256)
    return np.minimum(folded, 255).astype(np.uint8)


def _wood(draws: Draws) -> Grey:
    """Bend stripes by noise, as grain does."""
    columns = np.arange(TILE)[None, :] * draws.whole(8, 24)
    bend = _clouds(draws).astype(np.int64) * draws.whole(3, 12)
    specks = draws.levels(0, 40, (TILE // 8, TILE))
    fine = cv2.resize(specks, (TILE, TILE), interpolation=cv2.INTER_LINEAR_EXACT)
    return cv2.add(_waves(columns + bend) // 4 * 3, fine.T.copy()).astype(np.uint8)


def _stripes(draws: Draws) -> Grey:
    """Draw straight slanted stripes."""
    rows, columns = np.mgrid[0:TILE, 0:TILE]
    phase = rows * draws.whole(0, 20) + columns * draws.whole(6, 24)
    hard = np.clip(_waves(phase).astype(np.int64) * 3 - 256, 0, 255)
    return np.asarray(hard, dtype=np.uint8)


def _checks(draws: Draws) -> Grey:
    """Cross two sets of stripes, as a tablecloth does."""
    rows, columns = np.mgrid[0:TILE, 0:TILE]
    pace = draws.whole(6, 20)
    one, two = (
        np.clip(_waves(axis * pace).astype(int) * 3 - 256, 0, 255) for axis in (rows, columns)
    )
    return np.asarray((one + two) // 2, dtype=np.uint8)


def _bricks(draws: Draws) -> Grey:
    """Lay rows of bricks with mortar between them."""
    grey = np.full((TILE, TILE), draws.whole(10, 60), np.uint8)
    high, wide = draws.whole(22, 44), draws.whole(50, 90)
    for row in range(TILE // high + 1):
        shift = (row % 2) * wide // 2
        for column in range(-1, TILE // wide + 1):
            x, y, level = column * wide + shift, row * high, int(draws.free(110, 240))
            cv2.rectangle(grey, (x, y), (x + wide - 5, y + high - 5), level, -1)
    rough = draws.levels(0, 40, (TILE, TILE))
    return cv2.subtract(cv2.GaussianBlur(grey, (3, 3), 0), rough).astype(np.uint8)


def _grass(draws: Draws) -> Grey:
    """Scatter blades."""
    grey = np.full((TILE, TILE), 60, np.uint8)
    lean, length = draws.shape(-9, 9), draws.shape(14, 34)
    for x, y, tilt, level in zip(
        draws.many(0, TILE, 2600), draws.many(0, TILE + 30, 2600),
        draws.many(-8, 8, 2600), draws.many(20, 255, 2600), strict=True,
    ):  # fmt: skip
        tip = (round(x + lean + tilt), round(y - length))
        cv2.line(grey, (round(x), round(y)), tip, round(level), 2)
    return cv2.GaussianBlur(grey, (3, 3), 0).astype(np.uint8)


def _pebbles(draws: Draws) -> Grey:
    """Heap up shaded discs."""
    grey = np.full((TILE, TILE), 30, np.uint8)
    small, large = draws.shape(6, 10), draws.shape(14, 26)
    for x, y, size, level in zip(
        draws.many(0, TILE, 1500), draws.many(0, TILE, 1500),
        draws.many(0, 1, 1500), draws.many(60, 210, 1500), strict=True,
    ):  # fmt: skip
        radius, centre = round(small + (large - small) * size), (round(x), round(y))
        cv2.circle(grey, centre, radius, round(level) // 3, -1)
        cv2.circle(grey, centre, radius - 2, round(level), -1)
        cv2.circle(grey, (centre[0] - 2, centre[1] - 2), radius // 2, round(level) + 40, -1)
    return cv2.GaussianBlur(grey, (3, 3), 0).astype(np.uint8)


def _spots(draws: Draws) -> Grey:
    """Spatter a plain ground."""
    grey = np.full((TILE, TILE), 200, np.uint8)
    for x, y, size in zip(
        draws.many(0, TILE, 260), draws.many(0, TILE, 260), draws.many(4, 15, 260), strict=True
    ):
        cv2.circle(grey, (round(x), round(y)), round(size), 40, -1)
    return cv2.GaussianBlur(grey, (3, 3), 0).astype(np.uint8)


def _slope(draws: Draws) -> Grey:
    """Blend from one corner to the other, with a little grain."""
    corners = draws.levels(0, 215, (2, 2))
    grey = cv2.resize(corners, (TILE, TILE), interpolation=cv2.INTER_LINEAR_EXACT)
    return cv2.add(grey, draws.levels(0, 24, (TILE, TILE))).astype(np.uint8)


def _photographed(draws: Draws) -> Grey:
    """Take the grey levels of a packaged photograph."""
    names = HELD_OUT_GREYS if draws.held_out else TRAINING_GREYS
    source = photograph(draws.pick(names), grey=True)
    return _spread(crop(source, draws, height=TILE, width=TILE, zoom=(0.9, 1.0)))


_KINDS: dict[str, Callable[[Draws], Grey]] = {
    "clouds": _clouds,
    "wood": _wood,
    "stripes": _stripes,
    "checks": _checks,
    "bricks": _bricks,
    "grass": _grass,
    "pebbles": _pebbles,
    "spots": _spots,
    "slope": _slope,
    "photographed": _photographed,
}
KINDS = tuple(_KINDS)


@lru_cache(maxsize=len(_KINDS) * VARIANTS * 2)
def tile(kind: str, variant: int, *, held_out: bool) -> Grey:
    """Return a texture tile (TILE, TILE), drawn once and then remembered."""
    draws = Draws(KINDS.index(kind), variant, int(held_out), held_out=held_out)
    made = _KINDS[kind](draws)
    made.setflags(write=False)
    return made
