"""Look at one image and its masks before anything is written: what they hold, what is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pasam.data.images import read_image
from pasam.data.manifest import file_sha256
from pasam.errors import DataError
from pasam.intake.coco import pixels
from pasam.intake.mask_kinds import MaskKind, Reading, recognise
from pasam.intake.sources import Candidate, EncodedMask

CODED = "coded in COCO"
"""How the masks of a COCO file are called beside the kinds of mask files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One candidate to look at."""

    candidate: Candidate
    reading: Reading


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundObject:
    """One object, and how its mask is got."""

    origin: Path | EncodedMask
    label: str
    """Tells it from the other objects of its image; empty for a file that holds one object."""
    kind: str
    """A `MaskKind`, or `CODED`."""
    pixels: int
    sha256: str
    """Of the file or the code that it comes from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspected:
    """What came of looking at one candidate."""

    candidate: Candidate
    sha256: str
    """Of the image file; empty if it cannot be read."""
    objects: tuple[FoundObject, ...]
    voids: int
    """Index masks with void pixels, which belong to no object."""
    faults: tuple[str, ...]


def inspect(task: Task) -> Inspected:
    """Decode an image and its masks and recognise what they hold; never raises for bad data."""
    candidate = task.candidate
    try:
        height, width = read_image(candidate.image).shape[:2]
        sha256 = file_sha256(candidate.image)
    except (DataError, OSError) as error:
        return Inspected(candidate=candidate, sha256="", objects=(), voids=0, faults=(str(error),))
    objects: list[FoundObject] = []
    faults: list[str] = []
    voids = 0
    origins: tuple[Path | EncodedMask, ...] = (*candidate.masks, *candidate.encoded)
    for origin in origins:
        try:
            if isinstance(origin, EncodedMask):
                size, found, has_void = origin.size, [_coded(origin)], False
            else:
                recognised = recognise(origin, task.reading)
                size, has_void = recognised.size, recognised.has_void
                found = list(_of_file(origin, recognised.kind, recognised.objects))
        except DataError as error:
            faults.append(str(error))
            continue
        if size != (height, width):
            what = f"annotation {origin.label}" if isinstance(origin, EncodedMask) else origin
            faults.append(
                f"mask {what} is {size[0]} x {size[1]} (height x width) but its image "
                f"{candidate.image} is {height} x {width}. Export both at one size."
            )
            continue
        objects += found
        voids += has_void
    return Inspected(
        candidate=candidate,
        sha256=sha256,
        objects=tuple(objects),
        voids=voids,
        faults=tuple(faults),
    )


def _coded(mask: EncodedMask) -> FoundObject:
    digest = hashlib.sha256(repr(mask.size).encode() + mask.counts).hexdigest()
    return FoundObject(
        origin=mask, label=mask.label, kind=CODED, pixels=pixels(mask), sha256=digest
    )


def _of_file(
    file: Path, kind: MaskKind, objects: tuple[tuple[str, int], ...]
) -> Iterator[FoundObject]:
    digest = file_sha256(file)
    for label, count in objects:
        yield FoundObject(origin=file, label=label, kind=str(kind), pixels=count, sha256=digest)
