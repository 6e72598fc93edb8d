"""How thick an object is: the width of its parts as a share of the image."""

# Shapes: H and W of the mask.

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_WIDTHS_PER_DISTANCE = 4.0
"""In a strip of width w the distance to the edge is w / 4 on average."""


def mean_width(mask: NDArray[np.bool_]) -> float:
    """Measure the width of an object's parts, averaged over its pixels.

    It is four times the mean distance from a pixel of the object to the background, which for a
    long strip is its width; the rim of the image counts as background.

    Args:
        mask: The object, (H, W).

    Returns:
        The width as a share of the image's diagonal; 0 for an empty mask.
    """
    if not mask.any():
        return 0.0
    padded = np.pad(mask.astype(np.uint8), 1)
    # The distance is to the centre of the nearest background pixel, half a pixel past the edge.
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[padded > 0] - 0.5
    return float(_WIDTHS_PER_DISTANCE * distance.mean() / np.hypot(*mask.shape))
