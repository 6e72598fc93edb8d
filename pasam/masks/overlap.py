"""Intersection over union of two masks, of their whole areas and of their boundary bands."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from pasam.errors import DataError, ParamsError, ShapeError

# Shapes: masks of H x W pixels, boolean or with one nonzero value (1 or 255). Boundary IoU is that
# of Cheng et al. 2021, "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation".

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


def band_width(height: int, width: int, fraction: float = 0.02) -> int:
    """Return how many pixels wide the band is.

    Args:
        height: Height of the mask in pixels.
        width: Width of the mask in pixels.
        fraction: Width of the band as a fraction of the image diagonal.

    Returns:
        The width in pixels, at least 1; halves are rounded to even.

    Raises:
        ParamsError: The fraction is not positive.
    """
    if not fraction > 0:
        raise ParamsError(
            f"evaluate.boundary_fraction is {fraction}, but a band needs a positive "
            "fraction of the image diagonal, e.g. 0.02."
        )
    return max(1, round(fraction * math.sqrt(height**2 + width**2)))


def boundary(mask: Mask, width: int) -> npt.NDArray[np.bool_]:
    """Find the band inside a mask along its contour.

    Equal to the mask minus its erosion by 3 x 3 ones, repeated `width` times, with nothing
    outside the image. Here one erosion by a square of 2 * width + 1 pixels is used, which is
    done row by row, then column by column, so that the time hardly grows with the width.

    Args:
        mask: The mask, (H, W).
        width: Width of the band in pixels, at least 1.

    Returns:
        True on pixels of the mask within `width` rows and columns of a pixel that is not in the
        mask, or of the outside of the image, (H, W).

    Raises:
        ShapeError: The array does not have two dimensions.
        DataError: The mask is not binary.
    """
    foreground = binary(mask, "mask")
    size = 2 * width + 1
    if size > min(foreground.shape):
        return foreground
    inside = cv2.erode(
        foreground.view(np.uint8),
        np.ones((size, size), np.uint8),
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0.0,
    )
    band: npt.NDArray[np.bool_] = foreground & (inside == 0)
    return band


def boundary_iou(gt: Mask, pred: Mask, fraction: float = 0.02) -> float:
    """Compute the IoU of the two boundary bands.

    Args:
        gt: Ground truth, (H, W).
        pred: Prediction, (H, W).
        fraction: Width of the band as a fraction of the image diagonal.

    Returns:
        The boundary IoU in [0, 1]; 1 when both are empty, where the reference gives nan.

    Raises:
        ShapeError: The masks differ in size or are not (H, W).
        DataError: One of the masks is not binary.
        ParamsError: The fraction is not positive.
    """
    height, across = binary(gt, "gt").shape
    width = band_width(height, across, fraction)
    return mask_iou(boundary(gt, width), boundary(pred, width))
