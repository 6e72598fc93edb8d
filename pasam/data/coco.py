"""COCO files: one reader for annotations and detections, and a set of one's own made from them.

Any detector that writes COCO results will do: FocalNet-DINO's for COCO, Grounding DINO's for
SegInW. Where a detector speaks of phrases, `phrase` may stand in place of `category_id`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pasam.data.drawings import AnnotatedFile, DrawnAs, encoded_source
from pasam.data.pairing import Source
from pasam.errors import DataError
from pasam.files import read_json

SEGINW_ANNOTATIONS = "_annotations_min1cat.coco.json"
"""Name of the annotation file in each set of SegInW."""

_IN_PARAMS = "Correct section `instances` of params.yaml, or put it there."
_CROWD = (1, 1.0, True, "1", "true", "True")
_SHOWN = 5
_OVERHANG = 0.05
"""Fraction of the image's side by which a box may stick out; that part is cut off."""


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


def read_annotations(path: Path) -> Annotations:
    """Read a COCO annotation file of instance segmentation, strictly.

    Raises:
        DataError: The file is missing, is no JSON, lacks a part, repeats an id, or an annotation
            speaks of an unknown image or category or has no segmentation; lists the faults.
    """
    content = _read_parts(path, ("images", "annotations", "categories"), advice=_IN_PARAMS)
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
    _refuse(path, faults, "annotations")
    return Annotations(images=images, categories=categories, content=content)


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
    entries = read_json(path, advice=_IN_PARAMS)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{path} is no list of detections; COCO result files are.")
    phrases = {_plain(name): identity for identity, name in annotations.categories.items()}
    found, faults = [], []
    for number, entry in enumerate(entries):
        try:
            found.append(_detection(number, entry, annotations, phrases))
        except DataError as error:
            faults.append(f"entry {number}: {error}")
    _refuse(path, faults, f"of {len(entries)} detections")
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


def from_coco(
    file: Path,
    images: Path,
    *,
    group: str | None = None,
    crowds: bool = False,
    categories: Sequence[str] = (),
) -> Source:
    """Read the objects of a COCO instance file, as the tools of the field write it.

    Args:
        file: JSON with `images` and `annotations`.
        images: Folder that the images' `file_name` is relative to.
        group: Key of an image's record that names what must stay together.
        crowds: Whether crowds are objects too; CVAT marks its brush masks as crowds.
        categories: Names of the categories that are taken; all if none.

    Raises:
        DataError: The file is no COCO instance file, or has two images with one id.
    """
    content = _read_parts(file, ("images", "annotations"), advice="Correct --coco.")
    names = {
        _id(entry.get("id")): str(entry.get("name"))
        for entry in content.get("categories") or [] if isinstance(entry, dict)
    }  # fmt: skip
    records: dict[str, Mapping[str, Any]] = {}
    for record in content["images"]:
        key = _id(record.get("id"))
        if not isinstance(record.get("file_name"), str) or key is None:
            raise DataError(f"{file}: an image lacks 'id' or 'file_name': {record!r}.")
        if key in records:
            both = [records[key]["file_name"], record["file_name"]]
            raise DataError(
                f"{file}: two images have the same id {key}: {both}. Annotations name images by "
                "their ids; export the file again, or number its images anew."
            )
        records[key] = record
    objects: dict[str, list[DrawnAs]] = {key: [] for key in records}
    faults: list[str] = []
    left_out = 0
    for place, annotation in enumerate(content["annotations"], start=1):
        key, number = _id(annotation.get("image_id")), str(annotation.get("id", f"({place})"))
        if key is None or key not in records:
            faults.append(f"{file}: annotation {number} names no image of the file.")
        elif annotation.get("iscrowd") in _CROWD and not crowds:
            left_out += 1
        else:
            objects[key].append(
                DrawnAs(
                    label=number,
                    drawing=annotation.get("segmentation"),
                    name=f"annotation {number}",
                    category=names.get(_id(annotation.get("category_id")), "object"),
                )
            )
    annotated = [
        AnnotatedFile(
            name=str(record["file_name"]), size=_size_of(record), objects=tuple(objects[key]),
            group=None if group is None else str(record.get(group)),
        )
        for key, record in records.items() if objects[key]
    ]  # fmt: skip
    faults += [
        f"{file}: image {record['file_name']} has no '{group}' (--group)."
        for key, record in records.items() if objects[key] and group and group not in record
    ]  # fmt: skip
    bare = len(records) - len(annotated)
    notes = [f"{left_out} crowd annotations are left out"] if left_out else []
    if left_out:
        notes.append("crowds (iscrowd 1) are no objects; --crowds takes them, as of CVAT's brush")
    notes += [f"{bare} images without an object are left out"] if bare else []
    return encoded_source(
        "coco", file, images, annotated, categories=categories, faults=faults, notes=notes
    )


def _size_of(record: Mapping[str, Any]) -> tuple[int, int] | None:
    """Read height and width; None where a tool did not know them."""
    try:
        height, width = int(record["height"]), int(record["width"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (height, width) if height > 0 and width > 0 else None


def _id(value: object) -> str | None:
    """Bring an id to one form: tools write 7, 7.0 and "7" for the same image."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_id = isinstance(value, int | str) and not isinstance(value, bool)
    return str(value).strip() if is_id else None


def _read_parts(path: Path, parts: Sequence[str], *, advice: str) -> dict[str, Any]:
    """Read a COCO file whose named parts are lists of records."""
    content = read_json(path, advice=advice)
    known: dict[str, Any] = content if isinstance(content, dict) else {}
    missing = [name for name in parts if not isinstance(known.get(name), list)]
    if missing:
        raise DataError(f"{path} lacks {missing}; a COCO instance file has the lists {[*parts]}.")
    for name in parts:
        strangers = [entry for entry in known[name] if not isinstance(entry, dict)]
        if strangers:
            raise DataError(f"{path}: {name} holds {strangers[0]!r}, expected records.")
    return known


def _refuse(path: Path, faults: list[str], what: str) -> None:
    """Raise one error that lists the first faults, if there are any."""
    if faults:
        shown = "".join(f"\n- {fault}" for fault in faults[:_SHOWN])
        more = f"\n- and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise DataError(f"{path} holds {len(faults)} invalid {what}:{shown}{more}")


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
            "height in pixels of the original image expected, not corners or fractions"
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
