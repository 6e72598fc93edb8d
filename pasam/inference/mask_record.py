"""The one record of a predicted mask, and its forms on disk.

PNG, COCO's run lengths, a COCO set.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasam.inference.automatic_masks import Everything, segment_everything
from pasam.inference.image_prompt import ImagePrompt
from pasam.inference.image_transform import EmbeddedImage
from pasam.inference.predictor import PromptedModel
from pasam.masks.images import write_png
from pasam.masks.run_lengths import area, bounding_box, decode, encode

# --- found_masks: Masks of one picture, from prompts or from everything, in the one form that is
# written out.

# Shapes: H, W of the picture.


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


# --- mask_files: Masks on disk, in the forms that other programs read: PNG, COCO's run lengths,
# a COCO set.


def numbered(name: str, number: int, count: int, ending: str) -> str:
    """Name one of several files: `photo_mask_2.png`, or `photo_mask.png` when it is alone."""
    return f"{name}_{ending}" if count == 1 else f"{name}_{ending}_{number + 1}"


def write_masks(folder: Path, name: str, masks: Sequence[FoundMask]) -> list[Path]:
    """Write each mask as a PNG of 0 and 255, of the picture's size."""
    paths = [folder / f"{numbered(name, i, len(masks), 'mask')}.png" for i in range(len(masks))]
    for path, found in zip(paths, masks, strict=True):
        write_png(path, found.mask.astype(np.uint8) * 255)
    return paths


def write_uncertainty(folder: Path, name: str, masks: Sequence[FoundMask]) -> list[Path]:
    """Write each uncertainty map as a grey PNG: black is sure, white is not."""
    mapped = [(i, m.uncertainty) for i, m in enumerate(masks) if m.uncertainty is not None]
    paths = []
    for number, values in mapped:
        path = folder / f"{numbered(name, number, len(masks), 'uncertainty')}.png"
        write_png(path, np.rint(values * 255).astype(np.uint8))
        paths.append(path)
    return paths


def write_records(folder: Path, name: str, masks: Sequence[FoundMask]) -> Path:
    """Write all masks of a picture as one JSON list of records with COCO run lengths."""
    path = folder / f"{name}.json"
    write_json(path, [found.record() for found in masks])
    return path


class CocoSet:
    """A COCO data set that grows picture by picture; pycocotools and other tools read it."""

    def __init__(self) -> None:
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(self, picture: Path, size: tuple[int, int], masks: Sequence[FoundMask]) -> None:
        """Add a picture of (H, W) pixels with its masks."""
        number = len(self.images) + 1
        self.images.append(
            {"id": number, "file_name": picture.name, "height": size[0], "width": size[1]}
        )
        for found in masks:
            record = found.record()
            del record["prompt"]
            record.pop("category", None)  # the set has its name
            self.annotations.append(
                {
                    "id": len(self.annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "iscrowd": 0,
                    **record,
                }
            )

    def write(self, path: Path, names: Mapping[int, str]) -> None:
        """Write the set as JSON, with the names of its categories by id."""
        categories = [{"id": identity, "name": name} for identity, name in names.items()]
        content = {
            "images": self.images,
            "annotations": self.annotations,
            "categories": categories,
        }
        write_json(path, content)


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; equal content gives equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file)
            file.write("\n")
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
