"""Prompts that stand in a file: CSV, JSON or COCO; boxes, points on and beside, and mask images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pasam.data.coco import category_names, images_by_id, plain_id
from pasam.data.names.folder_images import SpeltFiles, plain_form, spellings
from pasam.errors import DataError, PasamError, PromptError
from pasam.files import read_csv, read_json
from pasam.inference.image_prompt import (
    Label,
    Number,
    expect_pixels,
    image_prompt,
    validation_message,
)
from pasam.inference.prompting import OBJECT, PromptedObject, PromptsByImage
from pasam.masks.images import foreground
from pasam.masks.mask_files import read_mask
from pasam.masks.run_lengths import Rle, encode

COLUMNS = ("image", "object", "x0", "y0", "x1", "y1", "x", "y", "label", "mask")
"""Columns of a CSV file; all but the first may be absent or empty."""
FORMS = (
    "a CSV with the columns image and x0,y0,x1,y1 or x,y,label or mask; a JSON list of "
    '{"image": "photo.jpg", "box": [x0, y0, x1, y1], "points": [[x, y]], "labels": [1], '
    '"mask": "mask.png"}; or a COCO set, whose boxes are taken'
)


_DECIMAL_COMMA = re.compile(r"[+-]?\d+,(\d{1,2}|\d{4,})")
"""A number of a spreadsheet with a decimal comma; with three digits it may be one of thousands."""
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
"""A number that is one of thousands where others have a decimal comma."""
MOST_PROMPTS = 100_000
"""Prompts of a file, or its rows, that are read; COCO's validation images have 36,781 objects."""


class FilePrompt(BaseModel):
    """A prompt for one object of an image that is named."""

    model_config = ConfigDict(extra="forbid")

    image: str
    """The image's path, relative to the file's folder, or its name."""
    object: str | int = ""
    """In a CSV: rows of one image and object are one prompt."""
    box: tuple[Number, Number, Number, Number] | None = None
    points: list[tuple[Number, Number]] | None = None
    labels: list[Label] | None = None
    mask: str | None = None
    """A mask image of the image's size, relative to the file's folder."""
    category: str = ""


def read_prompt_file(path: Path, images: Sequence[Path]) -> PromptsByImage:
    """Read the prompts of several images.

    Args:
        path: CSV, JSON or COCO, see `FORMS`. In a CSV, rows with the same image and object are put
            together; where the column object is absent, a row with a box stands for itself, and
            the points of an image describe one object.
        images: The images' files. Names in the file are paths relative to its folder, or the ends
            of these paths.

    Raises:
        DataError: The file is missing or in no such form, or names an image that is not given, or
            that several of them could be.
        PromptError: A prompt is empty or impossible in itself.
    """
    entries = _read_csv(path) if path.suffix.lower() == ".csv" else _read_json(path)
    if not entries:
        raise DataError(f"{path} holds no prompt; expected {FORMS}.")
    by_image: dict[Path, list[PromptedObject]] = {image: [] for image in images}
    meant = cache(_ImageNames(path, images).meant)  # each name is looked for once

    spelt = SpeltFiles()

    @cache  # as run lengths: as pixels, a few hundred masks would take all memory
    def drawn(name: str) -> Rle:
        return encode(foreground(read_mask(spelt.find(path.parent, name) or path.parent / name)))

    extras: dict[str, dict[str, Any]] = {"": {}}
    for number, content in enumerate(entries):
        entry = _checked(content, number, path)
        try:
            expect_pixels(entry.box, entry.points)
            mask = None if entry.mask is None else drawn(entry.mask)
            prompt = image_prompt(
                box=entry.box, points=entry.points, labels=entry.labels, mask=mask
            )
            image = meant(entry.image)
        except PasamError as error:
            error.args = (f"{path}, prompt {number}: {error!s:.600}",)
            raise error from None
        extra = extras.setdefault(entry.category, {"category_id": 0, "category": entry.category})
        by_image[image].append(PromptedObject(prompt, extra))
    categories = dict(enumerate(sorted(extras.keys() - {""}), start=1))
    for identity, name in categories.items():
        extras[name]["category_id"] = identity
    return PromptsByImage(categories or OBJECT, by_image, upright=True)


def images_of(path: Path) -> list[Path]:
    """Find the images that a file of prompts names, each once, in its order.

    Some may be absent, for the reader of images to say so of each: the others can be done.

    Raises:
        DataError: The file is missing or in no known form, or none of its images is there.
        PromptError: A prompt of a JSON file names none.
    """
    names: Iterable[str]
    if path.suffix.lower() == ".csv":
        names = (cells.get("image", "") for _, cells in _rows(path))
    else:  # what else is in them is looked at when they are read
        names = (_image_of(each, number, path) for number, each in enumerate(_read_json(path)))
    spelt, absent, found = SpeltFiles(), list[str](), dict[Path, None]()
    for name in dict.fromkeys(names):
        image = spelt.find(path.parent, name)
        absent += [name] if image is None else []
        found[image or path.parent / name] = None
    if absent and len(absent) == len(found):
        others = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise DataError(
            f"{path} names {str(path.parent / absent[0])[:300]}{others}, which does not exist; "
            "names are relative to the file's folder. Correct them, or name the images too."
        )
    return list(found)


def _image_of(content: object, number: int, path: Path) -> str:
    name = content.get("image") if isinstance(content, dict) else None
    return name if isinstance(name, str) else _checked(content, number, path).image


class _ImageNames:
    """The images that names in a file mean.

    Args:
        path: The file.
        images: The images that there are.
    """

    def __init__(self, path: Path, images: Sequence[Path]) -> None:
        self._folder, self._count = path.parent, len(images)
        self._whole: dict[str, list[Path]] = {}
        self._last: dict[str, list[Path]] = {}
        for image in images:
            self._whole.setdefault(_plain(image.absolute()), []).append(image)
            self._last.setdefault(_plain(image.name), []).append(image)

    def meant(self, name: str) -> Path:
        """Find the image that a name means.

        Raises:
            DataError: It means none, or several.
        """
        found = next((images for way in spellings(name) if (images := self._spelt(way))), [])
        if not found:
            raise DataError(
                f"the image {name!r} is none of the {self._count} images given. Give it too, or "
                "take its prompts out."
            )
        if len(found) > 1:
            raise DataError(
                f"the image {name!r} may be {found[0]} or {found[1]}; write its folder."
            )
        return found[0]

    def _spelt(self, name: str) -> list[Path]:
        wanted, place = _plain(name), _plain((self._folder / name).absolute())
        return self._whole.get(place) or [
            image
            for image in self._last.get(wanted.rpartition("/")[2], ())
            if f"/{_plain(image)}".endswith(f"/{wanted}")
        ]


def _plain(name: str | Path) -> str:
    return plain_form(Path(name).as_posix())


def _read_json(path: Path) -> list[Any]:
    content = read_json(path, advice=f"Expected {FORMS}.", once=True)
    if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
        content = list(_of_coco(content, path))
    elif isinstance(content, dict) and "image" in content:
        content = [content]
    elif isinstance(content, dict):  # prompts by image
        content = [
            {"image": image, **each} if isinstance(each, dict) else each
            for image, prompts in content.items()
            for each in (prompts if isinstance(prompts, list) else [prompts])
        ]
    if not isinstance(content, list):
        raise PromptError(f"{path} holds {content!r:.80}; expected {FORMS}.")
    if len(content) > MOST_PROMPTS:
        raise _too_many(path)
    return content


def _of_coco(content: Mapping[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    try:
        images, kinds = images_by_id(path, content), category_names(path, content)
        for place, each in enumerate(content["annotations"], start=1):
            number = each.get("id", f"({place})")
            image = images.get(plain_id(each["image_id"]) or "")
            if image is None:
                raise DataError(f"{path}: annotation {number!s:.80} names no image of the file.")
            try:
                x, y, width, height = map(float, _listed(each["bbox"]))
            except (OverflowError, TypeError, ValueError):
                raise DataError(
                    f"{path}: the bbox of annotation {number!s:.80} is {each['bbox']!r:.80}, "
                    "expected x, y, width, height in pixels. Correct it, or take it out."
                ) from None
            kind = kinds.get(plain_id(each.get("category_id")), "")
            yield {
                "image": image["file_name"], "box": (x, y, x + width, y + height),
                "category": kind,
            }  # fmt: skip
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is not in COCO's form ({type(error).__name__}: {error!s:.80}); every "
            "annotation needs image_id and bbox (x, y, width, height)."
        ) from None


def _listed(box: object) -> list[Any]:
    """Give a list as it is; the letters of a text are none."""
    if not isinstance(box, list):
        raise TypeError("no list")
    return box


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    known = (*COLUMNS, "category")
    names, rows = read_csv(path, advice=f"Expected {FORMS}.", known=known)
    unknown = [name for name in names if name not in known]
    if "image" not in names or unknown:
        raise DataError(f"{path} has the columns {', '.join(names)[:200]}; expected {FORMS}.")
    for place, (line, cells) in enumerate(rows):
        if place == MOST_PROMPTS:
            raise _too_many(path)
        if beyond := cells.get(""):
            raise DataError(
                f"{path}, line {line}: '{beyond:.60}' stands beyond the last column. Put what has "
                "a comma in it between quotes."
            )
        yield line, cells


def _too_many(path: Path) -> DataError:
    return DataError(
        f"{path} has more than {MOST_PROMPTS} prompts. Give them in several files, one after the "
        "other."
    )


def _read_csv(path: Path) -> list[dict[str, Any]]:
    objects: _Objects = {}
    has_commas, thousands = False, ""
    for number, cells in _rows(path):
        _add_row(objects, cells, number, path)
        for name in (name for name in COLUMNS[2:8] if name in cells):
            has_commas = has_commas or _DECIMAL_COMMA.fullmatch(cells[name]) is not None
            if not thousands and _THOUSANDS.fullmatch(cells[name]):
                thousands = f"line {number}: {name} is {cells[name]}"
    if has_commas and thousands:
        raise DataError(
            f"{path}, {thousands}, and other numbers have a decimal comma, so that it may be one "
            "of thousands. Write all numbers with a point, or this one without."
        )
    return list(objects.values())


_Objects = dict[tuple[str, str | int], dict[str, Any]]
"""What is known of each object, by image and name; one without a name has its row's number."""


def _add_row(objects: _Objects, cells: dict[str, str], number: int, path: Path) -> None:
    """Put a row of a CSV to the object that it is about."""
    image, own = cells.get("image", ""), cells.get("object", "")
    box = [_number(cells, name, number, path) for name in COLUMNS[2:6] if name in cells]
    is_alone = not own and (box or "mask" in cells)
    entry = objects.setdefault((image, number if is_alone else own), {"image": image})
    once = {name: cells[name] for name in ("mask", "category") if name in cells}
    for name, value in (once | ({"box": box} if box else {})).items():
        if entry.setdefault(name, value) != value:
            raise DataError(
                f"{path}, line {number}: object {own!r:.80} of {image!r:.300} has a {name} already "
                f"({entry[name]!s:.80}), and one is all it can have. Give each object of an image "
                "a name of its own in the column object."
            )
    if "x" in cells or "y" in cells:
        entry.setdefault("points", []).append([_number(cells, n, number, path) for n in "xy"])
        label = _number(cells, "label", number, path) if "label" in cells else 1.0
        entry.setdefault("labels", []).append(label)


def _number(cells: Mapping[str, str], name: str, number: int, path: Path) -> float:
    found = cells.get(name, "nothing")
    text = found.replace(",", ".") if _DECIMAL_COMMA.fullmatch(found) else found
    try:
        return float(text)
    except ValueError:
        raise DataError(
            f"{path}, line {number}: {name} is {found:.80}, expected a number with a point."
        ) from None


def _checked(content: object, number: int, path: Path) -> FilePrompt:
    try:
        return FilePrompt.model_validate(content)
    except ValidationError as error:
        message = validation_message(error.errors(include_url=False), root=f"prompts[{number}]")
        raise PromptError(f"{path}: {message}; expected {FORMS}.") from None
