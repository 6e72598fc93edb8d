"""COCO annotations and detections, read strictly, and a set of one's own made from them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from pasam.data.pairing import Candidate, EncodedMask, Source
from pasam.errors import DataError

# --- instance_annotations: COCO annotations: read strictly, so that a wrong file is refused
# before a model runs.

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


# --- detections: Detections: boxes with categories and scores from a COCO result file, as prompts.
#
# Any detector that writes COCO results will do: FocalNet-DINO's for COCO, Grounding DINO's for
# SegInW. Where a detector speaks of phrases, `phrase` may stand in place of `category_id`.

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


# --- coco: A set of one's own from a COCO annotation file: polygons and run-length codes, one
# mask each.


def from_coco(file: Path, images: Path, *, group: str | None = None) -> Source:
    """Read the objects of a COCO instance file; crowds and images without objects are left out.

    Args:
        file: JSON with `images` and `annotations`.
        images: Folder that the images' `file_name` is relative to.
        group: Key of an image's record that names what must stay together.

    Raises:
        DataError: The file is no COCO instance file.
    """
    content = _read(file)
    records = _records(content["images"], file)
    objects, crowds, faults = _objects(content["annotations"], records, file)
    candidates = []
    for key, of_image in objects.items():
        record, name = records[key], records[key]["file_name"]
        if not (images / name).is_file():
            faults.append(f"{file}: image {images / name} does not exist.")
        if group is not None and group not in record:
            faults.append(f"{file}: image {name} has no '{group}' (--group).")
        candidates.append(
            Candidate(
                image=images / name,
                name=Path(name).with_suffix("").as_posix(),
                encoded=tuple(of_image),
                group=None if group is None else str(record.get(group)),
            )
        )
    bare = len(records) - len(objects)
    notes = [f"{crowds} crowd annotations are left out: a crowd is no object"] if crowds else []
    notes += [f"{bare} images without an object are left out"] if bare else []
    return Source(
        kind="coco", candidates=tuple(candidates), faults=tuple(faults), notes=tuple(notes)
    )


def _records(images: list[Any], file: Path) -> dict[Any, dict[str, Any]]:
    """Find the images' records by their ids."""
    for record in images:
        whole = isinstance(record, dict) and isinstance(record.get("file_name"), str)
        if not whole or not isinstance(record.get("id"), int | str):
            raise DataError(f"{file}: an image lacks 'id' or 'file_name': {record!r}.")
    return {record["id"]: record for record in images}


def _objects(
    annotations: list[Any], records: Mapping[Any, dict[str, Any]], file: Path
) -> tuple[dict[Any, list[EncodedMask]], int, list[str]]:
    """Encode the objects of every image that has some; count the crowds, and name what is bad."""
    found: dict[Any, list[EncodedMask]] = {}
    faults: list[str] = []
    crowds = 0
    for annotation in annotations:
        key = annotation.get("image_id") if isinstance(annotation, dict) else None
        if not isinstance(key, int | str) or key not in records:
            faults.append(f"{file}: annotation {_number(annotation)} names no image of the file.")
        elif annotation.get("iscrowd"):
            crowds += 1
        else:
            encoded = _encoded(annotation, records[key], file)
            if isinstance(encoded, str):
                faults.append(encoded)
            else:
                found.setdefault(key, []).append(encoded)
    return {key: found[key] for key in records if key in found}, crowds, faults


def decoded(mask: EncodedMask) -> NDArray[np.uint8]:
    """Draw a mask from its code: (H, W), 0 or 255."""
    height, width = mask.size
    runs = _runs(mask.counts)  # of black and white by turns, down the columns
    colours = np.arange(len(runs)) % 2 * 255
    columns = np.repeat(colours.astype(np.uint8), runs).reshape(width, height)
    return np.ascontiguousarray(columns.T)


def pixels(mask: EncodedMask) -> int:
    """Count the pixels of an object without drawing it."""
    return int(coco_mask.area({"size": list(mask.size), "counts": mask.counts}))


def _read(file: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"The file {file} (--coco) does not exist.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is no JSON file ({error}).") from None
    for key in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DataError(
                f"{file} has no list '{key}', so it is no COCO instance file. Export the set with "
                "images and annotations."
            )
    return {"images": content["images"], "annotations": content["annotations"]}


def _encoded(
    annotation: Mapping[str, Any], record: Mapping[str, Any], file: Path
) -> EncodedMask | str:
    """Bring a polygon or a code of either kind to one compressed code, or say why not."""
    place = f"{file}: annotation {_number(annotation)}"
    drawn = annotation.get("segmentation")
    if not drawn:
        return f"{place} has no segmentation; a box alone is no mask."
    try:
        height, width = int(record["height"]), int(record["width"])
        if isinstance(drawn, dict) and isinstance(drawn["counts"], str):
            code = {"size": drawn["size"], "counts": drawn["counts"].encode()}
        elif isinstance(drawn, dict):
            code = coco_mask.frPyObjects(drawn, height, width)
        else:
            code = coco_mask.merge(coco_mask.frPyObjects(drawn, height, width))
        height_found, width_found = (int(side) for side in code["size"])
        covered = sum(_runs(code["counts"]))
    except Exception as error:  # noqa: BLE001 - pycocotools raises whatever its input makes of it
        return f"{place} has a segmentation that cannot be drawn ({error})."
    if (height_found, width_found) != (height, width):
        return (
            f"{place} is drawn on {height_found} x {width_found} pixels (height x width), but its "
            f"image is said to have {height} x {width}."
        )
    if covered != height * width:  # pycocotools would draw whatever lies in memory beyond
        return f"{place} has a run-length code of {covered} pixels, expected {height * width}."
    encoded = EncodedMask(label=_number(annotation), size=(height, width), counts=code["counts"])
    return encoded if pixels(encoded) else f"{place} marks no pixel."


def _runs(code: bytes) -> list[int]:
    """Read the lengths of the runs from a compressed code.

    A run is written in groups of five bits, the sixth saying that more follow; from the fourth run
    on it is the difference to the last but one.
    """
    runs: list[int] = []
    value = shift = 0
    for character in code:
        digit = character - 48
        value |= (digit & 0x1F) << shift
        shift += 5
        if digit & 0x20:
            continue
        if digit & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift or min(runs, default=-1) < 0:
        raise ValueError("its run-length code is damaged")
    return runs


def _number(annotation: Any) -> str:
    return str(annotation.get("id", "without id")) if isinstance(annotation, dict) else "?"
