"""The one record of a predicted mask, as the command line, the service and MLflow's model write it.

What a mask's record holds is said once, in `MaskRecord.as_json`; around it stand the PNG files,
the COCO set, and the answer of the model that MLflow serves.
"""

# Shapes: H, W of the image, C masks of a prompt.

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasam.errors import PromptError
from pasam.files import write_json
from pasam.inference.image_prompt import ImagePrompt
from pasam.inference.predictor import PredictedMasks
from pasam.masks.images import encode_png, write_png
from pasam.masks.run_lengths import Rle, area, bounding_box, decode, encode

OF_ANNOTATION = ("score", "area", "bbox", "segmentation", "category_id", "detection_score")
"""Parts of a record that go into a COCO annotation; its prompt and PNGs do not."""


@dataclass(frozen=True, slots=True, eq=False)
class MaskRecord:
    """A predicted mask, and where it comes from."""

    mask: NDArray[np.bool_]
    """(H, W)"""
    score: float
    """Predicted IoU, see `pasam.inference.predictor`."""
    prompt: Mapping[str, Any] = field(default_factory=dict)
    """`box`, `points` and `labels` as far as they were given, in pixels."""
    uncertainty: NDArray[np.float32] | None = None
    """PA-SAM's map, (H, W) in [0, 1], where it was asked for."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What else belongs into the record, such as a detector's category."""

    @property
    def run_lengths(self) -> Rle:
        """The mask as COCO's compressed run lengths."""
        return encode(self.mask)

    def as_json(self, *, png: bool = False) -> dict[str, Any]:
        """Return what JSON holds of every mask: score, area, box, run lengths, perhaps a PNG."""
        code = self.run_lengths
        measures = {
            "score": round(self.score, 6),
            "area": area(code),
            "bbox": list(bounding_box(code)),
            "segmentation": code,
        }
        return measures | ({"png": self.png()} if png else {})

    def with_prompt(self) -> dict[str, Any]:
        """Return the whole record for JSON: the prompt, `as_json`, and what else belongs to it."""
        return {"prompt": dict(self.prompt), **self.as_json(), **self.extra}

    def png(self) -> str:
        """Return the mask as a PNG of 0 and 255, in base64."""
        return _png_base64(grey(self.mask))

    def uncertainty_png(self) -> str | None:
        """Return the uncertainty map as a grey PNG in base64; None where there is no map."""
        return None if self.uncertainty is None else _png_base64(grey(self.uncertainty))


def records_of(answer: PredictedMasks, prompt: ImagePrompt | None = None) -> list[MaskRecord]:
    """Make the records of a prompt's masks, C of them, in their order."""
    details = answer.details
    parts = {} if prompt is None else _json_prompt(prompt)
    uncertainty = None if details is None else details.uncertainty
    return [
        MaskRecord(mask, float(score), parts, uncertainty)
        for mask, score in zip(answer.masks, answer.scores, strict=True)
    ]


def record_of_object(found: Mapping[str, Any]) -> MaskRecord:
    """Make the record of an object that `segment_everything` has found."""
    prompt = {"points": found["point_coords"], "labels": [1]}
    return MaskRecord(decode(found["segmentation"]), found["predicted_iou"], prompt)


def mlflow_answer(found: Sequence[PredictedMasks], *, form: str, uncertainty: bool) -> str:
    """Write the answers to all prompts of one image as the model that MLflow serves does.

    Args:
        found: What was predicted.
        form: `rle`: COCO's compressed run lengths, `{size: [H, W], counts: text}`; `png`: base64
            of a black and white PNG.
        uncertainty: Add the uncertainty map, base64 of an 8-bit PNG, of models that have one.

    Returns:
        JSON: a list with `masks`, `scores` and perhaps `uncertainty` of each prompt.

    Raises:
        PromptError: There is no such format.
    """
    if form not in ("rle", "png"):
        raise PromptError(f"'format' is {form!r}, expected 'rle' or 'png'.")
    answers = []
    for each in found:
        records = records_of(each)
        answer: dict[str, Any] = {
            "masks": [one.run_lengths if form == "rle" else one.png() for one in records],
            "scores": [round(one.score, 6) for one in records],
        }
        if uncertainty:
            answer["uncertainty"] = records[0].uncertainty_png()
        answers.append(answer)
    return json.dumps(answers)


def write_masks(folder: Path, name: str, masks: Sequence[MaskRecord]) -> list[Path]:
    """Write each mask as a PNG of 0 and 255, of the image's size."""
    return _write_each(folder, name, "mask", [record.mask for record in masks])


def write_uncertainty(folder: Path, name: str, masks: Sequence[MaskRecord]) -> list[Path]:
    """Write each uncertainty map as a grey PNG: black is sure, white is not."""
    return _write_each(folder, name, "uncertainty", [record.uncertainty for record in masks])


def _write_each(
    folder: Path, name: str, what: str, parts: Sequence[NDArray[Any] | None]
) -> list[Path]:
    """Write `photo_mask_1.png`, `photo_mask_2.png`, ..., or `photo_mask.png` where it is alone."""
    numbers = [f"_{number + 1}" if len(parts) > 1 else "" for number in range(len(parts))]
    named = zip((folder / f"{name}_{what}{number}.png" for number in numbers), parts, strict=True)
    written = [(path, part) for path, part in named if part is not None]
    for path, part in written:
        write_png(path, grey(part))
    return [path for path, _ in written]


def write_records(folder: Path, name: str, masks: Sequence[MaskRecord]) -> Path:
    """Write all masks of an image as one JSON list of records with COCO run lengths."""
    path = folder / f"{name}.json"
    write_json(path, [record.with_prompt() for record in masks], indent=None)
    return path


class CocoSet:
    """A COCO data set that grows image by image; pycocotools and other tools read it."""

    def __init__(self) -> None:
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(self, name: str, size: tuple[int, int], masks: Sequence[Mapping[str, Any]]) -> None:
        """Add an image of (H, W) pixels with the records of its masks.

        Without a category of its own, a mask is of category 1.
        """
        number = len(self.images) + 1
        self.images.append({"id": number, "file_name": name, "height": size[0], "width": size[1]})
        for record in masks:
            ids = {"id": len(self.annotations) + 1, "image_id": number, "category_id": 1}
            parts = {part: record[part] for part in OF_ANNOTATION if part in record}
            self.annotations.append({**ids, "iscrowd": 0, **parts})

    def as_json(self, names: Mapping[int, str]) -> dict[str, Any]:
        """Return the set, with the names of its categories by id."""
        categories = [{"id": identity, "name": name} for identity, name in names.items()]
        return {"images": self.images, "annotations": self.annotations, "categories": categories}

    def write(self, path: Path, names: Mapping[int, str]) -> None:
        """Write the set as JSON, with the names of its categories by id."""
        write_json(path, self.as_json(names), indent=None)


def _json_prompt(prompt: ImagePrompt) -> dict[str, Any]:
    parts = {"box": prompt.box, "points": prompt.points, "labels": prompt.labels}
    return {name: part.tolist() for name, part in parts.items() if part is not None}


def grey(values: NDArray[np.bool_] | NDArray[np.float32]) -> NDArray[np.uint8]:
    """Bring a mask or a map in [0, 1] to grey values, (H, W) in 0..255."""
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    return np.rint(values * 255).astype(np.uint8)


def _png_base64(values: NDArray[np.uint8]) -> str:
    return base64.b64encode(encode_png(values)).decode("ascii")
