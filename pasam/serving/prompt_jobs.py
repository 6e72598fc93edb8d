"""From a prompt over the wire to its masks over the wire: checked, predicted, written."""

# Shapes: H, W of the picture, m the side of low-resolution logits.

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pasam.errors import RefusedError
from pasam.inference.image_prompt import ImagePrompt, image_prompt
from pasam.inference.image_transform import EmbeddedImage
from pasam.inference.predicted_masks import Details, PredictedMasks
from pasam.masks.run_lengths import area, bounding_box, encode
from pasam.serving.model_pool import OfferedModel
from pasam.serving.payloads import Limits, Logits, MaskFormat, Prompt


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PromptJob:
    """One prompt, all that it needs, and the version that answers it."""

    offered: OfferedModel
    image: EmbeddedImage
    prompt: ImagePrompt
    multimask: bool
    details: bool
    low_res: bool
    form: MaskFormat

    @property
    def key(self) -> tuple[int, bool, bool]:
        """Equal for jobs that can share a pass."""
        return id(self.offered), self.multimask, self.details

    @property
    def pixels(self) -> int:
        """Mask pixels that it makes, about."""
        masks = (3 if self.multimask else 1) + (6 if self.details else 0)
        return self.image.placement.height * self.image.placement.width * masks


def checked_prompt(
    given: Prompt, image: EmbeddedImage, offered: OfferedModel, limits: Limits
) -> ImagePrompt:
    """Turn a prompt of the wire into one of the library.

    Raises:
        PromptError: It says nothing usable, or lies outside the picture.
        RefusedError: It has too many points, or its mask does not fit the model.
    """
    if len(given.points or ()) > limits.points:
        raise RefusedError(
            f"a prompt has {len(given.points or ())} points, at most {limits.points} are taken.",
            status=422,
        )
    mask = _logits(given.mask) if isinstance(given.mask, Logits) else given.mask
    prompt = image_prompt(box=given.box, points=given.points, labels=given.labels, mask=mask)
    side = offered.model.mask_side
    if prompt.mask is not None and prompt.mask.shape != (side, side):
        raise RefusedError(
            f"the mask prompt is {prompt.mask.shape}, expected ({side}, {side}): the `low_res` of "
            "an earlier answer.",
            status=422,
        )
    prompt.check_inside(image.placement.height, image.placement.width)
    return prompt


def answer_prompts(jobs: Sequence[PromptJob]) -> list[list[dict[str, Any]]]:
    """Answer prompts of one key together; of each the records of its masks."""
    first = jobs[0]
    answers = first.offered.model.predict_many(
        [(job.image, job.prompt) for job in jobs],
        multimask_output=first.multimask,
        return_details=first.details,
    )
    return [_records(job, answer) for job, answer in zip(jobs, answers, strict=True)]


def mask_record(mask: NDArray[np.bool_], score: float, form: MaskFormat) -> dict[str, Any]:
    """Write a mask (H, W) in the form that was asked for."""
    code = encode(mask)
    record: dict[str, Any] = {
        "score": round(score, 6),
        "area": area(code),
        "bbox": list(bounding_box(code)),
        "segmentation": code,
    }
    if form == "png":
        record["png"] = png(mask.astype(np.uint8) * 255)
    return record


def png(values: NDArray[np.uint8]) -> str:
    """Write values (H, W) as a grey PNG in base64."""
    _, content = cv2.imencode(".png", values, [cv2.IMWRITE_PNG_COMPRESSION, 4])
    return base64.b64encode(content.tobytes()).decode()


def _records(job: PromptJob, answer: PredictedMasks) -> list[dict[str, Any]]:
    records = []
    for candidate, (mask, score) in enumerate(zip(answer.masks, answer.scores, strict=True)):
        record = mask_record(mask, float(score), job.form) | {"candidate": candidate}
        if job.low_res:
            record["low_res"] = _wired(answer.low_res[candidate])
        if answer.details is not None and candidate == 0:
            record["details"] = _details(job, answer.details)
        records.append(record)
    return records


def _details(job: PromptJob, details: Details) -> dict[str, Any]:
    height, width = job.image.placement.height, job.image.placement.width

    def inside(points: NDArray[np.float32] | None) -> list[tuple[float, float]]:
        there = [] if points is None else points.tolist()
        return [(x, y) for x, y in there if 0 <= x < width and 0 <= y < height]

    masks = zip(details.sam_masks, details.sam_scores, strict=True)
    unsure = details.uncertainty
    return {
        "sam": [mask_record(mask, float(score), job.form) for mask, score in masks],
        "uncertainty": None if unsure is None else png(np.rint(unsure * 255).astype(np.uint8)),
        "positive": inside(details.positive),
        "negative": inside(details.negative),
    }


def _wired(logits: NDArray[np.float32]) -> dict[str, Any]:
    content = np.ascontiguousarray(logits, "<f4").tobytes()
    return {"side": len(logits), "float32": base64.b64encode(content).decode()}


def _logits(given: Logits) -> NDArray[np.float32]:
    try:
        content = base64.b64decode(given.float32, validate=True)
    except (binascii.Error, ValueError):
        raise RefusedError("the mask prompt's float32 is no base64.", status=422) from None
    if len(content) != 4 * given.side**2:
        raise RefusedError(
            f"the mask prompt's float32 holds {len(content)} bytes, expected "
            f"{4 * given.side**2} for a side of {given.side}.",
            status=422,
        )
    return np.frombuffer(content, "<f4").reshape(given.side, given.side).astype(np.float32)
