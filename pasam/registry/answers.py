"""What a served model answers: masks as COCO RLE or PNG, scores, and the uncertainty map."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pasam.errors import PromptError
from pasam.inference.predicted_masks import PredictedMasks
from pasam.metrics.run_lengths import encode


def answer(found: Sequence[PredictedMasks], *, form: str, uncertainty: bool) -> str:
    """Write the answers to all prompts of one image as JSON.

    Args:
        found: What was predicted.
        form: `rle`: COCO's compressed run lengths, `{size: [H, W], counts: text}`; `png`: base64
            of a black and white PNG.
        uncertainty: Add the uncertainty map, base64 of an 8-bit PNG, of models that have one.

    Raises:
        PromptError: There is no such format.
    """
    if form not in ("rle", "png"):
        raise PromptError(f"'format' is {form!r}, expected 'rle' or 'png'.")
    return json.dumps([_one(each, form, uncertainty) for each in found])


def png(values: NDArray[np.uint8]) -> str:
    """Write a grey picture (H, W) as PNG in base64."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _one(found: PredictedMasks, form: str, uncertainty: bool) -> dict[str, Any]:
    words: dict[str, Any] = {
        "masks": [
            encode(mask) if form == "rle" else png(mask.astype(np.uint8) * 255)
            for mask in found.masks
        ],
        "scores": [round(float(score), 6) for score in found.scores],
    }
    if uncertainty:
        map_ = None if found.details is None else found.details.uncertainty
        words["uncertainty"] = None if map_ is None else png((map_ * 255).round().astype(np.uint8))
    return words
