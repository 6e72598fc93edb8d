"""Preparation: check one's own pairs, draw the generated sets, and list both in one manifest.

Work is spread over processes; results come back in order, so their number changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pasam.data.folder import Pair, find_pairs
from pasam.data.images import read_image, read_mask, write_png
from pasam.data.manifest import describe_pair, file_sha256, manifest_frame
from pasam.data.synthetic.scene import draw_scene
from pasam.errors import DataError
from pasam.parallel import spread
from pasam.params import DataParams, GeneratedParams

TRAINING_SET = "generated_train"
BENCHMARKS = {"dis_like": "dis", "coift_like": "coift", "hrsod_like": "hrsod", "thin_like": "thin"}
"""Generated benchmarks and the family each is drawn from."""

PRETRAINING_SET = "generated_pretraining"
"""Scenes that only the small base sees; named here so that their seeds stay apart too."""

_SEED_SETS = (TRAINING_SET, *BENCHMARKS, PRETRAINING_SET)
_SCENES_PER_SET = 10_000_000
_OBJECTS = (1, 3)  # fewest and most objects of a training scene
_SHOWN_FAULTS = 10

Row = dict[str, Any]


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What came of checking one image: rows of the manifest, or faults in words."""

    rows: tuple[Row, ...]
    faults: tuple[str, ...]


def prepare_manifest(data: DataParams, out_dir: Path, public: Sequence[Pair] = ()) -> pd.DataFrame:
    """Collect everything there is to train on and to measure.

    Args:
        data: The section `data` of the params.
        out_dir: Folder that receives the generated images.
        public: Pairs of the public sets that `data.catalogue` names.

    Returns:
        The manifest of own, public and generated pairs.

    Raises:
        DataError: Some pair is unfit, two masks share an id, or there is no data at all.
    """
    rows = collect_own(Path(data.own), workers=data.workers)
    rows += check_pairs(public, "the catalogue's folder", workers=data.workers)
    rows += draw_generated(data.generated, out_dir, workers=data.workers)
    if not rows:
        raise DataError(
            f"There is no data: data.generated.train_images and .benchmark_images are 0, "
            f"data.catalogue is empty and data.own ({data.own}) holds no pairs. Raise the numbers, "
            "name public sets, or register your own with `pasam data add`."
        )
    return manifest_frame(rows)


def collect_own(own: Path, *, workers: int) -> list[Row]:
    """Check every pair of one's own folder and describe it.

    Args:
        own: Folder as `find_pairs` reads it.
        workers: Processes.

    Returns:
        Rows of the manifest, in the order of the pairs.

    Raises:
        DataError: A file cannot be decoded, sizes differ, or a mask is unfit; lists the faults.
    """
    return check_pairs(find_pairs(own), str(own), workers=workers)


def check_pairs(pairs: Sequence[Pair], place: str, *, workers: int) -> list[Row]:
    """Check pairs and describe them.

    Args:
        pairs: Sorted, so that the masks of one image stand together.
        place: Where they lie, for messages.
        workers: Processes.

    Returns:
        Rows of the manifest, in the order of the pairs.

    Raises:
        DataError: A file cannot be decoded, sizes differ, or a mask is unfit; lists the faults.
    """
    grouped = groupby(pairs, key=lambda pair: (pair.split, pair.dataset, pair.image))
    images = [tuple(same) for _, same in grouped]
    results = list(spread(check_image, images, workers=workers, label="checking images"))
    faults = [fault for result in results for fault in result.faults]
    if faults:
        shown = "\n".join(f"- {fault}" for fault in faults[:_SHOWN_FAULTS])
        more = len(faults) - _SHOWN_FAULTS
        raise DataError(
            f"{place} holds {len(faults)} unfit files:\n{shown}"
            + (f"\n- and {more} more" if more > 0 else "")
        )
    return [row for result in results for row in result.rows]


def check_image(pairs: Sequence[Pair]) -> Checked:
    """Decode one image and all its masks; describe those that are fit and name the others."""
    image = pairs[0].image
    try:
        size = read_image(image).shape[:2]
        image_sha256 = file_sha256(image)
    except DataError as error:
        return Checked(rows=(), faults=(str(error),))
    rows, faults = [], []
    for pair in pairs:
        try:
            label = read_mask(pair.mask)
            if label.shape != size:
                raise DataError(
                    f"mask {pair.mask} is {label.shape[0]} x {label.shape[1]} (height x width) "
                    f"but its image {image} is {size[0]} x {size[1]}. Export both at one size."
                )
            row = describe_pair(
                split=pair.split, dataset=pair.dataset, image=image, mask=pair.mask,
                label=label, image_sha256=image_sha256,
            )  # fmt: skip
            if row["area"] == 0:
                raise DataError(f"mask {pair.mask} has no pixel above 128. Draw it with 255.")
            rows.append(row)
        except DataError as error:
            faults.append(str(error))
    return Checked(rows=tuple(rows), faults=tuple(faults))


def draw_generated(params: GeneratedParams, out_dir: Path, *, workers: int) -> list[Row]:
    """Draw the generated training set and benchmarks as PNG files and describe them.

    Args:
        params: How many images, how large, and from which seed.
        out_dir: Receives `<dataset>/im/<number>.png` and `<dataset>/gt/<number>_<object>.png`.
        workers: Processes.

    Returns:
        Rows of the manifest.

    Raises:
        DataError: More images were asked for than there are seeds in a set.
    """
    tasks = list(_scene_tasks(params, out_dir))
    drawn = spread(write_scene, tasks, workers=workers, label="drawing images")
    return [row for rows in drawn for row in rows]


def write_scene(task: SceneTask) -> tuple[Row, ...]:
    """Draw one scene, write its image and masks, and describe each pair."""
    scene = draw_scene(
        family=task.family,
        seed=task.seed,
        side=task.side,
        held_out=task.held_out,
        objects=task.objects,
    )
    image = task.folder / "im" / f"{task.stem}.png"
    write_png(image, scene.image)
    image_sha256 = file_sha256(image)
    rows = []
    for index, label in enumerate(scene.masks):
        mask = task.folder / "gt" / f"{task.stem}_{index}.png"
        write_png(mask, label)
        row = describe_pair(
            split=task.split, dataset=task.dataset, image=image, mask=mask,
            label=label, image_sha256=image_sha256,
        )  # fmt: skip
        rows.append(row)
    return tuple(rows)


def scene_seed(seed: int, *, dataset: str, index: int) -> int:
    """Give the scene `index` of a generated set a seed that no other scene of any set has.

    Args:
        seed: `data.generated.seed`.
        dataset: `TRAINING_SET`, one of `BENCHMARKS`, or `PRETRAINING_SET`.
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
    for dataset, family in {TRAINING_SET: "mixed", **BENCHMARKS}.items():
        held_out = dataset != TRAINING_SET
        for index in range(params.benchmark_images if held_out else params.train_images):
            seed = scene_seed(params.seed, dataset=dataset, index=index)
            yield SceneTask(
                split="val" if held_out else "train",
                dataset=dataset,
                family=family,
                seed=seed,
                side=params.side,
                objects=1 if held_out else training_objects(seed),
                held_out=held_out,
                folder=out_dir / dataset,
                stem=f"{index:05d}",
            )
