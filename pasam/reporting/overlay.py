"""Masks painted over an image: true and false positives, false negatives, outlines and prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL.ImageColor import getrgb

from pasam.errors import ShapeError
from pasam.reporting.style import (
    BOX,
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    MASKS,
    NEGATIVE_POINT,
    POSITIVE_POINT,
    TRUE_POSITIVE,
)

# Shapes: H and W of the image.

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_STRENGTH = 0.72
"""Fraction of the colour in a painted pixel: enough to read it, and the texture still shows."""
_DIMMED = 0.55
"""Brightness of the grey ground under a comparison."""
_TINT = 0.45
"""As `_STRENGTH`, for masks over an image in its own colours."""
_UNCOVERED = 0.75
"""Brightness of what no mask covers."""


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
    painted[mask] += _STRENGTH * (np.array(getrgb(colour), dtype=np.float32) - painted[mask])
    return np.clip(np.rint(painted), 0, 255).astype(np.uint8)


def comparison(image: Image, truth: Mask, predicted: Mask) -> Image:
    """Show a predicted mask (H, W) against the ground truth, on the dimmed image (H, W, 3).

    True positives, false positives and false negatives have the palette's three colours.

    Raises:
        ShapeError: A mask has another size than the image.
    """
    shown = paint(dimmed(image), truth & predicted, TRUE_POSITIVE)
    shown = paint(shown, ~truth & predicted, FALSE_POSITIVE)
    return paint(shown, truth & ~predicted, FALSE_NEGATIVE)


@dataclass(frozen=True, slots=True)
class DrawnPrompts:
    """The prompts of a prediction, in pixels of the image."""

    boxes: Sequence[Sequence[float]]
    """Corners x0, y0, x1, y1."""
    points: Sequence[Sequence[float]]
    """x, y."""
    labels: Sequence[int]
    """1 or 0 for each point."""


def prediction_overlay(image: Image, masks: Sequence[Mask], prompts: DrawnPrompts) -> Image:
    """Draw predicted masks (H, W) and their prompts over an image (H, W, 3), darker outside them.

    Larger masks lie below smaller ones, so that every mask is seen.
    """
    covered = np.any(masks, axis=0) if len(masks) else np.zeros(image.shape[:2], bool)
    shown = image.astype(np.float32)
    shown[~covered] *= _UNCOVERED
    stroke = max(1, round(max(image.shape[:2]) / 500))
    order = sorted(range(len(masks)), key=lambda i: -int(masks[i].sum()))
    for number in order:
        colour = np.array(getrgb(MASKS[number % len(MASKS)]), np.float32)
        mask = masks[number]
        shown[mask] += _TINT * (colour - shown[mask])
    canvas = np.ascontiguousarray(np.clip(np.rint(shown), 0, 255).astype(np.uint8))
    for number in order:
        _outline(canvas, masks[number], getrgb(MASKS[number % len(MASKS)]), stroke)
    _draw_prompts(canvas, prompts, stroke)
    return canvas


def _outline(canvas: Image, mask: Mask, colour: tuple[int, ...], stroke: int) -> None:
    """Draw a light line in a dark one round a mask, which shows on any ground."""
    lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    light = tuple(int(128 + channel / 2) for channel in colour)
    cv2.drawContours(canvas, lines, -1, light, stroke, cv2.LINE_AA)


def _draw_prompts(canvas: NDArray[np.uint8], prompts: DrawnPrompts, stroke: int) -> None:
    for box in prompts.boxes:
        x0, y0, x1, y1 = (round(value) for value in box)
        for colour, width in (((0, 0, 0), 3 * stroke), (getrgb(BOX), stroke)):
            cv2.rectangle(canvas, (x0, y0), (x1, y1), colour, width, cv2.LINE_AA)
    for (x, y), label in zip(prompts.points, prompts.labels, strict=True):
        centre = (round(x), round(y))
        cv2.circle(canvas, centre, 5 * stroke, (255, 255, 255), -1, cv2.LINE_AA)
        colour = getrgb(POSITIVE_POINT if label else NEGATIVE_POINT)
        cv2.circle(canvas, centre, 4 * stroke, colour, -1, cv2.LINE_AA)
