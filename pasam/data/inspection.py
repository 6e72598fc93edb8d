"""What is really in a set of one's own: of a candidate to register, or in a whole folder."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pasam.data.mask_kinds import MaskKind, Reading, recognise
from pasam.data.pairing import EncodedMask, Pair, PairCandidate
from pasam.data.preparation import Row, check_image, image_task
from pasam.data.quarantine import Quarantine
from pasam.errors import DataError
from pasam.files import file_sha256, sha256_of
from pasam.masks.images import read_image
from pasam.masks.run_lengths import area
from pasam.workers import parallel_map

CODED = "coded in COCO"
"""How the masks of a COCO file are called beside the kinds of mask files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectionTask:
    """One candidate to look at."""

    candidate: PairCandidate
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

    candidate: PairCandidate
    sha256: str
    """Of the image file; empty if it cannot be read."""
    objects: tuple[FoundObject, ...]
    voids: int
    """Index masks with void pixels, which belong to no object."""
    faults: tuple[str, ...]


def inspect(task: InspectionTask) -> Inspected:
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
    return FoundObject(
        origin=mask,
        label=mask.label,
        kind=CODED,
        pixels=area({"size": list(mask.size), "counts": mask.counts}),
        sha256=sha256_of(repr(mask.size) + mask.counts),
    )


def _of_file(
    file: Path, kind: MaskKind, objects: tuple[tuple[str, int], ...]
) -> Iterator[FoundObject]:
    digest = file_sha256(file)
    for label, count in objects:
        yield FoundObject(origin=file, label=label, kind=str(kind), pixels=count, sha256=digest)


TINY = 64
"""Pixels below which a mask says little."""
FULL = 0.99
"""Fraction of the image above which a mask leaves nothing to find."""


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
    grouped = groupby(pairs, key=lambda pair: (pair.split, pair.dataset, pair.image))
    tasks = [tuple(same) for _, same in grouped]
    rows: list[Row] = []
    faults, warnings = list(faults), list(warnings)
    for looked in parallel_map(_look, tasks, workers=workers, label="checking images"):
        rows += looked[0]
        faults += looked[1]
        warnings += looked[2]
    rows.sort(key=_set_of)
    return Findings(
        sets=tuple(_sum_up(*key, list(of_set)) for key, of_set in groupby(rows, key=_set_of)),
        faults=(*faults, *_id_faults(rows)),
        warnings=(*warnings, *_leakage(rows)),
    )


def _set_of(row: Row) -> tuple[str, str]:
    return row["dataset"], row["split"]


def _look(pairs: Sequence[Pair]) -> tuple[list[Row], list[str], list[str]]:
    """Check one image with its masks: the valid rows with their kinds, faults and warnings."""
    checked = check_image(image_task(tuple(pairs), Quarantine()))
    valid, warnings = [], []
    for row in (row for row in checked if row["fault"] is None):
        kind, doubt = _kind_of(row)
        valid.append({**row, "kind": kind})
        warnings += doubt
        mask, pixels = row["mask"], round(row["area"] * row["height"] * row["width"])
        if pixels < TINY:
            warnings.append(f"{mask} marks only {pixels} pixels.")
        if row["area"] > FULL:
            warnings.append(f"{mask} covers {row['area']:.1%} of its image.")
    faults = dict.fromkeys(row["message"] for row in checked if row["fault"] is not None)
    return valid, list(faults), warnings


def _kind_of(row: Row) -> tuple[str, list[str]]:
    """Name the kind of a mask that preparation takes, and say if it is taken for something else."""
    path = row["mask"]
    try:
        kind = recognise(Path(path)).kind
    except DataError as error:
        return "doubtful", [str(error)]
    if kind is not MaskKind.INDEX:
        return str(kind), []
    return str(kind), [
        f"{path} looks like an index mask, but is read as one object: what is above 128. "
        "Register the set with `pasam data add` to get one mask per object."
    ]


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


def _id_faults(rows: list[Row]) -> list[str]:
    """Name masks that the manifest could not tell apart."""
    seen: dict[str, str] = {}
    faults = []
    for row in rows:
        other = seen.setdefault(row["id"], row["mask"])
        if other != row["mask"]:
            faults.append(
                f"{other} and {row['mask']} would both be '{row['id']}' in the manifest. Rename "
                "one, or give its data set another name."
            )
    return faults


def _leakage(rows: list[Row]) -> list[str]:
    """Name images that are to be learnt from and measured, by their content."""
    train = {row["image_sha256"]: row["image"] for row in rows if row["split"] == "train"}
    torn = {
        row["image"]: train[row["image_sha256"]]
        for row in rows
        if row["split"] == "val" and row["image_sha256"] in train
    }
    return [f"{val} (val) is the same image as {other} (train)." for val, other in torn.items()]
