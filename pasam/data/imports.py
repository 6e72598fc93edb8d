"""Sets of images as annotation tools write them: one reader, which tells the forms apart.

Own code, since every object has to be refused by its name: datumaro and supervision know the forms
too, but stop at the first fault, or leave out what they do not understand without a word.
"""

from __future__ import annotations

import base64
import binascii
import math
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as Xml

import numpy as np
from numpy.typing import NDArray

from pasam.data.coco import AnnotatedFile, DrawnAs, Shares, encoded_source, from_coco
from pasam.data.pairing import Source, from_csv, from_folders, list_images
from pasam.errors import DataError
from pasam.files import read_json, read_text
from pasam.masks.images import IMAGE_SUFFIXES, open_image
from pasam.masks.run_lengths import MOST_PIXELS, decode, from_segmentation

_ROUND = 64  # corners of the polygon that stands for a circle
_SHOWN = 60
_ADVICE = "Correct --annotations."
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
    left_out: list[str] = []
    if zipfile.is_zipfile(file):
        raise DataError(f"{file} is an archive. Unpack it, and name the file of annotations in it.")
    try:
        if file.is_dir():
            kind, found = _of_folder(file, images, left_out)
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
                raise DataError(f"{file} is of no known form. Known: {_FORMS}.")
            found = list(_READERS[kind](content, left_out))
    except (
        AttributeError, binascii.Error, IndexError, KeyError, OverflowError, TypeError, ValueError,
    ) as error:  # fmt: skip
        reason = f"{type(error).__name__}: {error}"[:200]
        raise DataError(f"{file} is not written as its tool does it ({reason}).") from None
    if places.group is not None:
        raise DataError(f"{file}: --group goes with COCO, tables and folders.")
    counted = Counter(left_out).items()
    notes = [f"{count} {what} are left out, no masks" for what, count in counted]
    return encoded_source(kind, file, images, found, categories=places.categories, notes=notes)


def _form(content: Any) -> str:
    if isinstance(content, list):
        return "label studio"
    if not isinstance(content, dict):
        return ""
    if isinstance(content.get("annotations"), list):
        return "sa-1b" if isinstance(content.get("image"), dict) else "coco"
    if "shapes" in content:
        return "labelme"
    regions = content.get("_via_img_metadata", content)
    is_via = isinstance(regions, dict) and any(
        isinstance(value, dict) and "regions" in value for value in regions.values()
    )
    return "via" if is_via else "coco" if "images" in content else ""


def _of_folder(folder: Path, images: Path, left_out: list[str]) -> tuple[str, list[AnnotatedFile]]:
    """Read a folder with one file of annotations per image."""
    files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    found: list[AnnotatedFile] = []
    kinds = set()
    for file in (path for path in files if path.suffix.lower() == ".json"):
        content = read_json(file, advice=_ADVICE)
        kind = _form(content)
        if kind not in ("labelme", "sa-1b"):
            raise DataError(f"{file} is neither labelme's nor SA-1B's, as files of one image are.")
        kinds.add(kind)
        found += _READERS[kind](content, left_out)
    texts = [path for path in files if path.suffix.lower() == ".txt" and path.stem != "classes"]
    if not found and texts:
        return "yolo", list(_yolo(folder, texts, images, left_out))
    if not found:
        raise DataError(f"{folder} holds no annotations. Known: {_FORMS}.")
    return " and ".join(sorted(kinds)), found


def _labelme(content: Mapping[str, Any], left_out: list[str]) -> Iterator[AnnotatedFile]:
    sides = (content.get("imageHeight"), content.get("imageWidth"))
    size = (int(sides[0]), int(sides[1])) if sides[0] and sides[1] else None
    objects: dict[tuple[str, Any], list[Any]] = {}
    for number, shape in enumerate(content["shapes"], start=1):
        kind, points = shape.get("shape_type") or "polygon", shape["points"]
        group = shape.get("group_id")
        key = (str(shape["label"]), f"{number}" if group is None else f"g{group}")
        if kind == "polygon":
            objects.setdefault(key, []).append([value for point in points for value in point])
        elif kind == "circle":
            (x, y), edge = points[0], points[1]
            radius = math.hypot(edge[0] - x, edge[1] - y)
            objects.setdefault(key, []).append(_ellipse(x, y, radius, radius))
        elif kind == "mask":
            part = _png(base64.b64decode(shape["mask"], validate=True))
            left, top = (round(value) for value in points[0])
            if size is None:
                raise ValueError("a mask without imageHeight and imageWidth")
            objects.setdefault(key, []).append(_placed(part, left, top, size))
        else:
            left_out.append(_several(kind))
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


def _united(drawn: Sequence[Any], size: tuple[int, int] | None) -> Any:
    """Join what belongs to one object: polygons stay polygons, beside a mask they are drawn."""
    masks = [part for part in drawn if isinstance(part, np.ndarray)]
    polygons = [part for part in drawn if not isinstance(part, np.ndarray)]
    if not masks or size is None:
        return polygons
    if polygons:
        masks.append(decode(from_segmentation(polygons, *size)))
    return np.maximum.reduce(masks)


def _via(content: Mapping[str, Any], left_out: list[str]) -> Iterator[AnnotatedFile]:
    for record in content.get("_via_img_metadata", content).values():
        regions = record["regions"]
        objects = []
        for number, region in enumerate(
            regions.values() if isinstance(regions, dict) else regions, start=1
        ):
            shape, said = region["shape_attributes"], region.get("region_attributes") or {}
            category = str(next(iter(said.values()), "object"))
            kind = shape["name"]
            if kind in ("polygon", "polyline"):
                xs, ys = shape["all_points_x"], shape["all_points_y"]
                drawn = [value for point in zip(xs, ys, strict=True) for value in point]
            elif kind in ("circle", "ellipse"):
                across, down = shape.get("rx", shape.get("r")), shape.get("ry", shape.get("r"))
                drawn = _ellipse(
                    shape["cx"], shape["cy"], across, down, turn=shape.get("theta") or 0.0
                )
            else:
                left_out.append(_several(kind))
                continue
            objects.append(
                DrawnAs(
                    label=str(number), drawing=[drawn], name=f"region {number}", category=category
                )
            )
        yield AnnotatedFile(name=str(record["filename"]), size=None, objects=tuple(objects))


def _label_studio(content: Sequence[Any], left_out: list[str]) -> Iterator[AnnotatedFile]:
    for task in content:
        given = task.get("annotations") or task.get("completions") or []
        valid = [one for one in given if not one.get("was_cancelled")]
        left_out += ["further annotators' answers"] * (len(valid) - 1)
        objects, size = [], None
        for number, result in enumerate(valid[0]["result"] if valid else [], start=1):
            value, kind = result.get("value") or {}, str(result["type"])
            names = value.get(kind) or ["object"]
            drawing: Any
            if result.get("image_rotation"):  # its percentages may be of either side then
                drawing = f"of an image that is turned by {result['image_rotation']} degrees there"
            elif value.get("format") == "rle":
                size = (int(result["original_height"]), int(result["original_width"]))
                drawing = _brush(value["rle"], size)
            elif "points" in value:
                drawing = Shares(polygons=[[one / 100 for p in value["points"] for one in p]])
            elif "radiusX" in value:
                wide, tall = result["original_width"], result["original_height"]
                scales = (("x", wide), ("y", tall), ("radiusX", wide), ("radiusY", tall))
                parts = (value[key] / 100 * side for key, side in scales)
                drawing = [_ellipse(*parts, turn=math.radians(value.get("rotation") or 0))]
                size = (int(tall), int(wide))
            else:
                left_out.append(kind if kind.endswith("s") else _several(kind))
                continue
            objects.append(
                DrawnAs(
                    label=str(number), drawing=drawing, name=f"task {task.get('id')}, {number}",
                    category=str(names[0]),
                )
            )  # fmt: skip
        yield AnnotatedFile(name=_task_image(task["data"]), size=size, objects=tuple(objects))


def _task_image(data: Mapping[str, Any]) -> str:
    """Find a task's image among its values, which may be texts and other links too."""
    texts = [value for value in data.values() if isinstance(value, str)]
    paths = [unquote(text.partition("?d=")[2] or text.partition("?")[0]) for text in texts]
    images = [path for path in paths if path.lower().endswith(IMAGE_SUFFIXES)]
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
            if shape.tag == "polygon":
                points = given["points"].replace(";", ",").split(",")
                drawing = [[float(value) for value in points]]
            elif shape.tag == "ellipse":
                turn = math.radians(float(given.get("rotation", 0)))
                parts = (float(given[key]) for key in ("cx", "cy", "rx", "ry"))
                drawing = [_ellipse(*parts, turn=turn)]
            elif shape.tag == "mask":
                left, top, wide, tall = (int(given[k]) for k in ("left", "top", "width", "height"))
                if not 0 < wide * tall <= MOST_PIXELS:
                    raise ValueError(f"a mask of {wide} x {tall} pixels")
                runs = [int(value) for value in given["rle"].split(",")]
                values = np.arange(len(runs)) % 2
                if sum(runs) != wide * tall or min(runs) < 0:
                    raise ValueError(f"a mask of {sum(runs)} pixels in a box of {wide} x {tall}")
                part = np.repeat(values, runs).reshape(tall, wide).astype(np.uint8)
                drawing = _placed(part, left, top, size)
            else:
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


def _yolo(
    folder: Path, files: Sequence[Path], images: Path, left_out: list[str]
) -> Iterator[AnnotatedFile]:
    """Read YOLO's segments: a line per object, its class and corners as fractions of the image."""
    named = folder / "classes.txt"
    names = read_text(named, advice=_ADVICE).splitlines() if named.is_file() else []
    there: dict[str, list[str]] = {}
    for path in list_images(images, deep=True):
        there.setdefault(path.stem, []).append(path.relative_to(images).as_posix())
    for file in files:
        objects = []
        same = there.get(file.stem, [file.stem])
        if len(same) > 1:
            raise DataError(f"{file} may be of any of {same}. Leave one in --images.")
        for number, line in enumerate(read_text(file, advice=_ADVICE).splitlines(), start=1):
            kind, *values = line.split() or [""]
            if line.strip() and (not values or not all(map(_is_number, values))):
                raise DataError(
                    f"{file}, line {number}: '{line[:_SHOWN]}' is not YOLO's, a class and numbers. "
                    "Correct it, or move the file elsewhere."
                )
            if kind.startswith("-"):
                raise DataError(
                    f"{file}, line {number}: the class is {kind}, expected a number from 0. "
                    "Correct it, or remove the line."
                )
            if len(values) == 4:
                left_out.append("boxes")
            elif values:
                category = names[int(kind)] if kind.isdigit() and int(kind) < len(names) else kind
                drawing = Shares(polygons=[[float(value) for value in values]])
                objects.append(
                    DrawnAs(
                        label=str(number), drawing=drawing, category=category,
                        name=f"line {number} of {file.name}",
                    )
                )  # fmt: skip
        yield AnnotatedFile(name=same[0], size=None, objects=tuple(objects))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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
        boxes = " Pascal VOC's XML holds boxes, no masks." if root.tag == "annotation" else ""
        raise DataError(
            f"{file} begins with <{root.tag[:_SHOWN]}>, expected CVAT's <annotations>.{boxes}"
        )
    return root
