"""A detector's boxes as prompts for the pictures they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pasam.data.detections import best_of_each_image, read_detections
from pasam.data.instance_annotations import read_annotations
from pasam.errors import DataError
from pasam.inference.image_prompt import ImagePrompt, image_prompt


@dataclass(frozen=True, slots=True, eq=False)
class DetectedPrompt:
    """A box of a detector, and what the detector says of it."""

    prompt: ImagePrompt
    about: Mapping[str, Any]
    """`category_id`, `category` and `detection_score`."""


@dataclass(frozen=True, slots=True, eq=False)
class DetectedSet:
    """Detections, ready to be asked for."""

    categories: Mapping[int, str]
    by_picture: Mapping[Path, Sequence[DetectedPrompt]]
    """Every picture that was given; the best box first."""


def detected_set(
    pictures: Sequence[Path],
    detections: Path,
    annotations: Path,
    *,
    lowest: float,
    most: int,
) -> DetectedSet:
    """Match a detector's result file to pictures.

    Args:
        pictures: The pictures' files.
        detections: COCO results: `image_id`, `category_id` or `phrase`, `bbox`, `score`.
        annotations: The COCO set that says which picture an `image_id` is.
        lowest: Boxes that the detector scores below this are left out.
        most: Boxes per picture, the best.

    Raises:
        DataError: A file is missing or unfit, or a picture is not in the set.
    """
    known = read_annotations(annotations)
    best = best_of_each_image(read_detections(detections, known), most)
    ids = {Path(image.file).name: identity for identity, image in known.images.items()}
    if len(ids) < len(known.images):
        raise DataError(
            f"{annotations} has pictures of one name in several folders; give them in parts."
        )
    by_picture: dict[Path, list[DetectedPrompt]] = {}
    for picture in pictures:
        if picture.name not in ids:
            raise DataError(
                f"{picture} is none of the {len(ids)} pictures of {annotations}; give pictures of "
                "that set."
            )
        by_picture[picture] = [
            DetectedPrompt(
                image_prompt(box=found.box),
                {
                    "category_id": found.category_id,
                    "category": known.categories[found.category_id],
                    "detection_score": found.score,
                },
            )
            for found in best.get(ids[picture.name], [])
            if found.score >= lowest
        ]
    return DetectedSet(known.categories, by_picture)
