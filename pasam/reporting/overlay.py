"""Paint masks over an image so that hits, false alarms and misses tell themselves apart."""

# Shapes: H and W of the image.

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pasam.errors import ShapeError
from pasam.reporting.palette import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, rgb

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_STRENGTH = 0.72
"""Share of the colour in a painted pixel: enough to read it, and the texture still shows."""
_DIMMED = 0.55


def dimmed(image: Image) -> Image:
    """Turn an image (H, W, 3) into a darker grey one, a quiet ground for colours."""
    grey = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    levels = np.clip(np.rint(grey * _DIMMED), 0, 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def paint(image: Image, mask: Mask, colour: str) -> Image:
    """Tint the pixels of a mask (H, W) on an image (H, W, 3); the others stay as they are."""
    if mask.shape != image.shape[:2]:
        raise ShapeError(
            f"A mask {mask.shape} cannot be painted on an image {image.shape}; "
            "masks are shown at the size of their image."
        )
    painted = image.astype(np.float32)
    painted[mask] += _STRENGTH * (np.array(rgb(colour), dtype=np.float32) - painted[mask])
    return np.clip(np.rint(painted), 0, 255).astype(np.uint8)


def comparison(image: Image, truth: Mask, predicted: Mask) -> Image:
    """Show a prediction against the ground truth.

    Args:
        image: RGB, (H, W, 3).
        truth: Ground truth, (H, W).
        predicted: Predicted mask, (H, W).

    Returns:
        The dimmed image with true positives, false positives and false negatives in the
        palette's three colours, (H, W, 3).

    Raises:
        ShapeError: A mask has another size than the image.
    """
    shown = paint(dimmed(image), truth & predicted, TRUE_POSITIVE)
    shown = paint(shown, ~truth & predicted, FALSE_POSITIVE)
    return paint(shown, truth & ~predicted, FALSE_NEGATIVE)
