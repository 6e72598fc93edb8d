"""Masks as COCO's compressed run lengths."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as pycocotools_mask

Rle = dict[str, Any]
"""`size` (height, width) and `counts` as text or bytes."""


def encode(mask: NDArray[np.bool_] | NDArray[np.uint8]) -> Rle:
    """Turn a mask (H, W) into run lengths with text counts, fit for JSON and parquet."""
    code = pycocotools_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    size = [int(length) for length in code["size"]]
    return {"size": size, "counts": code["counts"].decode("ascii")}


def decode(code: Rle) -> NDArray[np.bool_]:
    """Turn run lengths into a mask (H, W)."""
    with warnings.catch_warnings():
        # pycocotools 2.0.11 asks NumPy 2 for an array in the old way.
        warnings.filterwarnings("ignore", message="__array__ implementation", category=Warning)
        mask = pycocotools_mask.decode(code)
    return np.asarray(mask, dtype=np.bool_)


def from_segmentation(segmentation: Any, height: int, width: int) -> Rle:
    """Bring COCO's polygons, plain or compressed run lengths to compressed run lengths."""
    if isinstance(segmentation, list):
        polygons = pycocotools_mask.frPyObjects(segmentation, height, width)
        merged: Rle = pycocotools_mask.merge(polygons)
        return merged
    if isinstance(segmentation["counts"], list):
        plain: Rle = pycocotools_mask.frPyObjects(segmentation, height, width)
        return plain
    return dict(segmentation)


def area(code: Rle) -> int:
    """Count the pixels of a mask."""
    return int(pycocotools_mask.area(code))


def bounding_box(code: Rle) -> tuple[int, int, int, int]:
    """Find the smallest box round a mask: x, y, width, height; of size 0 if it is empty."""
    x, y, wide, tall = (int(value) for value in pycocotools_mask.toBbox(code))
    return x, y, wide, tall


def overlaps(found: list[Rle], objects: list[Rle], crowd: list[int]) -> NDArray[np.float64]:
    """Compute the IoU of every pair, (len(found), len(objects)).

    Args:
        found: Detected masks.
        objects: Annotated masks.
        crowd: 1 where an object is a crowd; its overlap is the share of the detection inside it.
    """
    ious = pycocotools_mask.iou(found, objects, crowd)
    return np.asarray(ious, dtype=np.float64).reshape(len(found), len(objects))
