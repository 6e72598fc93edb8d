"""A simulated detector: loose boxes, misses, doubles, mistaken classes, false alarms, scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pasam.data.synthetic.randomness import Draws

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels, as COCO writes it."""

_MISSES = 0.1
_DOUBLES = 0.15
_MISTAKES = 0.06
_LOOSENESS = (0.01, 0.13)  # shares of the box's extent by which each of its sides may be off
_MOST_ALARMS = 2
_LEAST_SIDE = 4.0


@dataclass(frozen=True, slots=True)
class Detection:
    """A box, the number of its category among the known ones, and a score in [0, 1]."""

    box: Box
    category: int
    score: float


def simulate_detections(
    draws: Draws,
    boxes: Sequence[Box],
    categories: Sequence[int],
    *,
    size: tuple[int, int],
    known: int,
) -> list[Detection]:
    """Say what a fair detector might have found in a picture.

    Args:
        draws: All that is random.
        boxes: True boxes.
        categories: Their categories, 0 .. known - 1.
        size: Height and width of the picture.
        known: Number of categories.

    Returns:
        Detections in the order of the objects, false alarms last. A tighter box scores higher,
        a false alarm mostly lower than a hit.
    """
    found = []
    for box, category in zip(boxes, categories, strict=True):
        if draws.chance(_MISSES):
            continue
        for _ in range(2 if draws.chance(_DOUBLES) else 1):
            seen = draws.index(known) if draws.chance(_MISTAKES) else category
            found.append(_loose(draws, box, seen, size))
    for _ in range(draws.index(_MOST_ALARMS + 1)):
        found.append(_alarm(draws, size, known))
    return found


def _loose(draws: Draws, box: Box, category: int, size: tuple[int, int]) -> Detection:
    x, y, wide, tall = box
    off = draws.free(*_LOOSENESS)
    left, right = x + wide * draws.free(-off, off), x + wide * (1 + draws.free(-off, off))
    top, bottom = y + tall * draws.free(-off, off), y + tall * (1 + draws.free(-off, off))
    score = 0.95 - 3.0 * off + draws.free(-0.15, 0.05)
    return Detection(_inside((left, top, right, bottom), size), category, _rounded(score))


def _alarm(draws: Draws, size: tuple[int, int], known: int) -> Detection:
    height, width = size
    wide, tall = width * draws.free(0.1, 0.5), height * draws.free(0.1, 0.5)
    left, top = draws.free(0, width - wide), draws.free(0, height - tall)
    box = _inside((left, top, left + wide, top + tall), size)
    return Detection(box, draws.index(known), _rounded(draws.free(0.05, 0.55)))


def _inside(corners: Box, size: tuple[int, int]) -> Box:
    """Cut a box x0, y0, x1, y1 off at the picture's border and write it as COCO does."""
    height, width = size
    left = min(max(corners[0], 0.0), width - _LEAST_SIDE)
    top = min(max(corners[1], 0.0), height - _LEAST_SIDE)
    right = min(max(corners[2], left + _LEAST_SIDE), float(width))
    bottom = min(max(corners[3], top + _LEAST_SIDE), float(height))
    x, y = round(left, 2), round(top, 2)
    return (x, y, round(right - x, 2), round(bottom - y, 2))


def _rounded(score: float) -> float:
    return round(min(max(score, 0.01), 0.99), 4)
