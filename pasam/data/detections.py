"""Detections: boxes with categories and scores from a COCO result file, as prompts.

Any detector that writes COCO results will do: FocalNet-DINO's for COCO, Grounding DINO's for
SegInW. Where a detector speaks of phrases, `phrase` may stand in place of `category_id`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pasam.data.instance_annotations import Annotations, read_json, refuse
from pasam.errors import DataError

_OVERHANG = 0.05
"""Share of the image's side by which a box may stick out; that part is cut off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Detection:
    """One box that a detector has found."""

    number: int
    """Its place in the file, from 0."""
    image_id: int
    category_id: int
    box: tuple[float, float, float, float]
    """Edges x0, y0, x1, y1 in pixels, inside the image."""
    score: float
    """In [0, 1]."""


def read_detections(path: Path, annotations: Annotations) -> list[Detection]:
    """Read a result file and match it to the images and categories of a set.

    Args:
        path: A JSON list of `image_id`, `category_id` or `phrase`, `bbox` (x, y, width, height
            in pixels) and `score`.
        annotations: The set.

    Returns:
        The detections in the file's order.

    Raises:
        DataError: The file is missing or no such list, or entries name unknown images or
            categories, lack a score, or have boxes that are not finite, empty or outside their
            image; lists the faults.
    """
    entries = read_json(path)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{path} is no list of detections; COCO result files are.")
    phrases = {_plain(name): identity for identity, name in annotations.categories.items()}
    found, faults = [], []
    for number, entry in enumerate(entries):
        try:
            found.append(_detection(number, entry, annotations, phrases))
        except DataError as error:
            faults.append(f"entry {number}: {error}")
    refuse(path, faults, f"of {len(entries)} detections")
    return found


def best_of_each_image(detections: list[Detection], most: int) -> dict[int, list[Detection]]:
    """Group detections by image, ids ascending, and keep those of highest score.

    Args:
        detections: Of any images.
        most: Boxes per image; of equal scores the earlier in the file goes first.
    """
    images: dict[int, list[Detection]] = {}
    for detection in detections:
        images.setdefault(detection.image_id, []).append(detection)
    return {
        image: sorted(images[image], key=lambda one: (-one.score, one.number))[:most]
        for image in sorted(images)
    }


def _detection(
    number: int, entry: Mapping[str, Any], annotations: Annotations, phrases: Mapping[str, int]
) -> Detection:
    image_id = entry.get("image_id")
    if not isinstance(image_id, int) or image_id not in annotations.images:
        raise DataError(
            f"image_id {image_id!r} is none of the set's {len(annotations.images)} images; "
            "are these detections of another split?"
        )
    image = annotations.images[image_id]
    return Detection(
        number=number,
        image_id=image_id,
        category_id=_category(entry, annotations.categories, phrases),
        box=_box(entry.get("bbox"), image.height, image.width),
        score=_score(entry.get("score")),
    )


def _category(
    entry: Mapping[str, Any], categories: Mapping[int, str], phrases: Mapping[str, int]
) -> int:
    if "phrase" in entry:
        phrase = _plain(str(entry["phrase"]))
        if phrase not in phrases:
            raise DataError(f"phrase {entry['phrase']!r} is none of {sorted(phrases)}")
        return phrases[phrase]
    identity = entry.get("category_id")
    if not isinstance(identity, int) or identity not in categories:
        raise DataError(
            f"category_id {identity!r} is none of {sorted(categories)}; COCO's ids have gaps, "
            "0..79 must be mapped to them"
        )
    return identity


def _box(box: Any, height: int, width: int) -> tuple[float, float, float, float]:
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise DataError(f"bbox {box!r} is not four finite numbers x, y, width, height")
    x, y, wide, tall = (float(value) for value in box)
    if wide <= 0 or tall <= 0:
        raise DataError(f"bbox {box} is empty; x, y, width, height with positive sizes expected")
    slack_x, slack_y = _OVERHANG * width, _OVERHANG * height
    inside = -slack_x <= x < width and -slack_y <= y < height
    if not inside or x + wide > width + slack_x or y + tall > height + slack_y:
        raise DataError(
            f"bbox {box} leaves its image of {width} x {height} (width x height); x, y, width, "
            "height in pixels of the original image expected, not corners or shares"
        )
    clipped = (max(x, 0.0), max(y, 0.0), min(x + wide, width), min(y + tall, height))
    if clipped[2] <= clipped[0] or clipped[3] <= clipped[1]:
        raise DataError(f"bbox {box} lies outside its image of {width} x {height}")
    return clipped


def _score(score: Any) -> float:
    if not _is_number(score) or not 0 <= score <= 1:
        raise DataError(f"score {score!r} is no number from 0 to 1")
    return float(score)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _plain(phrase: str) -> str:
    """A phrase as it is compared: lower case, words parted by single blanks."""
    return " ".join(phrase.lower().replace("-", " ").replace("_", " ").split())
