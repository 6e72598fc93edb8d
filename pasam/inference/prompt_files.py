"""Prompts that stand in a file: CSV, JSON or COCO; boxes, points on and beside, and mask images."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from pasam.errors import DataError, PasamError, PromptError
from pasam.files import is_regular, read_csv, read_json
from pasam.inference.image_prompt import Label, Number, image_prompt, validation_message
from pasam.inference.prompting import OBJECT, PromptedObject, PromptsByImage
from pasam.masks.images import foreground
from pasam.masks.mask_files import read_mask

COLUMNS = ("image", "object", "x0", "y0", "x1", "y1", "x", "y", "label", "mask")
"""Columns of a CSV file; all but the first may be absent or empty."""
FORMS = (
    "a CSV with the columns image and x0,y0,x1,y1 or x,y,label or mask; a JSON list of "
    '{"image": "photo.jpg", "box": [x0, y0, x1, y1], "points": [[x, y]], "labels": [1], '
    '"mask": "mask.png"}; or a COCO set, whose boxes are taken'
)


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
    entries = list(_read_csv(path) if path.suffix.lower() == ".csv" else _read_json(path))
    if not entries:
        raise DataError(f"{path} holds no prompt; expected {FORMS}.")
    names = sorted({entry.category for entry in entries} - {""})
    categories = dict(enumerate(names, start=1)) if names else OBJECT
    ids = {name: identity for identity, name in categories.items()}
    by_image: dict[Path, list[PromptedObject]] = {image: [] for image in images}
    meant = _ImageNames(path, images)
    for number, entry in enumerate(entries):
        try:
            mask = None if entry.mask is None else foreground(read_mask(path.parent / entry.mask))
            prompt = image_prompt(
                box=entry.box, points=entry.points, labels=entry.labels, mask=mask
            )
            image = meant[entry.image]
        except PasamError as error:
            error.args = (f"{path}, prompt {number}: {error!s:.600}",)
            raise error from None
        kind = entry.category
        extra = {"category_id": ids[kind], "category": kind} if kind else {}
        by_image[image].append(PromptedObject(prompt, extra))
    return PromptsByImage(categories, by_image, upright=True)


def images_of(path: Path) -> list[Path]:
    """Find the images that a file of prompts names, each once, in its order.

    Raises:
        DataError: The file is missing or in no known form, or an image is not there.
    """
    entries = _read_csv(path) if path.suffix.lower() == ".csv" else _read_json(path)
    names = dict.fromkeys(entry.image for entry in entries)
    found = list(dict.fromkeys(path.parent / name for name in names))
    absent = [image for image in found if not is_regular(image)]
    if absent:
        name = str(absent[0])[:300]
        raise DataError(f"{path} names {name}, which does not exist; name the images too.")
    return found


class _ImageNames(dict[str, Path]):
    """The images that names in a file mean, each looked for once.

    Args:
        path: The file.
        images: The images that there are.
    """

    def __init__(self, path: Path, images: Sequence[Path]) -> None:
        super().__init__()
        self._folder, self._count = path.parent, len(images)
        self._whole: dict[str, list[Path]] = {}
        self._last: dict[str, list[Path]] = {}
        for image in images:
            self._whole.setdefault(_plain(image.absolute()), []).append(image)
            self._last.setdefault(_plain(image.name), []).append(image)

    def __missing__(self, name: str) -> Path:
        """Find the image that a name means.

        Raises:
            DataError: It means none, or several.
        """
        wanted, place = _plain(name), _plain((self._folder / name).absolute())
        found = self._whole.get(place) or [
            image
            for image in self._last.get(wanted.rpartition("/")[2], ())
            if f"/{_plain(image)}".endswith(f"/{wanted}")
        ]
        if not found:
            raise DataError(
                f"the image {name!r} is none of the {self._count} images given. Give it too, or "
                "take its prompts out."
            )
        if len(found) > 1:
            raise DataError(
                f"the image {name!r} may be {found[0]} or {found[1]}; write its folder."
            )
        self[name] = found[0]
        return found[0]


def _plain(name: str | Path) -> str:
    return unicodedata.normalize("NFC", Path(name).as_posix())


def _read_json(path: Path) -> list[FilePrompt]:
    content = read_json(path, advice=f"Expected {FORMS}.")
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
    return _checked(content, path)


def _of_coco(content: Mapping[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    try:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        kinds = {kind["id"]: kind["name"] for kind in content.get("categories", ())}
        for each in content["annotations"]:
            x, y, width, height = each["bbox"]
            kind = kinds.get(each.get("category_id"), "")
            box = (x, y, x + width, y + height)
            yield {"image": names[each["image_id"]], "box": box, "category": kind}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is not in COCO's form ({type(error).__name__}: {error!s:.80}); every "
            "annotation needs image_id and bbox (x, y, width, height)."
        ) from None


def _read_csv(path: Path) -> list[FilePrompt]:
    names, rows = read_csv(path, advice=f"Expected {FORMS}.")
    unknown = [name for name in names if name not in (*COLUMNS, "category")]
    if "image" not in names or unknown:
        raise DataError(f"{path} has the columns {', '.join(names)[:200]}; expected {FORMS}.")
    objects: dict[tuple[str, str], dict[str, Any]] = {}
    for number, cells in rows:
        _add_row(objects, cells, number, path)
    return _checked(list(objects.values()), path)


def _add_row(
    objects: dict[tuple[str, str], dict[str, Any]], cells: dict[str, str], number: int, path: Path
) -> None:
    """Put a row of a CSV to the object that it is about."""
    image, own = cells.get("image", ""), cells.get("object", "")
    box = [_number(cells, name, number, path) for name in COLUMNS[2:6] if name in cells]
    if not own and (box or "mask" in cells):
        own = f"row {number}"
    entry = objects.setdefault((image, own), {"image": image})
    if box:
        entry["box"] = box
    if "x" in cells or "y" in cells:
        entry.setdefault("points", []).append([_number(cells, n, number, path) for n in "xy"])
        label = _number(cells, "label", number, path) if "label" in cells else 1.0
        entry.setdefault("labels", []).append(label)
    entry |= {name: cells[name] for name in ("mask", "category") if name in cells}


def _number(cells: Mapping[str, str], name: str, number: int, path: Path) -> float:
    try:
        return float(cells[name])
    except (KeyError, ValueError):
        found = cells.get(name, "nothing")
        raise DataError(f"{path}, line {number}: {name} is {found}, expected a number.") from None


def _checked(content: object, path: Path) -> list[FilePrompt]:
    try:
        return TypeAdapter(list[FilePrompt]).validate_python(content)
    except ValidationError as error:
        message = validation_message(error.errors(include_url=False), root="prompts")
        raise PromptError(f"{path}: {message}; expected {FORMS}.") from None
