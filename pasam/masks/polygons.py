"""Masks as polygons, holes included, for the tools that know nothing else."""

# Shapes: H, W of a mask; N the corners of a polygon.

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.measure import approximate_polygon, find_contours

from pasam.masks.images import foreground

Points = NDArray[np.float64]
_TOLERANCE = 0.3  # pixels by which a corner may be off


def polygons_of(mask: NDArray[np.uint8]) -> list[Points]:
    """Draw polygons round the parts of a mask.

    A hole is joined to the polygon round it by a cut of no width, which every filling of polygons
    cancels out.

    Args:
        mask: (H, W), 0..255.

    Returns:
        One polygon per part, the largest first: corners x, y in pixels, (N, 2), where the centre of
        the first pixel is at 0.5, 0.5, as in COCO.
    """
    inside = np.pad(foreground(mask), 1)  # find_contours makes one copy as floats, no more
    outer: list[Points] = []
    holes: list[Points] = []
    for contour in find_contours(inside, 0.5):  # type: ignore[no-untyped-call]
        simple = approximate_polygon(contour, _TOLERANCE)  # type: ignore[no-untyped-call]
        corners = simple[:-1, ::-1] - 0.5  # a rim of 1, and a pixel's centre at 0.5
        if len(corners) >= 3:
            (outer if _area(corners) > 0 else holes).append(corners)
    outer.sort(key=lambda corners: -abs(_area(corners)))
    for hole in holes:
        around = [i for i, one in enumerate(outer) if _is_within(hole, one)]
        if around:
            outer[around[-1]] = joined(outer[around[-1]], hole)  # the smallest of those round it
    return outer


def joined(first: Points, second: Points) -> Points:
    """Join two polygons into one by a cut of no width between their nearest corners, (N, 2)."""
    distances = ((first[:, None] - second[None]) ** 2).sum(axis=2)
    i, j = np.unravel_index(int(distances.argmin()), distances.shape)
    there = np.concatenate([second[j:], second[: j + 1]])
    return np.concatenate([first[: i + 1], there, first[i:]])


def _area(corners: Points) -> float:
    x, y = corners[:, 0], corners[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def _is_within(hole: Points, polygon: Points) -> bool:
    x, y = (float(value) for value in hole[0])
    return cv2.pointPolygonTest(polygon.astype(np.float32), (x, y), False) > 0
