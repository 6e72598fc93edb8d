"""Any model on any images with masks: the tables' measures, without manifest or embeddings.

Each mask is asked for by its own box, as in the tables. With the resize `squash` the protocol is
theirs too: the box is that of the label squashed to the encoder's input.
"""

# Shapes: H, W of an image, S the side of the encoder's input, n masks of one image.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pasam.errors import DataError
from pasam.evaluation.scores import score_mask
from pasam.inference.image_transform import ImageTransform
from pasam.inference.predictor import MASK_THRESHOLD, PromptedModel
from pasam.masks.images import read_image, read_mask
from pasam.masks.prompts import tight_box
from pasam.masks.transforms import squash_mask
from pasam.models.segmenter import Prompts

ImageWithMasks = tuple[Path, Sequence[Path]]


@dataclass(frozen=True, slots=True)
class SetScores:
    """What a model scores on a set, in shares of 1."""

    masks: int
    iou: float
    """Mean IoU over the masks: the headline."""
    boundary_iou: float
    """Mean boundary IoU over the masks."""
    pooled_iou: float
    """IoU of all pixels of the set together."""
    covered: float
    """Share of masks that their boundary band covers whole, where boundary IoU is IoU."""


def score_set(
    model: PromptedModel, pairs: Iterable[ImageWithMasks], *, boundary_fraction: float
) -> SetScores:
    """Predict and score every mask of a set.

    Args:
        model: The model; its resize is part of the protocol.
        pairs: Images, each with its masks.
        boundary_fraction: Width of the boundary band as a share of the image diagonal.

    Raises:
        DataError: A file is unreadable, a mask has another size than its image, or there is none.
    """
    rows = [
        row
        for image, masks in pairs
        for row in _scores_of_image(model, image, masks, boundary_fraction=boundary_fraction)
    ]
    if not rows:
        raise DataError("there is no mask to score; give a set that has some.")
    table = {name: np.array([row[name] for row in rows], float) for name in rows[0]}
    return SetScores(
        masks=len(rows),
        iou=float(table["iou"].mean()),
        boundary_iou=float(table["boundary_iou"].mean()),
        pooled_iou=float(table["intersection"].sum() / max(1.0, table["union"].sum())),
        covered=float(table["boundary_covers"].mean()),
    )


def _scores_of_image(
    model: PromptedModel, image: Path, masks: Sequence[Path], *, boundary_fraction: float
) -> list[dict[str, Any]]:
    pixels = read_image(image)
    truths = [read_mask(mask) for mask in masks]
    for mask, truth in zip(masks, truths, strict=True):
        if truth.shape != pixels.shape[:2]:
            raise DataError(
                f"{mask} is {truth.shape[1]} x {truth.shape[0]} pixels, but {image} is "
                f"{pixels.shape[1]} x {pixels.shape[0]}. Export the mask at the image's size."
            )
    embedded = model.embed(pixels)
    boxes = [box_in_input(truth, embedded.transform) for truth in truths]
    prompts = Prompts(
        indices=torch.arange(len(boxes), device=model.device),
        boxes=torch.as_tensor(np.stack(boxes), dtype=torch.float32, device=model.device),
        points=None,
        point_labels=None,
        masks=None,
    )
    decoded = model.decode([embedded] * len(boxes), prompts, False, with_sam=False)
    found = []
    for number, truth in enumerate(truths):
        logits = embedded.transform.at_original_size(decoded.masks[number : number + 1])
        predicted = (logits[0, 0] > MASK_THRESHOLD).cpu().numpy()
        found.append(score_mask(truth, predicted, boundary_fraction=boundary_fraction))
    return found


def box_in_input(truth: NDArray[np.uint8], transform: ImageTransform) -> NDArray[np.float64]:
    """Draw the box of a mask in pixels of the encoder's input.

    Args:
        truth: The mask, (H, W) in 0..255.
        transform: Where its image lies in the input.

    Returns:
        Corners x0, y0, x1, y1, (4,).

    Raises:
        DataError: The object vanishes at the input's side.
    """
    if transform.resize == "squash":
        return tight_box(squash_mask(truth, transform.side)).astype(np.float64)
    corners = tight_box(truth).astype(np.float64).reshape(2, 2)
    return transform.into_input(corners).reshape(4)
