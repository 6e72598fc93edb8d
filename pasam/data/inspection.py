"""What is really in a set of one's own: of a candidate to register, or in a whole folder."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pasam.data.pairing import EncodedMask, Pair, PairCandidate
from pasam.data.preparation import Row, check_pairs
from pasam.data.quarantine import Quarantine
from pasam.errors import DataError
from pasam.files import file_sha256, sha256_of
from pasam.masks.images import LoadedImage, load_image, turned
from pasam.masks.mask_files import (
    MaskFile,
    Reading,
    check_fitness,
    grey_fraction,
    understand,
)
from pasam.masks.run_lengths import area, decode

CODED = "coded in COCO"
"""How the masks of a file of annotations are called beside the kinds of mask files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectionTask:
    """One candidate to look at."""

    candidate: PairCandidate
    reading: Reading
    page: int | None = None
    """Which page of every image's stack."""
    bands: tuple[int, ...] | None = None
    """Which bands of every image."""

    def load(self) -> LoadedImage:
        """Read the image."""
        return load_image(self.candidate.image, page=self.page, bands=self.bands)


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
    reading: Reading = Reading.AUTO
    orientation: int = 1
    """How the mask lies where it was drawn on the stored pixels of a turned image."""
    is_plain: bool = False
    """Whether the mask's file can be copied, rather than drawn anew."""

    def draw(self) -> NDArray[np.uint8]:
        """Give the mask, (H, W), 0..255, upright."""
        if isinstance(self.origin, EncodedMask):
            mask = decode(self.origin.code()).astype(np.uint8) * np.uint8(255)
        else:
            mask = _understood(self.origin, self.reading).mask(self.label)
        return turned(mask, self.orientation)


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspected:
    """What came of looking at one candidate."""

    candidate: PairCandidate
    sha256: str
    """Of the image file; empty if it cannot be read."""
    objects: tuple[FoundObject, ...] = ()
    voids: int = 0
    """Index masks with void pixels, which belong to no object."""
    notes: tuple[str, ...] = ()
    """What was understood of image and masks that a person might have meant otherwise."""
    faults: tuple[str, ...] = ()
    chosen: InspectionTask | None = None
    """What reads the part of the image that was chosen; None where the file is taken as it is."""


def _understood(path: Path, reading: Reading) -> MaskFile:
    """Read a mask file, again only if it has changed: its objects are drawn one after the other."""
    try:
        stat = path.stat()
    except OSError:
        return understand(path, reading)  # which says what is wrong
    return _understood_once(path, reading, (stat.st_mtime_ns, stat.st_size, stat.st_ino))


@functools.lru_cache(maxsize=1)
def _understood_once(path: Path, reading: Reading, state: tuple[int, ...]) -> MaskFile:
    return understand(path, reading)


def inspect(task: InspectionTask) -> Inspected:
    """Decode an image and its masks and recognise what they hold; never raises for bad data."""
    candidate = task.candidate
    try:
        image = task.load()
        sha256 = file_sha256(candidate.image)
    except (DataError, OSError) as error:
        return Inspected(candidate=candidate, sha256="", faults=(str(error),))
    objects: list[FoundObject] = []
    faults: list[str] = []
    notes, voids = list(image.notes), 0
    origins: tuple[Path | EncodedMask, ...] = (*candidate.masks, *candidate.encoded)
    for origin in origins:
        try:
            found, doubts, has_void = _objects(origin, image, task)
        except DataError as error:
            faults.append(str(error))
            continue
        objects += found
        notes += doubts
        voids += has_void
    return Inspected(
        candidate=candidate, sha256=sha256, objects=tuple(objects), voids=voids,
        notes=tuple(dict.fromkeys(notes)), faults=tuple(faults),
        chosen=task if task.page or task.bands else None,
    )  # fmt: skip


def _objects(
    origin: Path | EncodedMask, image: LoadedImage, task: InspectionTask
) -> tuple[list[FoundObject], list[str], bool]:
    """Understand one mask file or code, and check each of its objects as preparation would."""
    understood, soft = None, 0.0
    labels: tuple[tuple[str, int], ...]
    shape: tuple[int, ...]
    if isinstance(origin, EncodedMask):
        shape, labels, name = origin.size, ((origin.label, area(origin.code())),), origin.name
        digest, kind = sha256_of(repr(origin.size) + origin.counts), CODED
    else:
        understood = _understood(origin, task.reading)
        labels, name, kind = understood.objects, str(origin), str(understood.kind)
        shape, digest = understood.values.shape, file_sha256(origin)
        if labels[0][0] == "":
            soft = grey_fraction(understood.values)
    size, orientation, notes = (
        image.pixels.shape[:2],
        1,
        list(understood.notes if understood else ()),
    )
    if image.orientation >= 5 and shape == size[::-1] and shape != size:
        orientation, shape = image.orientation, size
        notes.append("its mask was drawn on the stored pixels, and is turned upright with them")
    found = []
    for label, pixels in labels:
        who = f"{name}, object {label}" if len(labels) > 1 else name
        notes += check_fitness(
            shape, size, inside=pixels, soft=soft, name=who, image=task.candidate.image
        )
        found.append(
            FoundObject(
                origin=origin, label=label, kind=kind, pixels=pixels, sha256=digest,
                reading=task.reading, orientation=orientation,
                is_plain=understood is not None and understood.is_plain and orientation == 1,
            )
        )  # fmt: skip
    return found, notes, understood is not None and understood.has_void


@dataclass(frozen=True, kw_only=True, slots=True)
class SetFinding:
    """What one split of one data set holds; only valid pairs count."""

    dataset: str
    split: str
    images: int
    masks: int
    smallest: tuple[int, int]
    """Width and height of the image with the fewest pixels."""
    largest: tuple[int, int]
    area: tuple[float, float, float]
    """Least, median and greatest fraction of its image that a mask covers."""
    kinds: dict[str, int]
    """Masks of every kind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """All that was found."""

    sets: tuple[SetFinding, ...]
    faults: tuple[str, ...]
    """What `prepare` would refuse."""
    warnings: tuple[str, ...]
    """What it would take, and should perhaps not."""


def survey(
    pairs: Sequence[Pair], *, workers: int, faults: Sequence[str] = (), warnings: Sequence[str] = ()
) -> Findings:
    """Read every pair as preparation would, and sum up what is there.

    Args:
        pairs: Sorted pairs.
        workers: Processes.
        faults: What is wrong with the pairing already.
        warnings: What is known to be odd already.
    """
    checked = check_pairs(pairs, Quarantine(), workers=workers)
    rows = sorted((row for row in checked if row["fault"] is None), key=_set_of)
    bad = dict.fromkeys(row["message"] for row in checked if row["fault"] is not None)
    doubts = dict.fromkeys(doubt for row in rows for doubt in row["doubts"])
    return Findings(
        sets=tuple(_sum_up(*key, list(of_set)) for key, of_set in groupby(rows, key=_set_of)),
        faults=(*faults, *bad),
        warnings=(*warnings, *doubts, *_leakage(rows)),
    )


_IN_A_SERIES = re.compile(r"(.*[0-9])[^0-9]+[0-9]+")
"""A name whose last number counts frames, slices or shots of what the numbers before it name."""


def remarks_on_split(splits: Iterable[tuple[PairCandidate, str]]) -> list[str]:
    """Say what should be on one side of a split and is on both: groups, or series by their names.

    A series is what images' names have before their last number where that has a number too: of
    `patient01_003` it is `patient01`. Where all images are of one there is nothing to tell.

    Args:
        splits: Each image, and its split.
    """
    every = list(splits)
    if groups := _torn((candidate.group, split) for candidate, split in every):
        return [
            f"{len(groups)} groups are in train and in val, e.g. {groups[0]}, so the scores will "
            "flatter: give all images of a group one split"
        ]
    alone = [(candidate.name, split) for candidate, split in every if not candidate.group]
    found = [(match[1], split) for name, split in alone if (match := _IN_A_SERIES.fullmatch(name))]
    series = _torn(found) if len({name for name, _ in found}) > 1 else []
    if not series:
        return []
    return [
        f"images of {len(series)} series, by their names, are in train and in val, e.g. those of "
        f"{series[0]}; if they are of one film or patient, --group '^.*[0-9](?=[^0-9]+[0-9]+$)' "
        "keeps them together"
    ]


def _torn(splits: Iterable[tuple[str | None, str]]) -> list[str]:
    """Give the groups that are learnt from and measured, sorted."""
    parts: dict[str, set[str]] = {}
    for group, split in splits:
        if group:
            parts.setdefault(group, set()).add(split)
    return sorted(group for group, of_group in parts.items() if len(of_group) > 1)


def _set_of(row: Row) -> tuple[str, str]:
    return row["dataset"], row["split"]


def _sum_up(dataset: str, split: str, rows: list[Row]) -> SetFinding:
    sizes = sorted({(row["width"], row["height"]) for row in rows}, key=math.prod)
    areas = sorted(row["area"] for row in rows)
    return SetFinding(
        dataset=dataset,
        split=split,
        images=len({row["image"] for row in rows}),
        masks=len(rows),
        smallest=sizes[0],
        largest=sizes[-1],
        area=(areas[0], areas[len(areas) // 2], areas[-1]),
        kinds=dict(sorted(Counter(row["kind"] for row in rows).items())),
    )


def _leakage(rows: list[Row]) -> list[str]:
    """Name images, by their content, and groups that are to be learnt from and measured."""
    train = {row["image_sha256"]: row["image"] for row in rows if row["split"] == "train"}
    torn = {
        row["image"]: train[row["image_sha256"]]
        for row in rows
        if row["split"] == "val" and row["image_sha256"] in train
    }
    said = [f"{val} (val) is the same image as {other} (train)." for val, other in torn.items()]
    named = [
        (None if row["group"] == row["image_sha256"] else row["group"], row["split"])
        for row in rows
    ]
    groups = _torn(named)
    return said + [f"the group {group} is in train and in val." for group in groups]
