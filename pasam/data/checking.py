"""Checking one's own pairs: what is fit is measured, what is not is named and left out."""

# Shapes: H, W of an image and its mask.

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasam.data.census import measure_image, soft_share, stored_form, unfit_row
from pasam.data.faults import QUARANTINED, Fault
from pasam.data.folder import Pair, find_pairs
from pasam.data.images import FOREGROUND, read_image, read_mask
from pasam.data.manifest import describe_pair, file_sha256
from pasam.data.quarantine import Quarantine
from pasam.errors import UnfitError
from pasam.parallel import spread

Row = dict[str, Any]

MOST_SOFT = 0.5
"""Share of grey pixels beyond which a file is a picture rather than a mask with soft edges."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageTask:
    """One image with its masks, and those of its files that are in quarantine."""

    pairs: tuple[Pair, ...]
    reasons: tuple[str | None, ...]
    """Why the pair of the same place is left out without a look; None for what is checked."""


def collect_own(own: Path, quarantine: Quarantine, *, workers: int) -> list[Row]:
    """Check every pair of one's own folder and describe it.

    Args:
        own: Folder as `find_pairs` reads it.
        quarantine: Files that are left out.
        workers: Processes.

    Returns:
        Rows of the census, fit and unfit, in the order of the pairs.

    Raises:
        DataError: The folder, its table or its layout cannot be understood at all.
    """
    pairs, faults = find_pairs(own)
    unpaired = [unfit_row(_reviewed(fault, quarantine)) for fault in faults]
    return check_pairs(pairs, quarantine, workers=workers) + unpaired


def check_pairs(pairs: Sequence[Pair], quarantine: Quarantine, *, workers: int) -> list[Row]:
    """Check pairs and describe them.

    Args:
        pairs: Sorted, so that the masks of one image stand together.
        quarantine: Files that are left out.
        workers: Processes.

    Returns:
        Rows of the census, fit and unfit, in the order of the pairs.
    """
    grouped = groupby(pairs, key=lambda pair: (pair.split, pair.dataset, pair.image))
    tasks = [image_task(tuple(same), quarantine) for _, same in grouped]
    checked = spread(check_image, tasks, workers=workers, label="checking images")
    return _one_mask_per_id([row for of_image in checked for row in of_image])


def check_image(task: ImageTask) -> tuple[Row, ...]:
    """Decode one image and all its masks; measure those that are fit and name the others."""
    rows: list[Row | None] = [
        None if reason is None else unfit_row(pair.fault(QUARANTINED, reason))
        for pair, reason in zip(task.pairs, task.reasons, strict=True)
    ]
    if None not in rows:
        return tuple(row for row in rows if row is not None)
    image = task.pairs[0].image
    try:
        pixels = read_image(image)
    except UnfitError as error:
        blamed = [unfit_row(pair.fault(error.kind, str(error))) for pair in task.pairs]
        return tuple(row or fault for row, fault in zip(rows, blamed, strict=True))
    of_image = measure_image(pixels) | stored_form(image)
    digest = file_sha256(image)
    return tuple(
        row or _check_mask(pair, pixels.shape[:2], of_image, digest)
        for row, pair in zip(rows, task.pairs, strict=True)
    )


def _check_mask(pair: Pair, size: tuple[int, int], of_image: Row, image_sha256: str) -> Row:
    try:
        label = read_mask(pair.mask)
        _require_fit(pair, label, size)
    except UnfitError as error:
        return unfit_row(pair.fault(error.kind, str(error)))
    described = describe_pair(
        split=pair.split, dataset=pair.dataset, image=pair.image, mask=pair.mask,
        label=label, image_sha256=image_sha256,
    )  # fmt: skip
    return {**described, "fault": None, "message": None, **of_image, "soft": soft_share(label)}


def _require_fit(pair: Pair, label: NDArray[np.uint8], size: tuple[int, int]) -> None:
    """Refuse a mask, (H, W), that does not belong to the image's size or marks no object."""
    if label.shape != size:
        raise UnfitError(
            f"mask {pair.mask} is {label.shape[0]} x {label.shape[1]} (height x width) but its "
            f"image {pair.image} is {size[0]} x {size[1]}. Export both at one size.",
            kind="size_mismatch",
        )
    inside = np.count_nonzero(label > FOREGROUND)
    if inside == 0:
        raise UnfitError(
            f"mask {pair.mask} has no pixel above {FOREGROUND}. Draw it with 255.",
            kind="empty_mask",
        )
    if inside == label.size:
        raise UnfitError(
            f"mask {pair.mask} marks every pixel, so there is nothing to tell apart. Draw the "
            "object alone, or remove the file and its entry.",
            kind="full_mask",
        )
    soft = soft_share(label)
    if soft > MOST_SOFT:
        raise UnfitError(
            f"mask {pair.mask} is a picture: {soft:.0%} of its pixels are grey, neither black nor "
            "white. Was an image saved in its place? Export the mask again.",
            kind="grey_mask",
        )


def image_task(pairs: tuple[Pair, ...], quarantine: Quarantine) -> ImageTask:
    """Look up which masks of one image are in quarantine."""
    of_image = quarantine.reason_for(pairs[0].image)
    reasons = tuple(of_image or quarantine.reason_for(pair.mask) for pair in pairs)
    return ImageTask(pairs=pairs, reasons=reasons)


def _reviewed(fault: Fault, quarantine: Quarantine) -> Fault:
    """Turn a fault of pairing into a reviewed one where its file is in quarantine."""
    reason = quarantine.reason_for(fault.mask) or quarantine.reason_for(fault.image)
    if reason is None:
        return fault
    return dataclasses.replace(fault, kind=QUARANTINED, message=reason)


def _one_mask_per_id(rows: Sequence[Row]) -> list[Row]:
    """Leave out every mask whose id a mask before it has."""
    first: dict[str, Row] = {}
    kept = []
    for row in rows:
        owner = row if row["fault"] is not None else first.setdefault(row["id"], row)
        kept.append(row if owner is row else unfit_row(_taken(row, owner)))
    return kept


def _taken(row: Row, first: Row) -> Fault:
    return Fault(
        kind="id_taken", split=row["split"], dataset=row["dataset"], image=Path(row["image"]),
        mask=Path(row["mask"]),
        message=(
            f"{first['mask']} and {row['mask']} would both be '{row['id']}' in the manifest; ids "
            "are '<dataset>/<name of the mask>'. Rename one file, or give its data set another "
            "name."
        ),
    )  # fmt: skip
