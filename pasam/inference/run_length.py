"""Masks as COCO's run lengths, which JSON can hold."""

# Shapes: H, W of the image.

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask


def encode(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Encode a mask (H, W) as `{"size": [H, W], "counts": text}`."""
    found = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in found["size"]], "counts": found["counts"].decode()}


def decode(lengths: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Decode what `encode` has written into a mask, (H, W)."""
    with warnings.catch_warnings():  # pycocotools speaks numpy 1 here
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.asarray(coco_mask.decode(dict(lengths)), np.bool_)


def bounding_box(mask: NDArray[np.bool_]) -> list[int]:
    """Find x, y, width and height of what a mask (H, W) covers; four zeros when it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return [0, 0, 0, 0]
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]
