"""COCO files: one reader for annotations and detections, and a set of one's own made from them.

What is common to all files of annotations stands here too: names are looked up in one folder and
never lead out of it, and every drawing becomes a run-length code or is refused by its name.

Any detector that writes COCO results will do: FocalNet-DINO's for COCO, Grounding DINO's for
SegInW. Where a detector speaks of phrases, `phrase` may stand in place of `category_id`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasam.data.formats.segmentations import as_coco_has_it
from pasam.data.names.folder_images import NamedImages, plain_form
from pasam.errors import DataError
from pasam.files import Faults, read_json
from pasam.masks.images import read_header
from pasam.masks.run_lengths import Rle, Shares, area, encode, from_segmentation

if TYPE_CHECKING:  # with pandas, which predicting a detector's boxes need not have
    from pasam.data.pairing import EncodedMask, Source

SEGINW_ANNOTATIONS = "_annotations_min1cat.coco.json"
"""Name of the annotation file in each set of SegInW."""

_NOT_PLAIN = re.compile(r"[^\w-]+")
_LONGEST_LABEL = 60
_IN_PARAMS = "Correct section `instances` of params.yaml, or put it there."
_CROWD = (1, 1.0, True, "1", "true", "True")
_NO_CROWD = (None, 0, 0.0, False, "", "0", "false", "False")
_SHOWN, _LISTED = 5, 20
_MOST = 1e9
"""No coordinate or score is as large."""
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
        faults = Faults(chain(_repeated(content), _annotation_faults(content, images, categories)))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise DataError(f"{path} is not in COCO's form ({reason}).") from None
    _refuse(path, faults, "annotations")
    for entry in content["annotations"]:  # the metrics ask every object, and take "0" for a crowd
        entry["iscrowd"] = int(entry.get("iscrowd") in _CROWD)
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
    boxes = [entry.get("bbox") for entry in entries]
    numbers = [one for box in boxes if isinstance(box, list) for one in box if _is_number(one)]
    if numbers and max(numbers) <= 1 and any(number % 1 for number in numbers):
        raise DataError(
            f"{path}: no bbox reaches beyond 1, so they are fractions of the images; x, y, width, "
            "height in pixels of the original image expected. Multiply them by its sides."
        )
    phrases = {_plain(name): identity for identity, name in annotations.categories.items()}
    found, faults = [], Faults()
    for number, entry in enumerate(entries):
        try:
            found.append(_detection(number, entry, annotations, phrases))
        except DataError as error:
            faults.add(f"entry {number}: {error}")
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
    content = _read_parts(file, ("images", "annotations"), advice="Correct --annotations.")
    names = category_names(file, content)
    records = images_by_id(file, content)
    objects: dict[str, list[DrawnAs]] = {key: [] for key in records}
    faults = Faults()
    left_out, ignored, boxes = 0, 0, 0
    for place, annotation in enumerate(content["annotations"], start=1):
        key, number = plain_id(annotation.get("image_id")), str(annotation.get("id", f"({place})"))
        if key is None or key not in records:
            faults.add(f"{file}: annotation {number} names no image of the file.")
        elif (crowd := annotation.get("iscrowd")) not in (*_CROWD, *_NO_CROWD):
            faults.add(f"{file}: annotation {number} has iscrowd {crowd!r:.80}, expected 0 or 1.")
        elif crowd in _CROWD and not crowds:
            left_out += 1
        elif annotation.get("ignore") in _CROWD and not crowds:
            ignored += 1
        elif not annotation.get("segmentation") and annotation.get("bbox"):
            boxes += 1
        else:
            objects[key].append(
                DrawnAs(
                    label=number,
                    drawing=annotation.get("segmentation"),
                    name=f"annotation {number}",
                    category=names.get(plain_id(annotation.get("category_id")), "object"),
                )
            )
    annotated = [
        AnnotatedFile(
            name=str(record["file_name"]), size=_size_of(record), objects=tuple(objects[key]),
            group=None if group is None or record.get(group) is None else str(record[group]),
        )
        for key, record in records.items() if objects[key]
    ]  # fmt: skip
    faults.extend(
        f"{file}: image {record['file_name']} has no '{group}' (--group)."
        for key, record in records.items() if objects[key] and group and record.get(group) is None
    )  # fmt: skip
    bare = len(records) - len(annotated)
    notes = [f"{left_out} crowd annotations are left out"] if left_out else []
    if left_out:
        notes.append("crowds (iscrowd 1) are no objects; --crowds takes them, as of CVAT's brush")
    notes += [f"{ignored} annotations marked ignore are left out; see --crowds"] if ignored else []
    notes += [f"{boxes} boxes are left out, no masks"] if boxes else []
    notes += [f"{bare} images without an object are left out"] if bare else []
    return encoded_source(
        "coco", file, images, annotated, categories=categories, faults=faults, notes=notes
    )


def category_names(file: Path, content: Mapping[str, Any]) -> dict[str | None, str]:
    """Give the categories' names by their ids, of which each may mean one.

    Raises:
        DataError: One means two.
    """
    names: dict[str | None, str] = {}
    for entry in content.get("categories") or []:
        key = plain_id(entry.get("id")) if isinstance(entry, dict) else None
        if key is None:
            continue
        name = str(entry.get("name"))
        if names.setdefault(key, name) != name:
            raise DataError(
                f"{file}: two categories have the same id {key}: {[names[key], name]}. Number "
                "them anew, or export the file again."
            )
    return names


def images_by_id(file: Path, content: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Give the images' records by their ids, of which each may be there once.

    Raises:
        DataError: Two images have one id, or one has none or no name.
    """
    records: dict[str, Mapping[str, Any]] = {}
    for record in content["images"]:
        key = plain_id(record.get("id"))
        if not isinstance(record.get("file_name"), str) or key is None:
            raise DataError(f"{file}: an image lacks 'id' or 'file_name': {record!r:.80}.")
        if key in records:
            both = [records[key]["file_name"], record["file_name"]]
            raise DataError(
                f"{file}: two images have the same id {key}: {both}. Annotations name images by "
                "their ids; export the file again, or number its images anew."
            )
        records[key] = record
    return records


def _size_of(record: Mapping[str, Any]) -> tuple[int, int] | None:
    """Read height and width; None where a tool did not know them."""
    try:
        height, width = int(record["height"]), int(record["width"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (height, width) if height > 0 and width > 0 else None


def plain_id(value: object) -> str | None:
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
            raise DataError(f"{path}: {name} holds {strangers[0]!r:.80}, expected records.")
    return known


def _refuse(path: Path, faults: Faults, what: str) -> None:
    """Raise one error that lists the first faults, if there are any."""
    if faults:
        shown = "".join(f"\n- {fault}" for fault in faults.kept[:_SHOWN])
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
) -> Iterator[str]:
    for entry in content["annotations"]:
        who = f"annotation {entry['id']!s:.80}"
        if entry["image_id"] not in images:
            yield f"{who} is of image {entry['image_id']!r:.80}, which is not listed"
        if entry["category_id"] not in categories:
            yield f"{who} has category {entry['category_id']!r:.80}, not of {_some(categories)}"
        if not entry.get("segmentation"):
            yield f"{who} has no segmentation; instance annotations are needed"
        if not (_is_number(found := entry.get("area")) and found > 0):
            yield f"{who} has area {entry.get('area')!r:.80}, expected more than 0"
        if entry.get("iscrowd") not in (*_CROWD, *_NO_CROWD):
            yield f"{who} has iscrowd {entry['iscrowd']!r:.80}, expected 0 or 1"


def _some(names: Collection[Any]) -> str:
    """List names, of which a file may have any number, and say so once for each of its entries."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{sorted(islice(names, _LISTED))}{more}"


def _detection(
    number: int, entry: Mapping[str, Any], annotations: Annotations, phrases: Mapping[str, int]
) -> Detection:
    image_id = entry.get("image_id")
    if not isinstance(image_id, int) or image_id not in annotations.images:
        raise DataError(
            f"image_id {image_id!r:.80} is none of the set's {len(annotations.images)} images; "
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
            raise DataError(f"phrase {entry['phrase']!r:.80} is none of {_some(phrases)}")
        return phrases[phrase]
    identity = entry.get("category_id")
    if not isinstance(identity, int) or identity not in categories:
        raise DataError(
            f"category_id {identity!r:.80} is none of {_some(categories)}; COCO's ids have gaps, "
            "0..79 must be mapped to them"
        )
    return identity


def _box(box: Any, height: int, width: int) -> tuple[float, float, float, float]:
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise DataError(f"bbox {box!r:.80} is not four finite numbers x, y, width, height")
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
        raise DataError(f"score {score!r:.80} is no number from 0 to 1")
    return float(score)


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) < _MOST  # false of NaN; `isfinite` fails of 400 digits


def _plain(phrase: str) -> str:
    """A phrase as it is compared: lower case, words parted by single blanks."""
    return " ".join(phrase.lower().replace("-", " ").replace("_", " ").split())


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnAs:
    """One object as a tool wrote it down."""

    label: str
    drawing: Any
    """COCO's polygons, in pixels, or run lengths; `Shares`; a mask, (H, W); or why there is no
    drawing, a `DataError`."""
    name: str
    """What messages call it."""
    category: str = "object"


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedFile:
    """One image that a file of annotations speaks of."""

    name: str
    """As it stands there: relative, or the path of another machine."""
    size: tuple[int, int] | None
    """Height and width; None where the image itself has to be looked at."""
    objects: tuple[DrawnAs, ...]
    group: str | None = None


def encoded_source(
    kind: str,
    file: Path,
    images: Path,
    annotated: Sequence[AnnotatedFile],
    *,
    categories: Sequence[str] = (),
    faults: Faults | None = None,
    notes: Sequence[str] = (),
) -> Source:
    """Find the images of a file of annotations, and bring its drawings to run lengths.

    Args:
        kind: What the source is called in the set's description.
        file: The annotations, for messages.
        images: Folder of the images. A name that leads outside of it, or to another machine, or
            that an upload has changed, is looked for by its last part.
        annotated: What the file holds.
        categories: Names of the categories that are taken; all if none.
        faults: What is wrong already.
        notes: What was left out.
    """
    from pasam.data.pairing import PairCandidate, Source

    if not images.is_dir():
        raise DataError(f"The folder {images} (--images) does not exist.")
    known = {plain_form(drawn.category) for one in annotated for drawn in one.objects}
    categories = [plain_form(name) for name in categories]
    if strangers := sorted(set(categories) - known):
        raise DataError(f"{file} has no category {strangers} (--category), only {sorted(known)}.")
    there = NamedImages(images)
    candidates, found, said, others = [], faults or Faults(), list(notes), 0
    bare = sum(not one.objects for one in annotated)
    said += [f"{bare} images without an object are left out"] if bare else []
    for one in (one for one in annotated if one.objects):
        try:
            image = there.find(one.name)
        except DataError as error:
            found.add(f"{file}: image {error}.")
            continue
        try:
            size = one.size or read_header(image).size
        except DataError as error:
            found.add(str(error))
            continue
        encoded = []
        for drawn in one.objects:
            if categories and plain_form(drawn.category) not in categories:
                others += 1
                continue
            try:
                encoded.append(_encoded(drawn, size))
            except DataError as error:
                found.add(f"{file}: {drawn.name} {error}.")
        name = image.relative_to(images).with_suffix("").as_posix()
        if encoded:
            candidates.append(
                PairCandidate(image=image, name=name, encoded=tuple(encoded), group=one.group)
            )
    for image, count in Counter(candidate.image for candidate in candidates).items():
        if count > 1:
            found.add(f"{file}: {count} of its images are {image}. Keep one.")
    said += [f"{others} annotations of other categories are left out"] if others else []
    said += [
        f"{count} images were found by {way} in {file.name}" for way, count in there.ways.items()
    ]
    return Source(kind, tuple(candidates), tuple(found.kept), found.more, tuple(said))


def _encoded(drawn: DrawnAs, size: tuple[int, int]) -> EncodedMask:
    from pasam.data.pairing import EncodedMask

    drawing = drawn.drawing.in_pixels(size) if isinstance(drawn.drawing, Shares) else drawn.drawing
    drawing = as_coco_has_it(drawing, size)
    if isinstance(drawing, DataError):
        raise drawing
    if drawing is None or (isinstance(drawing, list | dict) and not drawing):
        raise DataError("has no segmentation; a box alone is no mask")
    code = _code(drawing, size)
    parts = drawing if isinstance(drawing, list) else ()
    corners = [one for part in parts if isinstance(part, list) for one in part]
    if corners and all(isinstance(one, int | float) and one <= 1 for one in corners):
        raise DataError("has corners from 0 to 1 only: fractions of the image, expected pixels")
    if not area(code):
        raise DataError("marks no pixel")
    label = _NOT_PLAIN.sub("-", drawn.label).strip("-")[:_LONGEST_LABEL] or "object"
    return EncodedMask(label=label, size=size, counts=code["counts"])


def _code(drawing: Any, size: tuple[int, int]) -> Rle:
    if isinstance(drawing, np.ndarray):
        mask: NDArray[np.uint8] = drawing
        if mask.shape != size:
            raise DataError(f"is drawn on {mask.shape} pixels, but its image has {size}")
        return encode(mask)
    if not isinstance(drawing, list | dict):
        raise DataError(f"has the segmentation {drawing!r:.80}, expected polygons or run lengths")
    return from_segmentation(drawing, *size)
