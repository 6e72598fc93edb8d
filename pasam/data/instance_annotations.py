"""COCO annotations: read strictly, so that a wrong file is refused before a model runs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pasam.errors import DataError

SEGINW_ANNOTATIONS = "_annotations_min1cat.coco.json"
"""Name of the annotation file in each set of SegInW."""
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """One image of a set."""

    file: str
    """Name within the set's folder of images."""
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Annotations:
    """A set's images and categories by id, and the file's content for the metrics."""

    images: dict[int, AnnotatedImage]
    categories: dict[int, str]
    content: dict[str, Any]


def read_annotations(path: Path) -> Annotations:
    """Read a COCO annotation file of instance segmentation.

    Raises:
        DataError: The file is missing, is no JSON, lacks a part, repeats an id, or an annotation
            speaks of an unknown image or category or has no segmentation; lists the faults.
    """
    content = read_json(path)
    parts = ("images", "annotations", "categories")
    missing = [name for name in parts if not isinstance(content, dict) or name not in content]
    if missing:
        raise DataError(f"{path} lacks {missing}; COCO annotations hold {list(parts)}.")
    try:
        images = {
            int(image["id"]): AnnotatedImage(
                str(image["file_name"]), int(image["height"]), int(image["width"])
            )
            for image in content["images"]
        }
        categories = {int(entry["id"]): str(entry["name"]) for entry in content["categories"]}
        faults = [*_repeated(content), *_annotation_faults(content, images, categories)]
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{path} is not in COCO's form ({reason}).") from None
    refuse(path, faults, "annotations")
    return Annotations(images=images, categories=categories, content=content)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: It is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{path} does not exist. Correct section `instances` of params.yaml, or put it there."
        ) from None
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}.") from None


def refuse(path: Path, faults: list[str], what: str) -> None:
    """Raise one error that lists the first faults, if there are any.

    Raises:
        DataError: There are.
    """
    if faults:
        shown = "".join(f"\n- {fault}" for fault in faults[:_SHOWN])
        more = f"\n- and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise DataError(f"{path} holds {len(faults)} unfit {what}:{shown}{more}")


def _repeated(content: dict[str, Any]) -> list[str]:
    return [
        f"id {identity} is there {count} times among the {part}; ids must differ"
        for part in ("images", "categories", "annotations")
        for identity, count in Counter(int(entry["id"]) for entry in content[part]).items()
        if count > 1
    ]


def _annotation_faults(
    content: dict[str, Any], images: dict[int, AnnotatedImage], categories: dict[int, str]
) -> list[str]:
    faults = []
    for entry in content["annotations"]:
        who = f"annotation {entry['id']}"
        if entry["image_id"] not in images:
            faults.append(f"{who} is of image {entry['image_id']}, which the file does not list")
        if entry["category_id"] not in categories:
            faults.append(
                f"{who} has category {entry['category_id']}, known are {sorted(categories)}"
            )
        if not entry.get("segmentation"):
            faults.append(f"{who} has no segmentation; instance annotations are needed")
        if not entry.get("area", 0) > 0:
            faults.append(f"{who} has area {entry.get('area')!r}, expected more than 0")
    return faults
