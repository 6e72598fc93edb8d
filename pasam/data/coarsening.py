"""Coarse masks from fine ones: what a hurried annotator would have drawn.

SAM learnt from masks without fine detail; the small base is trained on coarsened masks so that
the adapters have the same detail to put back.
"""

# Shapes: H, W of the mask. Radii are in pixels.

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pasam.data.images import FOREGROUND

_VARIATION = (0.6, 1.4)  # no two annotators are equally hurried
_POOR_OVERLAP = 0.6  # opening that keeps less of the closed mask has lost the object's character
_SMOOTHING = 0.5  # deviation of the Gaussian, in radii
_FILLED_HOLE = 4.0  # radius, in radii, of a disk as large as the largest hole that is filled
_SPECK = 1.5  # radius, in radii, of a disk as large as the smallest part that is kept
_SIMPLIFICATION = 0.15  # distance a polygon may leave the outline, in radii


def coarsen(
    mask: NDArray[np.uint8], *, radius_share: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Fill what is hollow, drop what is thin, and round the outline off.

    Closing with a disk bridges gaps, enclosed holes up to 4 radii are filled, opening removes thin
    protrusions, a Gaussian and a polygon of few corners smooth the outline, and specks beside a
    larger part are dropped. An object that is thin all over (a wire, a vessel tree) would vanish:
    its closed mask is drawn thick instead.

    Args:
        mask: Fine mask, (H, W), 0..255, foreground above 128.
        radius_share: Radius of the disk as a share of the longer side, varied by a random factor
            in [0.6, 1.4]; 0 returns the mask thresholded.
        rng: Source of that one factor.

    Returns:
        Coarse mask, (H, W), 0 or 255; it has foreground whenever `mask` has some.
    """
    radius = radius_share * max(mask.shape) * rng.uniform(*_VARIATION)
    fine = mask > FOREGROUND
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
