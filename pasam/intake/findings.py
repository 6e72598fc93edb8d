"""What is really in a folder of images and masks: counts, sizes, kinds of masks, and faults."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from pasam.data.checking import check_image, image_task
from pasam.data.folder import Pair
from pasam.data.quarantine import Quarantine
from pasam.errors import DataError
from pasam.intake.mask_kinds import MaskKind, recognise
from pasam.parallel import spread

TINY = 64
"""Pixels below which a mask says little."""
FULL = 0.99
"""Share of the image above which a mask leaves nothing to find."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SetFinding:
    """What one split of one data set holds; only pairs that are fit count."""

    dataset: str
    split: str
    images: int
    masks: int
    smallest: tuple[int, int]
    """Width and height of the image with the fewest pixels."""
    largest: tuple[int, int]
    area: tuple[float, float, float]
    """Least, median and greatest share of its image that a mask covers."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Looked:
    """One image with its masks."""

    rows: tuple[dict[str, Any], ...]
    kinds: tuple[str, ...]
    faults: tuple[str, ...]
    warnings: tuple[str, ...]


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
    looked = list(spread(_look, tasks, workers=workers, label="checking images"))
    rows = [
        {**row, "kind": kind}
        for item in looked
        for row, kind in zip(item.rows, item.kinds, strict=True)
    ]
    rows.sort(key=lambda row: (row["dataset"], row["split"]))
    return Findings(
        sets=tuple(
            _sum_up(dataset, split, list(of_set))
            for (dataset, split), of_set in groupby(
                rows, key=lambda row: (row["dataset"], row["split"])
            )
        ),
        faults=(*faults, *(fault for item in looked for fault in item.faults), *_id_faults(rows)),
        warnings=(
            *warnings,
            *(warning for item in looked for warning in item.warnings),
            *_leaks(rows),
        ),
    )


def _look(pairs: Sequence[Pair]) -> _Looked:
    checked = check_image(image_task(tuple(pairs), Quarantine()))
    fit = tuple(row for row in checked if row["fault"] is None)
    kinds, warnings = [], []
    for row in fit:
        kind, doubt = _kind_of(row)
        kinds.append(kind)
        warnings += doubt
        mask, pixels = row["mask"], round(row["area"] * row["height"] * row["width"])
        if pixels < TINY:
            warnings.append(f"{mask} marks only {pixels} pixels.")
        if row["area"] > FULL:
            warnings.append(f"{mask} covers {row['area']:.1%} of its image.")
    return _Looked(
        rows=fit,
        kinds=tuple(kinds),
        faults=tuple(dict.fromkeys(row["message"] for row in checked if row["fault"] is not None)),
        warnings=tuple(warnings),
    )


def _kind_of(row: dict[str, Any]) -> tuple[str, list[str]]:
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


def _sum_up(dataset: str, split: str, rows: list[dict[str, Any]]) -> SetFinding:
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


def _id_faults(rows: list[dict[str, Any]]) -> list[str]:
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


def _leaks(rows: list[dict[str, Any]]) -> list[str]:
    """Name images that are to be learnt from and measured, by their content."""
    train = {row["image_sha256"]: row["image"] for row in rows if row["split"] == "train"}
    torn = {
        row["image"]: train[row["image_sha256"]]
        for row in rows
        if row["split"] == "val" and row["image_sha256"] in train
    }
    return [f"{val} (val) is the same picture as {other} (train)." for val, other in torn.items()]
