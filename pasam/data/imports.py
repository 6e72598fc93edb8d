"""Sets of images as annotation tools write them: one reader, which tells the forms apart.

Own code, since every object has to be refused by its name: datumaro and supervision know the forms
too, but stop at the first fault, or leave out what they do not understand without a word.
"""

from __future__ import annotations

import base64
import binascii
import math
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as Xml

import numpy as np
from numpy.typing import NDArray

from pasam.data.coco import AnnotatedFile, DrawnAs, encoded_source, from_coco
from pasam.data.formats.yolo import yolo_files
from pasam.data.names.folder_images import READ_IMAGES, list_images
from pasam.data.pairing import Source, from_csv, from_folders
from pasam.errors import DataError
from pasam.files import Faults, read_json, read_text
from pasam.masks.images import open_image
from pasam.masks.run_lengths import MOST_PIXELS, Shares, decode, from_segmentation

_ROUND = 64  # corners of the polygon that stands for a circle
_SHOWN = 60
_ADVICE = "Correct --annotations."
_MISSHAPEN = (
    AttributeError, binascii.Error, IndexError, KeyError, OverflowError, TypeError, ValueError,
)  # fmt: skip
"""What a reader stumbles with over what is not written as its tool does it."""
_FORMS = "COCO, labelme, VIA, Label Studio or SA-1B (JSON), CVAT (XML), or YOLO-seg (a folder)"


@dataclass(frozen=True, kw_only=True, slots=True)
class SetPlaces:
    """Where a set of one's own lies, and how it is to be read."""

    images: Path | None = None
    masks: Path | None = None
    table: Path | None = None
    annotations: Path | None = None
    """A file of annotations, or a folder of them."""
    group: str | None = None
    names: str | None = None
    crowds: bool = False
    categories: Sequence[str] = ()


def read_source(places: SetPlaces) -> Source:
    """Read the one source that was named: two folders, a table, or annotations of any known form.

    Raises:
        DataError: None or several were named, or one cannot be read.
    """
    images, masks, table, file = places.images, places.masks, places.table, places.annotations
    if file and not masks and not table:
        return from_annotations(file, places)
    if table and not file and not images and not masks:
        return from_csv(table, group=places.group)
    if images and masks and not table and not file:
        return from_folders(images, masks, group=places.group, pattern=places.names)
    raise DataError(
        "Say where the set is, in one of three ways: --images DIR --masks DIR, --csv FILE, or "
        "--annotations FILE or DIR (with --images DIR if they are not beside it)."
    )


def from_annotations(file: Path, places: SetPlaces) -> Source:
    """Read annotations, whose form is told by their content.

    Args:
        file: The file, or a folder with one file per image.
        places: `images`, by default the folder of the file; `group` and `crowds`, of COCO only;
            `categories`.

    Raises:
        DataError: It is of no known form, or not readable.
    """
    images = places.images or (file if file.is_dir() else file.parent)
    left_out, faults, notes = list[str](), Faults(), list[str]()
    if zipfile.is_zipfile(file):
        raise DataError(f"{file} is an archive. Unpack it, and name the file of annotations in it.")
    if advice := _OTHER_FILES.get(file.suffix.lower()):
        raise DataError(f"{file} is not read by itself: {advice}.")
    try:
        if file.is_dir():
            files, passed_over = _files_in(file)
            notes += [f"folders in {file} are not read: {passed_over}"] if passed_over else []
            kind, found = _of_folder(file, files, images, left_out, faults)
        elif file.suffix.lower() == ".xml":
            kind, found = "cvat", list(_cvat(_xml(file), left_out))
        else:
            content = read_json(file, advice=_ADVICE)
            kind = _form(content)
            if kind == "coco":
                return from_coco(
                    file, images, group=places.group, crowds=places.crowds,
                    categories=places.categories,
                )  # fmt: skip
            if kind not in _READERS:
                raise DataError(f"{file} is {kind or f'of no known form. Known: {_FORMS}'}.")
            found = list(_READERS[kind](content, left_out))
    except _MISSHAPEN as error:
        raise DataError(f"{file} {_misshapen(error)}.") from None
    if places.group is not None:
        raise DataError(f"{file}: --group goes with COCO, tables and folders.")
    counted = Counter(left_out).items()
    notes += [f"{count} {what} are left out, no masks" for what, count in counted]
    return encoded_source(
        kind, file, images, found, categories=places.categories, faults=faults, notes=notes
    )


_OF_YOLO = "YOLO's annotations are a folder of text files, one an image; name that folder"
_OTHER_FILES = {
    ".txt": _OF_YOLO, ".yaml": _OF_YOLO, ".yml": _OF_YOLO,
    ".csv": "a table of images and masks goes with --csv, and VIA's annotations are read as JSON "
    "(Annotation > Export Annotations (as json))",
}  # fmt: skip
"""What to do about files that are no annotations by themselves, by suffix."""
_OF_VOC = (
    "Pascal VOC's XML holds boxes, no masks; its masks are two folders: --images JPEGImages "
    "--masks SegmentationObject --names '{name}={name}'."
)
_SHORT = (
    "a list of records without 'data', which Label Studio's tasks have. Export it as JSON, not as "
    "JSON-MIN or CSV"
)
_SUPERVISELY = "of Supervisely. Export the project as COCO instances"
_RESULTS = (
    "COCO's list of results, which names no image files. Expected a set: images, annotations and "
    "categories"
)
_PANOPTIC = (
    "COCO's panoptic form, whose masks are PNG files. Convert it to instances, such as by "
    "panopticapi's panoptic2detection_coco_format.py"
)


def _files_in(folder: Path) -> tuple[list[Path], str]:
    """List the files of a folder of annotations, and name folders in it that have some too.

    Where all lie in folders inside, as `labels/train` and `labels/val`, those are read.
    """
    kinds = (".txt", ".json", ".xml")
    files = list_images(folder, suffixes=kinds)
    if not any(path.stem != "classes" for path in files):
        return list_images(folder, deep=True, suffixes=kinds), ""
    inner = (path for path in folder.iterdir() if path.is_dir())
    suffixes = {each.name: {path.suffix.lower() for path in each.iterdir()} for each in inner}
    return files, ", ".join(sorted(name for name in suffixes if suffixes[name] & set(kinds[:2])))


def _misshapen(error: Exception) -> DataError:
    """Say that something is not written as its tool does it, and what was stumbled over."""
    reason = f"{type(error).__name__}: {error}"[:200]
    return DataError(f"is not written as its tool does it ({reason})")


def _form(content: Any) -> str:
    if isinstance(content, list):
        known = content[0] if content and isinstance(content[0], dict) else {"data": None}
        short = "label studio" if "data" in known else _SHORT
        return _RESULTS if "image_id" in known else short
    if not isinstance(content, dict):
        return ""
    if isinstance(content.get("annotations"), list):
        first = next(iter(content["annotations"]), None)
        if isinstance(first, dict) and "segments_info" in first:
            return _PANOPTIC
        if isinstance(content.get("data"), dict):  # one task of many
            return "label studio"
        return "sa-1b" if isinstance(content.get("image"), dict) else "coco"
    if "shapes" in content:
        return "labelme"
    if isinstance(content.get("objects"), list) and "size" in content:
        return _SUPERVISELY
    regions = content.get("_via_img_metadata", content)
    is_via = isinstance(regions, dict) and any(
        isinstance(value, dict) and "regions" in value for value in regions.values()
    )
    return "via" if is_via else "coco" if "images" in content else ""


def _of_folder(
    folder: Path, files: Sequence[Path], images: Path, left_out: list[str], faults: Faults
) -> tuple[str, list[AnnotatedFile]]:
    """Read a folder with one file of annotations per image; a file that is bad is a fault."""
    found: list[AnnotatedFile] = []
    kinds = set()
    for file in (path for path in files if path.suffix.lower() == ".json"):
        try:
            content = read_json(file, advice=_ADVICE)
            kind = _form(content)
            if kind not in ("labelme", "sa-1b"):
                what = "" if kind in (*_READERS, "coco") else kind
                what = what or "neither labelme's nor SA-1B's, as files of one image are"
                faults.add(f"{file} is {what}.")
                continue
            found += [_of_file(one, file, folder) for one in _READERS[kind](content, left_out)]
            kinds.add(kind)
        except DataError as error:
            faults.add(str(error))
        except _MISSHAPEN as error:
            faults.add(f"{file} {_misshapen(error)}.")
    texts = [path for path in files if path.suffix.lower() == ".txt" and path.stem != "classes"]
    if not found and texts:
        return "yolo", list(yolo_files(folder, texts, images, left_out, faults))
    if not found and faults:
        raise DataError(faults.kept[0])
    if not found:
        whole = [path for path in files if path.suffix.lower() == ".xml"][:1]
        for each in whole:
            _xml(each)  # which says what is wrong with it, if it is no file of CVAT's
        advice = "".join(f" Name its {each.name} itself." for each in whole)
        raise DataError(f"{folder} holds no annotations.{advice} Known: {_FORMS}.")
    return " and ".join(sorted(kinds)), found


def _of_file(one: AnnotatedFile, file: Path, folder: Path) -> AnnotatedFile:
    """Have messages name the file of an object, and an image's name begin at the whole folder."""
    named = (replace(drawn, name=f"{drawn.name} of {file.name}") for drawn in one.objects)
    name, below = one.name, file.parent.relative_to(folder)
    if below.parts and not (name.startswith("/") or "\\" in name):
        name = os.path.normpath(below / name)  # seen from the file's own folder
    return replace(one, name=name, objects=tuple(named))


def _labelme(content: Mapping[str, Any], left_out: list[str]) -> Iterator[AnnotatedFile]:
    if not isinstance(content.get("imagePath"), str):
        raise ValueError("no imagePath, which names its image")
    sides = (content.get("imageHeight"), content.get("imageWidth"))
    size = (int(sides[0]), int(sides[1])) if sides[0] and sides[1] else None
    objects: dict[tuple[str, Any], list[Any]] = {}
    for number, shape in enumerate(content["shapes"], start=1):
        key, part = ("object", f"{number}"), None
        try:
            group = shape.get("group_id")
            key = (str(shape["label"]), f"{number}" if group is None else f"g{group}")
            part = _labelme_part(shape, size)
        except (*_MISSHAPEN, DataError) as error:
            part = _misshapen(error)
        if part is None:
            left_out.append(_several(shape["shape_type"]))
        else:
            objects.setdefault(key, []).append(part)
    yield AnnotatedFile(
        name=str(content["imagePath"]), size=size,
        objects=tuple(
            DrawnAs(
                label=f"{label}-{number}", category=label, name=f"shape {number} '{label}'",
                drawing=_united(drawn, size),
            )
            for (label, number), drawn in objects.items()
        ),
    )  # fmt: skip


def _labelme_part(shape: Mapping[str, Any], size: tuple[int, int] | None) -> Any:
    """Draw one of labelme's shapes, a polygon or a mask (H, W); None of another kind."""
    kind, points = shape.get("shape_type") or "polygon", shape["points"]
    if kind == "polygon":
        return [value for point in points for value in point]
    if kind == "circle":
        (x, y), edge = points[0], points[1]
        radius = math.hypot(edge[0] - x, edge[1] - y)
        return _ellipse(x, y, radius, radius)
    if kind != "mask":
        return None
    part = _png(base64.b64decode(shape["mask"], validate=True))
    left, top = (round(value) for value in points[0])
    if size is None:
        raise ValueError("a mask without imageHeight and imageWidth")
    return _placed(part, left, top, size)


def _united(drawn: Sequence[Any], size: tuple[int, int] | None) -> Any:
    """Join what belongs to one object: polygons stay polygons, beside a mask they are drawn."""
    if wrong := [part for part in drawn if isinstance(part, DataError)]:
        return wrong[0]
    masks = [part for part in drawn if isinstance(part, np.ndarray)]
    polygons = [part for part in drawn if not isinstance(part, np.ndarray)]
    if not masks or size is None:
        return polygons
    if polygons:
        try:
            masks.append(decode(from_segmentation(polygons, *size)))
        except DataError as error:
            return error
    return np.maximum.reduce(masks)


def _via(content: Mapping[str, Any], left_out: list[str]) -> Iterator[AnnotatedFile]:
    for record in content.get("_via_img_metadata", content).values():
        regions = record["regions"]
        objects = []
        for number, region in enumerate(
            regions.values() if isinstance(regions, dict) else regions, start=1
        ):
            drawn: Any
            category = "object"
            try:
                said = region.get("region_attributes") or {}
                category = str(next(iter(said.values()), category))
                drawn = _via_shape(region["shape_attributes"])
            except _MISSHAPEN as error:
                drawn = _misshapen(error)
            if drawn is None:
                left_out.append(_several(region["shape_attributes"]["name"]))
                continue
            objects.append(
                DrawnAs(
                    label=str(number), drawing=drawn, name=f"region {number}", category=category
                )
            )
        yield AnnotatedFile(name=str(record["filename"]), size=None, objects=tuple(objects))


def _via_shape(shape: Mapping[str, Any]) -> list[list[float]] | None:
    """Draw one of VIA's shapes; None of another kind than polygons and ellipses."""
    kind = shape["name"]
    if kind in ("polygon", "polyline"):
        corners = zip(shape["all_points_x"], shape["all_points_y"], strict=True)
        return [[value for point in corners for value in point]]
    if kind in ("circle", "ellipse"):
        across, down = shape.get("rx", shape.get("r")), shape.get("ry", shape.get("r"))
        turn = shape.get("theta") or 0.0
        return [_ellipse(shape["cx"], shape["cy"], across, down, turn=turn)]
    return None


def _label_studio(content: Any, left_out: list[str]) -> Iterator[AnnotatedFile]:
    for task in [content] if isinstance(content, Mapping) else content:
        given = task.get("annotations") or task.get("completions") or []
        valid = [one for one in given if not one.get("was_cancelled")]
        full = [one for one in valid if one.get("result")]  # an empty one hides nobody's work
        left_out += ["further annotators' answers"] * (len(valid) - 1)
        if not valid and task.get("predictions"):
            left_out.append("tasks that have predictions only")
        objects, size = [], None
        for number, result in enumerate(full[0]["result"] if full else [], start=1):
            category, drawing = "object", None
            try:
                kind, value = str(result["type"]), result.get("value") or {}
                category = str((value.get(kind) or [category])[0])
                drawing, size = _label_studio_part(result, value, size)
            except (*_MISSHAPEN, DataError) as error:
                drawing = _misshapen(error)
            if drawing is None:
                left_out.append(kind if kind.endswith("s") else _several(kind))
                continue
            objects.append(
                DrawnAs(
                    label=str(number), drawing=drawing, name=f"task {task.get('id')}, {number}",
                    category=category,
                )
            )  # fmt: skip
        yield AnnotatedFile(name=_task_image(task["data"]), size=size, objects=tuple(objects))


def _label_studio_part(
    result: Mapping[str, Any], value: Mapping[str, Any], size: tuple[int, int] | None
) -> tuple[Any, tuple[int, int] | None]:
    """Draw one of Label Studio's regions; None of another kind. And the image's size."""
    if result.get("image_rotation"):  # its percentages may be of either side then
        return f"of an image that is turned by {result['image_rotation']} degrees there", size
    if value.get("format") == "rle":
        size = (int(result["original_height"]), int(result["original_width"]))
        return _brush(value["rle"], size), size
    if "points" in value:
        return Shares(polygons=[[one / 100 for p in value["points"] for one in p]]), size
    if "radiusX" not in value:
        return None, size
    wide, tall = result["original_width"], result["original_height"]
    scales = (("x", wide), ("y", tall), ("radiusX", wide), ("radiusY", tall))
    parts = (value[key] / 100 * side for key, side in scales)
    turn = math.radians(value.get("rotation") or 0)
    return [_ellipse(*parts, turn=turn)], (int(tall), int(wide))


def _task_image(data: Mapping[str, Any]) -> str:
    """Find a task's image among its values, which may be texts and other links too."""
    texts = [value for value in data.values() if isinstance(value, str)]
    paths = [unquote(text.partition("?d=")[2] or text.partition("?")[0]) for text in texts]
    images = [path for path in paths if path.lower().endswith(READ_IMAGES)]
    return (images or paths)[0]


def _sa_1b(content: Mapping[str, Any], left_out: list[str]) -> Iterator[AnnotatedFile]:
    image = content["image"]
    yield AnnotatedFile(
        name=str(image["file_name"]), size=(int(image["height"]), int(image["width"])),
        objects=tuple(
            DrawnAs(
                label=str(one["id"]), drawing=one["segmentation"], name=f"annotation {one['id']}"
            )
            for one in content["annotations"]
        ),
    )  # fmt: skip


_READERS: dict[str, Callable[[Any, list[str]], Iterator[AnnotatedFile]]] = {
    "labelme": _labelme, "via": _via, "label studio": _label_studio, "sa-1b": _sa_1b,
}  # fmt: skip


def _cvat(root: Xml.Element, left_out: list[str]) -> Iterator[AnnotatedFile]:
    """Read "CVAT for images"."""
    if root.find("track") is not None and root.find("image") is None:
        raise DataError('the file is "CVAT for video"; export it as "CVAT for images".')
    for image in root.iter("image"):
        size = (int(image.attrib["height"]), int(image.attrib["width"]))
        objects = []
        for number, shape in enumerate(image, start=1):
            given = shape.attrib
            drawing: Any
            try:
                drawing = _cvat_shape(shape.tag, given, size)
            except _MISSHAPEN as error:
                drawing = _misshapen(error)
            if drawing is None:
                left_out.append(_several(shape.tag))
                continue
            label = given.get("label", "object")
            objects.append(
                DrawnAs(
                    label=f"{label}-{number}", drawing=drawing, category=label,
                    name=f"image {image.attrib['name']}, {shape.tag} {number}",
                )
            )  # fmt: skip
        yield AnnotatedFile(name=image.attrib["name"], size=size, objects=tuple(objects))


def _cvat_shape(kind: str, given: Mapping[str, str], size: tuple[int, int]) -> Any:
    """Draw one of CVAT's shapes, polygons or a mask (H, W); None of another kind."""
    if kind == "polygon":
        return [[float(value) for value in given["points"].replace(";", ",").split(",")]]
    if kind == "ellipse":
        turn = math.radians(float(given.get("rotation", 0)))
        parts = (float(given[key]) for key in ("cx", "cy", "rx", "ry"))
        return [_ellipse(*parts, turn=turn)]
    if kind != "mask":
        return None
    left, top, wide, tall = (int(given[k]) for k in ("left", "top", "width", "height"))
    if not 0 < wide * tall <= MOST_PIXELS:
        raise ValueError(f"a mask of {wide} x {tall} pixels")
    runs = [int(value) for value in given["rle"].split(",")]
    values = np.arange(len(runs)) % 2
    if sum(runs) != wide * tall or min(runs) < 0:
        raise ValueError(f"a mask of {sum(runs)} pixels in a box of {wide} x {tall}")
    part = np.repeat(values, runs).reshape(tall, wide).astype(np.uint8)
    return _placed(part, left, top, size)


def _several(kind: str) -> str:
    """Name many of a kind of shape."""
    return kind if kind.endswith("s") else f"{kind}es" if kind.endswith("x") else f"{kind}s"


def _ellipse(x: float, y: float, across: float, down: float, *, turn: float = 0.0) -> list[float]:
    """Give an ellipse as a polygon x, y, x, y, ...; `turn` in radians, clockwise as seen."""
    cos, sin = math.cos(turn), math.sin(turn)
    corners = []
    for step in range(_ROUND):
        angle = 2 * math.pi * step / _ROUND
        right, below = across * math.cos(angle), down * math.sin(angle)
        corners += [x + right * cos - below * sin, y + right * sin + below * cos]
    return corners


def _placed(
    part: NDArray[np.uint8], left: int, top: int, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Put a part of a mask into the whole, (H, W)."""
    if not 0 < size[0] * size[1] <= MOST_PIXELS:
        raise ValueError(f"an image of {size[0]} x {size[1]} pixels")
    whole = np.zeros(size, np.uint8)
    inside = whole[max(top, 0) : top + part.shape[0], max(left, 0) : left + part.shape[1]]
    part = part[max(-top, 0) :, max(-left, 0) :]
    inside[:] = part[: inside.shape[0], : inside.shape[1]]
    return whole


def _png(content: bytes) -> NDArray[np.uint8]:
    with open_image(content, "mask", formats=("PNG",), most_pixels=MOST_PIXELS) as image:
        return (np.array(image.convert("L")) > 0).astype(np.uint8)


def _brush(code: Sequence[int], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode Label Studio's brush: runs and literals of words in a stream of bits, RGBA by rows."""
    bits = np.unpackbits(np.array(code, dtype=np.uint8))
    place = 0

    def read(count: int) -> int:
        nonlocal place
        if place + count > len(bits):
            raise ValueError("a brush mask that breaks off")
        value = int("".join(map(str, bits[place : place + count])), 2)
        place += count
        return value

    length, word = read(32), read(5) + 1
    widths = [read(4) + 1 for _ in range(4)]
    if length != size[0] * size[1] * 4 or length > 4 * MOST_PIXELS:
        raise ValueError(f"a brush mask of {length} values for {size[0]} x {size[1]} pixels")
    values, done = np.zeros(length, np.uint8), 0
    while done < length:
        is_run = read(1)
        count = min(1 + read(widths[read(2)]), length - done)
        if is_run:
            values[done : done + count] = read(word)
        else:
            values[done : done + count] = [read(word) for _ in range(count)]
        done += count
    return (values.reshape(*size, 4)[:, :, 3] > 0).astype(np.uint8)


def _xml(file: Path) -> Xml.Element:
    text = read_text(file, advice=_ADVICE, most_bytes=10**9)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # by which a small file can become a huge one
        raise DataError(f"{file} has a document type, which no tool's annotations have. {_ADVICE}")
    try:
        root = Xml.fromstring(text)  # noqa: S314 entities are refused above
    except Xml.ParseError as error:
        raise DataError(f"{file} is no XML ({error}). {_ADVICE}") from None
    if root.tag != "annotations":
        boxes = f" {_OF_VOC}" if root.tag == "annotation" else ""
        raise DataError(
            f"{file} begins with <{root.tag[:_SHOWN]}>, expected CVAT's <annotations>.{boxes}"
        )
    return root
