"""What a user asks of one image: a box, points, a mask, or several of them for one object."""

# Shapes: k points, m side of a mask prompt, N prompts, n prompts of one kind.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from pasam.errors import PromptError
from pasam.inference.image_transform import Placement
from pasam.models.segmenter import Prompts

PADDING = -1
"""Label of a point that says nothing; SAM's users pad unequal numbers of points with it."""


@dataclass(frozen=True, slots=True, eq=False)
class ImagePrompt:
    """One object, as it is pointed out. Make it with `image_prompt`, which checks the values."""

    box: NDArray[np.float64] | None
    """Corners x0, y0, x1, y1 in pixels of the original image, (4,)."""
    points: NDArray[np.float64] | None
    """x, y in pixels of the original image, (k, 2)."""
    labels: NDArray[np.int64] | None
    """1 on the object, 0 beside it, (k,)."""
    mask: NDArray[np.float32] | None
    """Mask logits over the encoder's input, such as an earlier prediction's, (m, m)."""

    def check_inside(self, height: int, width: int) -> None:
        """Refuse a box or a point that lies outside an image of this size.

        Raises:
            PromptError: A corner or a point lies outside.
        """
        places = [] if self.box is None else [("box corner", xy) for xy in self.box.reshape(2, 2)]
        places += [] if self.points is None else [("point", xy) for xy in self.points]
        for what, (x, y) in places:
            if not (0 <= x <= width and 0 <= y <= height):
                raise PromptError(
                    f"{what} {x:g},{y:g} lies outside the image of {width} x {height} pixels. "
                    "Coordinates are x,y from the upper left corner."
                )


def image_prompt(
    *,
    box: ArrayLike | None = None,
    points: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    mask: ArrayLike | None = None,
) -> ImagePrompt:
    """Make a prompt for one object; what is given is combined.

    Args:
        box: Corners x0, y0, x1, y1 in pixels of the original image, (4,).
        points: x, y in pixels of the original image, (k, 2).
        labels: 1 on the object, 0 beside it, (k,); -1 leaves the point out. All 1 when absent.
        mask: Mask logits of an earlier prediction of the same image, (m, m) or (1, m, m).

    Raises:
        PromptError: Nothing is given, a shape or a label is wrong, a number is not finite, or the
            box ends before it begins.
    """
    corners = None if box is None else _numbers(box, "the box", "(4,): x0, y0, x1, y1").reshape(-1)
    if corners is not None:
        _check_box(corners)
    places, signs = _points(points, labels)
    logits = None if mask is None else _mask(mask)
    if corners is None and places is None and logits is None:
        raise PromptError("the prompt is empty: give a box, a point or a mask.")
    return ImagePrompt(box=corners, points=places, labels=signs, mask=logits)


def grouped(
    prompts: Sequence[ImagePrompt],
    placements: Sequence[Placement],
    *,
    mask_side: int,
    device: torch.device,
) -> list[Prompts]:
    """Put prompts of equal parts together, so that they share a pass of the decoder.

    Unequal numbers of points are never padded: SAM's decoder attends to padding too, and a
    result would then depend on what else is in the batch.

    Args:
        prompts: N prompts.
        placements: The placement of each one's image.
        mask_side: Side m that a mask prompt must have.
        device: Where the tensors are needed.

    Raises:
        PromptError: A mask prompt is of another side.
    """
    members: dict[tuple[bool, int, bool], list[int]] = {}
    for place, prompt in enumerate(prompts):
        if prompt.mask is not None and prompt.mask.shape != (mask_side, mask_side):
            raise PromptError(
                f"the mask prompt is {prompt.mask.shape}, expected ({mask_side}, {mask_side}): "
                "the low-resolution logits of an earlier prediction by a model of this base."
            )
        count = 0 if prompt.points is None else len(prompt.points)
        key = (prompt.box is not None, count, prompt.mask is not None)
        members.setdefault(key, []).append(place)
    return [_group(prompts, placements, places, device) for places in members.values()]


def _group(
    prompts: Sequence[ImagePrompt],
    placements: Sequence[Placement],
    places: list[int],
    device: torch.device,
) -> Prompts:
    def stacked(parts: list[NDArray[Any]], kind: torch.dtype) -> Tensor | None:
        return torch.as_tensor(np.stack(parts), dtype=kind, device=device) if parts else None

    chosen = [(prompts[place], placements[place]) for place in places]
    boxes = [at.into_input(p.box.reshape(2, 2)).reshape(4) for p, at in chosen if p.box is not None]
    points = [at.into_input(p.points) for p, at in chosen if p.points is not None]
    labels = [p.labels for p, _ in chosen if p.labels is not None]
    masks = [p.mask[None] for p, _ in chosen if p.mask is not None]
    return Prompts(
        indices=torch.tensor(places, device=device),
        boxes=stacked(boxes, torch.float32),
        points=stacked(points, torch.float32),
        point_labels=stacked(labels, torch.int32),
        masks=stacked(masks, torch.float32),
    )


def _check_box(corners: NDArray[np.float64]) -> None:
    if corners.shape != (4,):
        raise PromptError(f"the box has {corners.size} numbers, expected x0, y0, x1, y1.")
    x0, y0, x1, y1 = corners
    if x1 <= x0 or y1 <= y0:
        raise PromptError(
            f"the box {x0:g},{y0:g},{x1:g},{y1:g} is empty, expected x0 < x1 and y0 < y1: its "
            "upper left corner, then its lower right one."
        )


def _points(
    points: ArrayLike | None, labels: ArrayLike | None
) -> tuple[NDArray[np.float64] | None, NDArray[np.int64] | None]:
    if points is None:
        if labels is not None:
            raise PromptError("there are labels but no points; give both, or points alone.")
        return None, None
    places = _numbers(points, "the points", "(k, 2): x, y of each")
    if places.ndim != 2 or places.shape[1] != 2:
        raise PromptError(f"the points are {places.shape}, expected (k, 2): x, y of each.")
    signs = np.ones(len(places)) if labels is None else _numbers(labels, "the labels", "(k,)")
    if signs.shape != (len(places),):
        raise PromptError(
            f"there are {len(places)} points and labels {signs.shape}, expected one each."
        )
    wrong = sorted(set(signs.tolist()) - {PADDING, 0.0, 1.0})
    if wrong:
        raise PromptError(
            f"the labels hold {wrong[0]:g}, expected 1 (on the object), 0 (beside it) or -1 (none)."
        )
    real = signs != PADDING
    if not real.any():
        return None, None
    return places[real], signs[real].astype(np.int64)


def _mask(mask: ArrayLike) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        logits = _numbers(mask, "the mask prompt", "(m, m) mask logits").astype(np.float32)
    logits = logits[0] if logits.ndim == 3 and len(logits) == 1 else logits
    if logits.ndim != 2 or not np.isfinite(logits).all():
        raise PromptError(f"the mask prompt is {logits.shape}, expected (m, m) finite mask logits.")
    return logits


def _numbers(values: ArrayLike, what: str, expected: str) -> NDArray[np.float64]:
    try:
        numbers = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise PromptError(f"{what} cannot be read as numbers, expected {expected}.") from None
    if not np.isfinite(numbers).all():
        raise PromptError(f"a number of {what} is not finite, expected {expected}.")
    return numbers
