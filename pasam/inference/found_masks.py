"""Masks of one picture, from prompts or from everything, in the one form that is written out."""

# Shapes: H, W of the picture.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasam.inference.embedded_image import EmbeddedImage
from pasam.inference.everything import Everything, segment_everything
from pasam.inference.image_prompt import ImagePrompt
from pasam.inference.prompted_model import PromptedModel
from pasam.metrics.run_lengths import area, bounding_box, decode, encode


@dataclass(frozen=True, slots=True, eq=False)
class FoundMask:
    """A mask, and where it comes from."""

    mask: NDArray[np.bool_]
    """(H, W)"""
    score: float
    """Predicted IoU, see `pasam.inference.predictor`."""
    prompt: dict[str, Any]
    """`box`, `points` and `labels` as far as they were given, in pixels."""
    uncertainty: NDArray[np.float32] | None = None
    """PA-SAM's map, (H, W) in [0, 1], where it was asked for."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What else belongs into its record, such as a detector's category."""

    def record(self) -> dict[str, Any]:
        """Put it into words that JSON can hold."""
        code = encode(self.mask)
        return {
            "prompt": self.prompt,
            "score": round(self.score, 6),
            "area": area(code),
            "bbox": list(bounding_box(code)),
            "segmentation": code,
            **self.about,
        }


def masks_of_prompts(
    model: PromptedModel,
    image: EmbeddedImage,
    prompts: Sequence[ImagePrompt],
    *,
    uncertainty: bool = False,
) -> list[FoundMask]:
    """Answer prompts on a picture, one mask each.

    Args:
        model: The model.
        image: The picture, embedded.
        prompts: What is asked for.
        uncertainty: Bring PA-SAM's map too.

    Raises:
        PromptError: A box or a point lies outside the picture.
    """
    for prompt in prompts:
        prompt.check_inside(image.placement.height, image.placement.width)
    answers = model.predict_many(
        [(image, prompt) for prompt in prompts], return_details=uncertainty
    )
    return [
        FoundMask(
            mask=answer.masks[0],
            score=float(answer.scores[0]),
            prompt=_in_words(prompt),
            uncertainty=None if answer.details is None else answer.details.uncertainty,
        )
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


def masks_of_everything(
    model: PromptedModel,
    picture: NDArray[np.uint8],
    image: EmbeddedImage,
    options: Everything,
) -> list[FoundMask]:
    """Find all objects of a picture (H, W, 3), the best first."""
    records = segment_everything(model, picture, options, embedded=image)
    return [
        FoundMask(
            mask=decode(record["segmentation"]),
            score=record["predicted_iou"],
            prompt={"points": record["point_coords"], "labels": [1]},
        )
        for record in records
    ]


def _in_words(prompt: ImagePrompt) -> dict[str, Any]:
    parts = {"box": prompt.box, "points": prompt.points, "labels": prompt.labels}
    return {name: part.tolist() for name, part in parts.items() if part is not None}
