"""Small boxes looked at from near: the part round a box is embedded by itself.

A base of 256 pixels sees a thing of a twentieth of the photograph at a dozen pixels, where it can
hardly follow an outline. A box says where to look: its surroundings, brought to the full input,
show the same thing at half the input's side. It costs an encoder pass per box.
"""

# Shapes: H, W of the image, h, w of a window, N boxes, C masks.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasam.errors import PromptError
from pasam.inference.image_prompt import image_prompt
from pasam.inference.predictor import PredictedMasks, PromptedModel

ZOOM = 2.0
"""Sides of a window in sides of its box."""
SLIMMEST = 0.5
"""Least side of a window as a share of the longer one, where the image is large enough: a window
round a mast shows what stands beside it."""
WORTH_IT = 0.8
"""Windows with both sides above this share of the image are the whole image instead."""

Box = Sequence[float] | NDArray[np.floating[Any]]
"""x0, y0, x1, y1 in pixels, inclusive, (4,)."""
Window = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, the last exclusive."""


def zoom_window(box: Box, shape: tuple[int, ...], *, zoom: float = ZOOM) -> Window | None:
    """Find the part of an image in which a box is looked at, or None for the whole image.

    Args:
        box: The box.
        shape: Height and width of the image.
        zoom: Sides of the window in sides of the box, 1 or more.

    Raises:
        PromptError: The zoom is below 1.
    """
    if not zoom >= 1:
        raise PromptError(f"zoom is {zoom}, expected 1 or more: a window shows all of its box.")
    limits = np.array([shape[1], shape[0]])
    first, last = np.clip(box[:2], 0, limits - 1), np.clip(box[2:], 0, limits - 1)
    sides = np.minimum(limits, np.ceil(zoom * (last - first + 1)))
    size = np.minimum(limits, np.maximum(sides, SLIMMEST * sides.max())).astype(int)
    if (size > WORTH_IT * limits).all():
        return None
    start = np.clip(np.rint((first + last + 1 - size) / 2), 0, limits - size).astype(int)
    (x0, y0), (x1, y1) = start.tolist(), (start + size).tolist()
    return x0, y0, x1, y1


def predict_zoomed(
    model: PromptedModel,
    image: NDArray[np.uint8],
    boxes: Sequence[Box],
    *,
    zoom: float = ZOOM,
) -> list[PredictedMasks]:
    """Answer boxes on one image, the small ones from near.

    Args:
        model: SAM or an adapter.
        image: RGB, (H, W, 3).
        boxes: N boxes.
        zoom: Sides of a box's window in its own sides.

    Returns:
        One answer per box, its masks bool (C, H, W), empty outside the window. `low_res` is over
        the window, so it is no prompt for the whole image.

    Raises:
        PromptError: A box says nothing usable, or the zoom is below 1.
        DataError: The image is something else.
    """
    prompts = [image_prompt(box=box) for box in boxes]
    windows = [zoom_window(np.asarray(box, np.float32), image.shape, zoom=zoom) for box in boxes]
    whole = model.embed(image) if None in windows or not windows else None
    answers = []
    for box, prompt, window in zip(boxes, prompts, windows, strict=True):
        if window is None and whole is not None:
            answers += model.predict_many([(whole, prompt)])
        elif window is not None:
            answers.append(_in_window(model, image, box, window))
    return answers


def _in_window(
    model: PromptedModel, image: NDArray[np.uint8], box: Box, window: Window
) -> PredictedMasks:
    x0, y0, x1, y1 = window
    part = model.embed(np.ascontiguousarray(image[y0:y1, x0:x1]))
    inside = np.asarray(box, np.float32) - np.array([x0, y0, x0, y0], np.float32)
    found = model.predict_many([(part, image_prompt(box=inside))])[0]
    masks = np.zeros((len(found.masks), *image.shape[:2]), np.bool_)
    masks[:, y0:y1, x0:x1] = found.masks
    return PredictedMasks(masks, found.scores, found.low_res, details=None)
