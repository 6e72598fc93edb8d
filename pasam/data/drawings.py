"""Objects that a file of annotations draws: found images, safe names, and one code for all."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasam.data.pairing import EncodedMask, PairCandidate, Source, list_images
from pasam.errors import DataError
from pasam.files import portable_path
from pasam.masks.images import open_image, orientation_of
from pasam.masks.run_lengths import Rle, area, encode, from_segmentation

_NOT_PLAIN = re.compile(r"[^\w-]+")
_LONGEST_LABEL = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnAs:
    """One object as a tool wrote it down."""

    label: str
    drawing: Any
    """COCO's polygons, in pixels, or run lengths; `Shares`; or a mask, (H, W)."""
    name: str
    """What messages call it."""
    category: str = "object"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """Polygons whose corners are fractions of the image's width and height."""

    polygons: list[list[float]]
    """Lists x, y, x, y, ..."""

    def in_pixels(self, size: tuple[int, int]) -> list[list[float]]:
        """Scale them to an image of this height and width."""
        sides = (size[1], size[0])
        return [[one * sides[i % 2] for i, one in enumerate(part)] for part in self.polygons]


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
    faults: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Source:
    """Find the images of a file of annotations, and bring its drawings to run lengths.

    Args:
        kind: What the source is called in the set's description.
        file: The annotations, for messages.
        images: Folder of the images. A name that leads outside of it, or to another machine, is
            looked for by its last part.
        annotated: What the file holds.
        categories: Names of the categories that are taken; all if none.
        faults: What is wrong already.
        notes: What was left out.
    """
    if not images.is_dir():
        raise DataError(f"The folder {images} (--images) does not exist.")
    known = {drawn.category for one in annotated for drawn in one.objects}
    if strangers := sorted(set(categories) - known):
        raise DataError(f"{file} has no category {strangers} (--category), only {sorted(known)}.")
    there = _Folder(images)
    candidates, found, said, others = [], list(faults), list(notes), 0
    for one in annotated:
        image = there.find(one.name)
        if image is None:
            found.append(f"{file}: image {images / one.name} does not exist.")
            continue
        try:
            size = one.size or _stored_size(image)
        except DataError as error:
            found.append(str(error))
            continue
        encoded = []
        for drawn in one.objects:
            if categories and drawn.category not in categories:
                others += 1
                continue
            try:
                encoded.append(_encoded(drawn, size))
            except DataError as error:
                found.append(f"{file}: {drawn.name} {error}.")
        name = image.relative_to(images).with_suffix("").as_posix()
        if encoded:
            candidates.append(
                PairCandidate(image=image, name=name, encoded=tuple(encoded), group=one.group)
            )
    for image, count in Counter(candidate.image for candidate in candidates).items():
        if count > 1:
            found.append(f"{file}: {count} of its images are {image}. Keep one.")
    said += [f"{others} annotations of other categories are left out"] if others else []
    if there.by_last_part:
        said.append(
            f"{there.by_last_part} images were found by the last part of their path in {file.name}"
        )
    return Source(kind=kind, candidates=tuple(candidates), faults=tuple(found), notes=tuple(said))


class _Folder:
    """A folder of images, in which names are looked up that other machines wrote."""

    def __init__(self, root: Path) -> None:
        self.root, self.by_last_part = root, 0
        self._listed: dict[str, Path] | None = None
        self._last: dict[str, list[Path]] = {}

    def find(self, name: str) -> Path | None:
        """Find an image by its name; None if it is not there, or not told from another."""
        turned = name.replace("\\", "/")
        for spelling in dict.fromkeys((name, turned)):
            try:
                path = self.root / portable_path(spelling)
            except DataError:
                continue
            if path.is_file():
                return path
        listed = self._all()
        form = unicodedata.normalize("NFC", turned)
        if form in listed:
            return listed[form]
        same = self._last.get(form.rpartition("/")[2], [])
        if len(same) != 1 or "/" not in form:
            return None
        self.by_last_part += 1
        return same[0]

    def _all(self) -> dict[str, Path]:
        if self._listed is None:
            self._listed = {}
            for path in list_images(self.root, deep=True):
                form = unicodedata.normalize("NFC", path.relative_to(self.root).as_posix())
                self._listed[form] = path
                self._last.setdefault(form.rpartition("/")[2], []).append(path)
        return self._listed


def _stored_size(image: Path) -> tuple[int, int]:
    """Read height and width of an image, upright, from its header."""
    with open_image(image) as opened:
        width, height = opened.size
        return (width, height) if orientation_of(opened) >= 5 else (height, width)


def _encoded(drawn: DrawnAs, size: tuple[int, int]) -> EncodedMask:
    drawing = drawn.drawing.in_pixels(size) if isinstance(drawn.drawing, Shares) else drawn.drawing
    if drawing is None or (isinstance(drawing, list | dict) and not drawing):
        raise DataError("has no segmentation; a box alone is no mask")
    code = _code(drawing, size)
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
        raise DataError(f"has the segmentation {drawing!r}, expected polygons or run lengths")
    return from_segmentation(drawing, *size)
