"""A set of images and masks, written for other tools: COCO, YOLO-seg, labelme, cut-outs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasam.data.pairing import Pair
from pasam.errors import DataError
from pasam.files import draft_folder
from pasam.masks.images import encode_rgba, foreground, read_header, read_image
from pasam.masks.mask_files import read_mask
from pasam.masks.polygons import Points, joined, polygons_of
from pasam.masks.run_lengths import Rle, area, bounding_box, decode, encode

_DIGITS = 2  # behind the point of a corner
_CLASSES = "classes.txt"
_SUFFIXES = {"yolo": ".txt", "labelme": ".json", "cutout": ""}
"""What an image's own suffix gives way to; the other forms name images whole, in one file."""


@dataclass(frozen=True, slots=True)
class ExportedImage:
    """An image by name, and its objects; masks as run lengths, of which many fit into memory."""

    name: str
    """Its file's name, with `/` where it lies in a folder."""
    height: int
    width: int
    objects: Sequence[tuple[str, Rle]]
    """The category of each, and its mask."""


def annotation_files(
    images: Sequence[ExportedImage], form: str, *, on_object: Callable[[], None] = lambda: None
) -> dict[str, str]:
    """Write annotations as another tool's files.

    Args:
        images: The images, whose names are safe.
        form: One of `FORMS`.
        on_object: Called before each object is drawn; what it raises ends the work.

    Returns:
        Texts by the name of their file, with `/` where it lies in a folder.

    Raises:
        DataError: Two images would be told by one name.
    """
    expect_own_names((image.name for image in images), form)

    def polygons(code: Rle) -> list[Points]:
        on_object()
        return _polygons(code)

    names = list(dict.fromkeys(label for image in images for label, _ in image.objects))
    return FORMS[form](images, names, polygons)


def expect_own_names(images: Iterable[str], form: str) -> None:
    """See to it that no file of one image takes the place of another's.

    Names that differ by capitals alone meet, too: on many disks they are one.

    Args:
        images: Names of image files.
        form: One of `FORMS`, or `cutout`.

    Raises:
        DataError: Two names meet in this form.
    """
    suffix = _SUFFIXES.get(form)
    owners = {_CLASSES: "the list of classes"} if form == "yolo" else {}
    for image in images:
        name = image if suffix is None else _renamed(image, suffix)
        key = name if suffix is None else name.casefold()
        if key in owners:
            raise DataError(
                f"{image} and {owners[key]} would both be '{name}' in the form {form}; each image "
                "needs a name of its own there. Rename one of the two, or take the form coco."
            )
        owners[key] = image


def export_set(pairs: Sequence[Pair], out: Path, form: str) -> int:
    """Write the masks of a set in another tool's form.

    Args:
        pairs: Sorted, of one data set.
        out: Folder to write, which must not exist or be empty.
        form: One of `FORMS`, or `cutout`.

    Returns:
        How many images were written.

    Raises:
        DataError: The folder holds something, a file cannot be read, a mask has another size than
            its image, or two images would be told by one name.
    """
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty. Name a folder of its own (--out).")
    images: dict[Path, list[Path]] = {}
    for pair in pairs:
        image = Path(os.path.normpath(pair.image.absolute()))  # a table may name some either way
        images.setdefault(image, []).append(pair.mask)
    top = os.path.commonpath([image.parent for image in images]) if images else ""
    named = {image: image.relative_to(top) for image in images}
    expect_own_names((name.as_posix() for name in named.values()), form)
    with draft_folder(out) as draft:
        if form == "cutout":
            for image, masks in images.items():
                _write_cutouts(draft, named[image], image, _masks(image, masks))
            return len(images)
        category = pairs[0].dataset if pairs else "object"
        described = [
            _described(named[image].as_posix(), _masks(image, masks), category)
            for image, masks in images.items()
        ]
        for name, text in annotation_files(described, form).items():
            path = draft / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return len(images)


def _masks(image: Path, paths: Sequence[Path]) -> Iterator[NDArray[np.uint8]]:
    """Read the masks of an image one by one, (H, W); each has to have the image's size."""
    size = read_header(image).size
    for path in paths:
        mask = read_mask(path)
        if mask.shape != size:
            raise DataError(
                f"{path} has {mask.shape[1]} x {mask.shape[0]} pixels, its image {image} "
                f"{size[1]} x {size[0]}. Another tool would lay the mask beside its object: bring "
                "both to one size (`pasam data check` names all such pairs)."
            )
        yield mask


def _described(name: str, masks: Iterable[NDArray[np.uint8]], category: str) -> ExportedImage:
    codes = [encode(foreground(mask)) for mask in masks]
    height, width = codes[0]["size"]
    return ExportedImage(name, height, width, [(category, code) for code in codes])


def _polygons(code: Rle) -> list[Points]:
    """Draw polygons round a mask, of which no more than its box is held in memory."""
    x, y, wide, tall = bounding_box(code)
    part = decode(code)[y : y + tall, x : x + wide]
    drawn = polygons_of(part.astype(np.uint8) * np.uint8(255)) if part.size else []
    return [corners + (x, y) for corners in drawn]


Draw = Callable[[Rle], list[Points]]


def _coco_files(
    images: Sequence[ExportedImage], names: Sequence[str], draw: Draw
) -> dict[str, str]:
    """Write `annotations.json` with polygons; one with run lengths keeps every pixel."""

    def flat(code: Rle) -> list[list[float]]:
        return [np.round(part, _DIGITS).ravel().tolist() for part in draw(code)]

    return {"annotations.json": _text(_coco(images, names, flat))}


def _coco_rle_files(
    images: Sequence[ExportedImage], names: Sequence[str], draw: Draw
) -> dict[str, str]:
    return {"annotations.json": _text(_coco(images, names, dict))}


def _coco(
    images: Sequence[ExportedImage], names: Sequence[str], drawn: Callable[[Rle], Any]
) -> Mapping[str, Any]:
    records: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(images, start=1):
        size = {"height": image.height, "width": image.width}
        records.append({"id": number, "file_name": image.name, **size})
        for label, code in image.objects:
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": number,
                    "category_id": names.index(label) + 1, "bbox": list(bounding_box(code)),
                    "area": area(code), "iscrowd": 0, "segmentation": drawn(code),
                }
            )  # fmt: skip
    return {
        "images": records, "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, 1)],
    }  # fmt: skip


def _yolo_files(
    images: Sequence[ExportedImage], names: Sequence[str], draw: Draw
) -> dict[str, str]:
    """Write a text per image: the class and one polygon per object, parts joined by cuts."""
    files = {}
    for image in images:
        lines = []
        for label, code in image.objects:
            parts = draw(code)
            if parts:
                corners = reduce(joined, parts) / (image.width, image.height)
                places = " ".join(f"{value:.6f}" for value in corners.ravel())
                lines.append(f"{names.index(label)} {places}")
        files[_renamed(image.name, _SUFFIXES["yolo"])] = "\n".join(lines) + "\n"
    return files | {_CLASSES: "".join(f"{name}\n" for name in names)}


def _labelme_files(
    images: Sequence[ExportedImage], names: Sequence[str], draw: Draw
) -> dict[str, str]:
    """Write JSON per image; the parts of an object share a group."""
    files = {}
    for image in images:
        shapes = [
            {
                "label": label, "points": np.round(part, _DIGITS).tolist(),
                "group_id": number, "shape_type": "polygon", "flags": {},
            }
            for number, (label, code) in enumerate(image.objects, start=1) for part in draw(code)
        ]  # fmt: skip
        content: dict[str, Any] = {
            "version": "5.0.0", "flags": {}, "shapes": shapes,
            "imagePath": PurePosixPath(image.name).name, "imageData": None,
            "imageHeight": image.height, "imageWidth": image.width,
        }  # fmt: skip
        files[_renamed(image.name, _SUFFIXES["labelme"])] = _text(content)
    return files


def _write_cutouts(out: Path, name: Path, file: Path, masks: Iterable[NDArray[np.uint8]]) -> None:
    """Write a PNG per object: the image inside the mask's box, the mask in the alpha channel."""
    pixels = read_image(file)
    for number, mask in enumerate(masks):
        x, y, wide, tall = bounding_box(encode(foreground(mask)))
        part = np.dstack([pixels, mask])[y : y + tall, x : x + wide]
        path = out / name.with_name(f"{name.stem}_{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_rgba(part))


FORMS: Mapping[
    str, Callable[[Sequence[ExportedImage], Sequence[str], Draw], dict[str, str]]
] = {
    "coco": _coco_files, "coco-rle": _coco_rle_files, "yolo": _yolo_files,
    "labelme": _labelme_files,
}  # fmt: skip
"""What writes annotations, by the name of its form."""


def _renamed(name: str, suffix: str) -> str:
    return PurePosixPath(name).with_suffix(suffix).as_posix()


def _text(content: Any) -> str:
    return json.dumps(content) + "\n"
