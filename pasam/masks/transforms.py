"""Geometry of an image and its masks: flip, large-scale jitter, and the squash of evaluation.

Every resize is bilinear, with half-pixel centres and no antialias filter, as in the reference, done
in float32. Images are truncated to uint8 afterwards, as the reference does. Masks stay uint8:
their grey edges are rounded, but never across `FOREGROUND`, the level every later rule compares
with, so that above it, or at it and above, are exactly the pixels that are so in float.
"""

# Shapes: H, W of the source; S the side of a view; K masks of one image.

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pasam.errors import ShapeError
from pasam.masks.images import FOREGROUND, foreground

IMAGE_PADDING = 128
"""Grey value right of and below an image that the jitter made smaller than the view."""

_SLACK = 1e-3  # float32 error of an interpolated constant; without it 200 may truncate to 199


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What the network sees of one image."""

    image: NDArray[np.uint8]
    """RGB, (S, S, 3)."""
    masks: NDArray[np.uint8]
    """Labels with soft edges, (K, S, S), 0..255; one may have lost all foreground to the crop."""


def drawn_length(*, side: int, jitter: tuple[float, float], rng: np.random.Generator) -> int:
    """Say how long the image's longer side will be of what `augment` draws from an equal `rng`."""
    return _flip_and_length(side, jitter, rng)[1]


def augment(
    image: NDArray[np.uint8],
    masks: NDArray[np.uint8],
    *,
    side: int,
    jitter: tuple[float, float],
    rng: np.random.Generator,
    reduction: int = 1,
) -> View:
    """Flip, scale, crop and pad an image and its masks alike, as the reference trains.

    The image is flipped when a first random number is at least 0.5. Then a scale s, uniform over
    `jitter`, fits the image into a square of round(s * side) pixels with its aspect kept; a
    random part of at most `side` pixels per axis is cut out and padded right and below.

    Args:
        image: RGB image, (H, W, 3), or of fewer pixels, see `reduction`.
        masks: Its masks, (K, H, W); K may be 0.
        side: Height and width of the view in pixels.
        jitter: Lowest and highest scale (the reference: 0.1 and 2.0).
        rng: Source of the draws; always the same number of them.
        reduction: How many of the masks' pixels, down and across, a pixel of the image stands for,
            where it was decoded to fewer than the file has.

    Returns:
        The view. Masks without foreground are kept, so that indices still match: filter them.

    Raises:
        ShapeError: The masks are not of the image's size.
    """
    lengths = masks.shape[1:]
    if masks.ndim != 3 or image.shape[:2] != tuple(round(each / reduction) for each in lengths):
        whole = "" if reduction == 1 else f", times {reduction}"
        raise ShapeError(
            f"masks must be (K, H, W) with the image's height and width {image.shape[:2]}{whole}; "
            f"got {masks.shape}."
        )
    flip, target = _flip_and_length(side, jitter, rng)
    scale = min(target / lengths[0], target / lengths[1])
    height, width = (max(1, round(length * scale)) for length in lengths)
    top = int(rng.integers(0, max(0, height - side) + 1))
    left = int(rng.integers(0, max(0, width - side) + 1))

    def place(pixels: NDArray[np.uint8], padding: int, *, truncate: bool) -> NDArray[np.uint8]:
        resized = _resize(pixels[:, ::-1] if flip else pixels, height, width, truncate=truncate)
        part = resized[top : top + side, left : left + side]
        canvas = np.full((side, side, *part.shape[2:]), padding, dtype=np.uint8)
        canvas[: part.shape[0], : part.shape[1]] = part
        return canvas

    labels = np.zeros((len(masks), side, side), dtype=np.uint8)
    for label, mask in zip(labels, masks, strict=True):
        label[:] = place(mask, 0, truncate=False)
    return View(image=place(image, IMAGE_PADDING, truncate=True), masks=labels)


def _flip_and_length(
    side: int, jitter: tuple[float, float], rng: np.random.Generator
) -> tuple[bool, int]:
    """Draw whether an image is flipped, and how long its longer side becomes."""
    flip = rng.random() >= 0.5
    return flip, round(side * rng.uniform(*jitter))


def squash(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize an image (H, W, 3) to (S, S, 3) without keeping its aspect, as evaluation does.

    Channel by channel, to the same numbers: as fractions a large photograph takes 300 MB.
    """
    channels = [_resize(image[..., c], side, side, truncate=True) for c in range(image.shape[2])]
    return np.stack(channels, axis=-1)


def squash_mask(mask: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize a mask (H, W) to (S, S) without keeping its aspect; grey edges stay.

    An object so small that it lies between the pixels that the resize looks at keeps the pixels in
    which it lies: it has to be prompted for, and found, all the same.
    """
    squashed = _resize(mask, side, side, truncate=False)
    if not foreground(squashed).any():
        rows, columns = np.nonzero(foreground(mask))
        squashed = squashed.copy()
        squashed[rows * side // mask.shape[0], columns * side // mask.shape[1]] = 255
    return squashed


def _resize(
    pixels: NDArray[np.uint8], height: int, width: int, *, truncate: bool
) -> NDArray[np.uint8]:
    if pixels.shape[:2] == (height, width):
        return np.ascontiguousarray(pixels)
    source = np.ascontiguousarray(pixels, dtype=np.float32)
    resized = cv2.resize(source, (width, height), interpolation=cv2.INTER_LINEAR)
    if truncate:
        return (resized + _SLACK).astype(np.uint8)
    rounded = np.rint(resized)
    rounded += (rounded == FOREGROUND) * np.sign(resized - FOREGROUND)
    return rounded.astype(np.uint8)
