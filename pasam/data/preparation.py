"""Preparation: check all pairs, draw the synthetic sets, and list everything in one inventory.

Valid items are measured, others are named and left out. Work is spread over processes; results come
back in order, so their number changes nothing.
"""

# Shapes: H, W of an image and its mask.

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasam.config.schema import DataParams, GeneratedParams
from pasam.data.catalogue import (
    DEVELOPMENT_SETS,
    GENERATED_BENCHMARKS,
    PACKAGE,
    PHOTOS,
    PRETRAINING_SET,
    TRAINING_SET,
    read_catalogue,
)
from pasam.data.manifest import (
    QUARANTINED,
    Fault,
    describe_pair,
    invalid_row,
    inventory_frame,
    measure_image,
    soft_fraction,
    stored_form,
)
from pasam.data.package_photographs import package_photographs
from pasam.data.pairing import Pair, find_pairs
from pasam.data.quarantine import Quarantine
from pasam.errors import DataError, InvalidItemError
from pasam.files import file_sha256
from pasam.masks.images import foreground, load_image, write_png
from pasam.masks.mask_files import check_fitness, grey_fraction, read_one
from pasam.synthetic.scene import draw_scene
from pasam.workers import parallel_map

Row = dict[str, Any]

_SEED_SETS = (TRAINING_SET, *GENERATED_BENCHMARKS, PRETRAINING_SET)
_SCENES_PER_SET = 10_000_000
AS_WRITTEN = {"depth": 8, "orientation": 1}
"""How `write_png` stores an image, as `stored_form` would read it."""
_OBJECTS = (1, 3)  # fewest and most objects of a training scene


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
        Rows of the inventory, valid and invalid, in the order of the pairs.

    Raises:
        DataError: The folder, its table or its layout cannot be understood at all.
    """
    pairs, faults = find_pairs(own)
    unpaired = [invalid_row(_reviewed(fault, quarantine)) for fault in faults]
    return check_pairs(pairs, quarantine, workers=workers) + unpaired


def check_pairs(pairs: Sequence[Pair], quarantine: Quarantine, *, workers: int) -> list[Row]:
    """Check pairs and describe them.

    Args:
        pairs: Sorted, so that the masks of one image stand together.
        quarantine: Files that are left out.
        workers: Processes.

    Returns:
        Rows of the inventory, valid and invalid, in the order of the pairs.
    """
    grouped = groupby(pairs, key=lambda pair: (pair.split, pair.dataset, pair.image))
    tasks = [image_task(tuple(same), quarantine) for _, same in grouped]
    checked = parallel_map(check_image, tasks, workers=workers, label="checking images")
    return _one_mask_per_id([row for of_image in checked for row in of_image])


def check_image(task: ImageTask) -> tuple[Row, ...]:
    """Decode one image and all its masks; measure those that are valid and name the others."""
    rows: list[Row | None] = [
        None if reason is None else invalid_row(pair.fault(QUARANTINED, reason))
        for pair, reason in zip(task.pairs, task.reasons, strict=True)
    ]
    if None not in rows:
        return tuple(row for row in rows if row is not None)
    image = task.pairs[0].image
    try:
        loaded = load_image(image)
    except InvalidItemError as error:
        blamed = [invalid_row(pair.fault(error.kind, str(error))) for pair in task.pairs]
        return tuple(row or fault for row, fault in zip(rows, blamed, strict=True))
    of_image = measure_image(loaded.pixels) | stored_form(image)
    digest = file_sha256(image)
    return tuple(
        row or _check_mask(pair, loaded.pixels.shape[:2], of_image, digest, loaded.notes)
        for row, pair in zip(rows, task.pairs, strict=True)
    )


def _check_mask(
    pair: Pair, size: tuple[int, int], measured: Row, image_sha256: str, notes: tuple[str, ...]
) -> Row:
    try:
        found = read_one(pair.mask)
        label = found.mask(found.objects[0][0])
        doubts = check_fitness(
            label.shape, size, inside=int(np.count_nonzero(foreground(label))),
            soft=grey_fraction(label), name=pair.mask, image=pair.image,
        )  # fmt: skip
    except InvalidItemError as error:
        return invalid_row(pair.fault(error.kind, str(error)))
    said = [f"{pair.image}: {note}." for note in notes]
    said += [f"{pair.mask}: {note}." for note in found.notes]
    row = _valid_row(pair, label, measured, image_sha256)
    return {**row, "kind": str(found.kind), "doubts": (*said, *doubts)}


def _valid_row(pair: Pair, label: NDArray[np.uint8], measured: Row, image_sha256: str) -> Row:
    described = describe_pair(
        split=pair.split, dataset=pair.dataset, image=pair.image, mask=pair.mask,
        label=label, image_sha256=image_sha256, group=pair.group,
    )  # fmt: skip
    return {**described, "fault": None, "message": None, **measured, "soft": soft_fraction(label)}


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


def _unless_reviewed(row: Row, quarantine: Quarantine) -> Row:
    """Leave a drawn mask out where it or its image is in quarantine."""
    image, mask = Path(row["image"]), Path(row["mask"])
    reason = quarantine.reason_for(image) or quarantine.reason_for(mask)
    if reason is None:
        return row
    pair = Pair(split=row["split"], dataset=row["dataset"], image=image, mask=mask)
    return invalid_row(pair.fault(QUARANTINED, reason))


def _one_mask_per_id(rows: Sequence[Row]) -> list[Row]:
    """Leave out every mask whose id a mask before it has, even with its folders in it."""
    first: dict[str, Row] = {}
    kept = []
    for row in _with_folders_in_ids(rows):
        owner = row if row["fault"] is not None else first.setdefault(row["id"], row)
        kept.append(row if owner is row else invalid_row(_taken(row, owner)))
    return kept


def _with_folders_in_ids(rows: Sequence[Row]) -> list[Row]:
    """Put what parts masks of one name, as `a/1.png` and `b/1.png`, into their ids."""
    same: dict[str, set[str]] = {}
    for row in rows:
        if row["fault"] is None:
            same.setdefault(row["id"], set()).add(row["mask"])
    longer = {}
    for identity, masks in same.items():
        whole = {mask: Path(mask).absolute() for mask in masks if len(masks) > 1}
        top = os.path.commonpath([path.parent for path in whole.values()] or [Path()])
        dataset = identity.partition("/")[0]
        for mask, path in whole.items():
            below = path.relative_to(top).with_suffix("")
            longer[identity, mask] = f"{dataset}/{'_'.join(below.parts)}"
    named = [longer.get((row["id"], row["mask"]), row["id"]) for row in rows]
    return [
        row if row["fault"] is not None or row["id"] == name else {**row, "id": name}
        for row, name in zip(rows, named, strict=True)
    ]


def _taken(row: Row, first: Row) -> Fault:
    return Fault(
        kind="id_taken", split=row["split"], dataset=row["dataset"], image=Path(row["image"]),
        mask=Path(row["mask"]),
        message=(
            f"{first['mask']} and {row['mask']} would both be '{row['id']}' in the manifest; ids "
            "are '<dataset>/<name of the mask>', with its folders where names clash. Rename one "
            "file, or give its data set another name."
        ),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneTask:
    """One scene to draw and where to put it."""

    split: str
    dataset: str
    family: str
    seed: int
    side: int
    objects: int
    held_out: bool
    folder: Path
    stem: str


def take_inventory(
    data: DataParams, quarantine: Quarantine, out_dir: Path, public: Sequence[Pair] = ()
) -> pd.DataFrame:
    """Collect everything there is to train on and to measure, and what is invalid.

    Args:
        data: The section `data` of the params.
        quarantine: Files that are left out.
        out_dir: Folder that receives the generated images.
        public: Pairs of the public sets that `data.catalogue` names.

    Returns:
        The inventory of own, public and generated pairs; its valid rows are the manifest.

    Raises:
        DataError: The own folder cannot be understood, or there is no data at all.
    """
    rows = collect_own(Path(data.own), quarantine, workers=data.workers)
    rows += check_pairs(public, quarantine, workers=data.workers)
    drawn = draw_generated(data.generated, out_dir, workers=data.workers)
    if any(entry.role == PACKAGE for entry in read_catalogue().select(data.catalogue)):
        drawn += list_photographs(out_dir / PHOTOS)
    rows += [_unless_reviewed(row, quarantine) for row in drawn]
    if not rows:
        raise DataError(
            f"There is no data: data.generated.train_images and .benchmark_images are 0, "
            f"data.catalogue is empty and data.own ({data.own}) holds no pairs. Raise the numbers, "
            "name public sets, or register your own with `pasam data add`."
        )
    return inventory_frame(rows)


def list_photographs(folder: Path) -> list[Row]:
    """Draw the masks of the photographs that ship with packages, and describe each pair.

    The photographs stay where they are; the manifest names package, version and file.

    Args:
        folder: Receives `gt/<photograph>_<number>.png`.

    Raises:
        DataError: A package is not installed, or ships another photograph under the name.
    """
    rows = []
    for photograph in package_photographs():
        pixels = photograph.read()
        measured = measure_image(pixels) | stored_form(photograph.path)
        for number, thing in enumerate(photograph.objects):
            label = thing.mask(pixels.shape[:2])
            mask = folder / "gt" / f"{photograph.name}_{number:02d}.png"
            write_png(mask, label)
            pair = Pair(split="val", dataset=PHOTOS, image=photograph.listed, mask=mask)
            rows.append(_valid_row(pair, label, measured, photograph.sha256))
    return rows


def draw_generated(params: GeneratedParams, out_dir: Path, *, workers: int) -> list[Row]:
    """Draw the generated training set and benchmarks as PNG files and describe them.

    Args:
        params: How many images, how large, and from which seed.
        out_dir: Receives `<dataset>/im/<number>.png` and `<dataset>/gt/<number>_<object>.png`.
        workers: Processes.

    Returns:
        Rows of the inventory.

    Raises:
        DataError: More images were asked for than there are seeds in a set.
    """
    tasks = list(_scene_tasks(params, out_dir))
    drawn = parallel_map(write_scene, tasks, workers=workers, label="drawing images")
    return [row for rows in drawn for row in rows]


def write_scene(task: SceneTask) -> tuple[Row, ...]:
    """Draw one scene, write its image and masks, and describe each pair."""
    scene = draw_scene(
        family=task.family, seed=task.seed, side=task.side, held_out=task.held_out,
        objects=task.objects,
    )  # fmt: skip
    image = task.folder / "im" / f"{task.stem}.png"
    write_png(image, scene.image)
    image_sha256 = file_sha256(image)
    measured = measure_image(scene.image) | AS_WRITTEN
    rows = []
    for index, label in enumerate(scene.masks):
        mask = task.folder / "gt" / f"{task.stem}_{index}.png"
        write_png(mask, label)
        pair = Pair(split=task.split, dataset=task.dataset, image=image, mask=mask)
        rows.append(_valid_row(pair, label, measured, image_sha256))
    return tuple(rows)


def scene_seed(seed: int, *, dataset: str, index: int) -> int:
    """Give the scene `index` of a generated set a seed that no other scene of any set has.

    Args:
        seed: `data.generated.seed`.
        dataset: `TRAINING_SET`, one of `GENERATED_BENCHMARKS`, or `PRETRAINING_SET`.
        index: Number of the scene, from 0.

    Raises:
        DataError: The index is beyond the seeds of a set.
    """
    if not 0 <= index < _SCENES_PER_SET:
        raise DataError(
            f"Scene {index} of {dataset} was asked for; a generated set holds at most "
            f"{_SCENES_PER_SET} scenes. Lower data.generated or pretrain.generated_images."
        )
    return (seed * len(_SEED_SETS) + _SEED_SETS.index(dataset)) * _SCENES_PER_SET + index


def training_objects(seed: int) -> int:
    """Say how many objects a training scene of this seed has, 1 to 3."""
    return int(np.random.default_rng(seed).integers(_OBJECTS[0], _OBJECTS[1] + 1))


def _scene_tasks(params: GeneratedParams, out_dir: Path) -> Iterator[SceneTask]:
    for dataset, family in {TRAINING_SET: "mixed", **GENERATED_BENCHMARKS}.items():
        count = params.train_images if dataset == TRAINING_SET else params.benchmark_images
        for index in range(count):
            seed = scene_seed(params.seed, dataset=dataset, index=index)
            yield _scene_task(params, out_dir, dataset, family, index=index, seed=seed)
    for dataset, like in DEVELOPMENT_SETS.items():
        for index in range(params.development_images):
            # As the benchmark itself would be with the next seed: other scenes, drawn alike.
            seed = scene_seed(params.seed + 1, dataset=like, index=index)
            family = GENERATED_BENCHMARKS[like]
            yield _scene_task(params, out_dir, dataset, family, index=index, seed=seed)


def _scene_task(
    params: GeneratedParams, out_dir: Path, dataset: str, family: str, *, index: int, seed: int
) -> SceneTask:
    held_out = dataset != TRAINING_SET
    return SceneTask(
        split="val" if held_out else "train", dataset=dataset, family=family, seed=seed,
        side=params.side, objects=1 if held_out else training_objects(seed), held_out=held_out,
        folder=out_dir / dataset, stem=f"{index:05d}",
    )  # fmt: skip
