"""Intersection over union of two masks, of their whole areas and of their boundary bands."""

from __future__ import annotations

import math
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A binary mask of which only the box round its object is kept: all else is background.

    Objects are small in large images, so whatever is counted here costs what the object does. A
    ground truth is made into a region once and compared with every prediction.
    """

    shape: tuple[int, int]
    """Height and width of the whole mask."""
    top: int
    left: int
    part: npt.NDArray[np.bool_]
    """The mask within the box, (h, w)."""
    area: int
    """Pixels of the object."""

    @staticmethod
    def of(mask: Mask, name: str = "mask") -> Region:
        """Cut the box of its object out of a mask (H, W).

        Raises:
            ShapeError: The array does not have two dimensions.
            DataError: The mask is not binary.
        """
        foreground = binary(mask, name)
        left, top, width, height = cv2.boundingRect(foreground.view(np.uint8))
        part = np.ascontiguousarray(foreground[top : top + height, left : left + width])
        shape = (foreground.shape[0], foreground.shape[1])
        return Region(shape, top, left, part, int(np.count_nonzero(part)))

    def band(self, width: int) -> Region:
        """Return the band inside the object along its outline, as `boundary` defines it.

        A pixel is inside the band's inner edge where the square of 2 * width + 1 pixels round it
        is full, nothing lying outside the box. Running sums count the square's pixels in a time
        that does not depend on its size, and single precision holds the count without rounding.
        """
        side = 2 * width + 1
        if side > min(self.part.shape):
            return self
        pixels = cv2.boxFilter(
            self.part.view(np.uint8), cv2.CV_32F, (side, side), normalize=False,
            borderType=cv2.BORDER_CONSTANT,
        )  # fmt: skip
        inner = self.part & (pixels < side * side)
        return Region(self.shape, self.top, self.left, inner, int(np.count_nonzero(inner)))

    def overlap(self, other: Region) -> tuple[int, int]:
        """Count the pixels of intersection and union with a mask of the same size.

        Raises:
            ShapeError: The masks differ in size.
        """
        if self.shape != other.shape:
            raise ShapeError(
                f"gt and pred must have one size (H, W); got {self.shape} and {other.shape}. "
                "Resize the prediction to the ground truth first."
            )
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom = min(self.top + self.part.shape[0], other.top + other.part.shape[0])
        right = min(self.left + self.part.shape[1], other.left + other.part.shape[1])
        common = 0
        if bottom > top and right > left:
            mine, theirs = (
                one.part[top - one.top : bottom - one.top, left - one.left : right - one.left]
                for one in (self, other)
            )
            common = int(np.count_nonzero(mine & theirs))
        return common, self.area + other.area - common

    def iou(self, other: Region) -> float:
        """Compute the IoU in [0, 1]; 1 when both are empty, where the reference gives nan.

        Raises:
            ShapeError: The masks differ in size.
        """
        intersection, union = self.overlap(other)
        return intersection / union if union else 1.0

    def mask(self) -> npt.NDArray[np.bool_]:
        """Return the whole mask, (H, W)."""
        whole = np.zeros(self.shape, np.bool_)
        height, width = self.part.shape
        whole[self.top : self.top + height, self.left : self.left + width] = self.part
        return whole


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
    return Region.of(gt, "gt").overlap(Region.of(pred, "pred"))


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
    return Region.of(gt, "gt").iou(Region.of(pred, "pred"))


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
    outside the image.

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
    return Region.of(mask).band(width).mask()


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
    truth, predicted = Region.of(gt, "gt"), Region.of(pred, "pred")
    width = band_width(*truth.shape, fraction)
    return truth.band(width).iou(predicted.band(width))
