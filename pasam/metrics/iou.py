"""Intersection over union of two masks.

Shapes: masks of H x W pixels, boolean or with one nonzero value (1 or 255).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pasam.errors import DataError, ShapeError

Mask = npt.NDArray[np.bool_] | npt.NDArray[np.uint8]


def binary(mask: Mask, name: str) -> npt.NDArray[np.bool_]:
    """Check that an array is a binary mask and make it boolean.

    Args:
        mask: The mask, (H, W).
        name: What the mask is, for the message.

    Returns:
        True on the foreground, (H, W).

    Raises:
        ShapeError: The array does not have two dimensions.
        DataError: There is more than one nonzero value, as in a label with soft edges.
    """
    if mask.ndim != 2:
        raise ShapeError(f"{name} must be a mask (H, W); got shape {mask.shape}.")
    foreground: npt.NDArray[np.bool_] = mask != 0
    if mask.dtype != np.bool_ and foreground.any():
        value = mask.max()
        if not np.array_equal(mask == value, foreground):
            raise DataError(
                f"{name} holds several nonzero values up to {value}; a binary mask was expected. "
                "Compare it with a threshold first, for labels `label > 128`."
            )
    return foreground


def overlap(gt: Mask, pred: Mask) -> tuple[int, int]:
    """Count the pixels of intersection and union.

    Args:
        gt: Ground truth, (H, W).
        pred: Prediction, (H, W).

    Returns:
        Pixels in both masks and pixels in either.

    Raises:
        ShapeError: The masks differ in size or are not (H, W).
        DataError: One of the masks is not binary.
    """
    first, second = binary(gt, "gt"), binary(pred, "pred")
    if first.shape != second.shape:
        raise ShapeError(
            f"gt and pred must have one size (H, W); got {first.shape} and {second.shape}. "
            "Resize the prediction to the ground truth first."
        )
    return int(np.count_nonzero(first & second)), int(np.count_nonzero(first | second))


def mask_iou(gt: Mask, pred: Mask) -> float:
    """Compute the intersection over union.

    Args:
        gt: Ground truth, (H, W).
        pred: Prediction, (H, W).

    Returns:
        The IoU in [0, 1]; 1 when both are empty, where the reference gives nan.

    Raises:
        ShapeError: The masks differ in size or are not (H, W).
        DataError: One of the masks is not binary.
    """
    intersection, union = overlap(gt, pred)
    return intersection / union if union else 1.0
