"""Preparation: check one's own pairs, draw the generated sets, and list both in one census.

Work is spread over processes; results come back in order, so their number changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pasam.data.census import census_frame, measure_image, soft_share
from pasam.data.checking import check_pairs, collect_own
from pasam.data.folder import Pair
from pasam.data.images import write_png
from pasam.data.manifest import describe_pair, file_sha256
from pasam.data.quarantine import Quarantine
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
AS_WRITTEN = {"depth": 8, "orientation": 1}
"""How `write_png` stores an image, as `stored_form` would read it."""
_OBJECTS = (1, 3)  # fewest and most objects of a training scene

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


def take_census(
    data: DataParams, quarantine: Quarantine, out_dir: Path, public: Sequence[Pair] = ()
) -> pd.DataFrame:
    """Collect everything there is to train on and to measure, and what is unfit for either.

    Args:
        data: The section `data` of the params.
        quarantine: Files that are left out.
        out_dir: Folder that receives the generated images.
        public: Pairs of the public sets that `data.catalogue` names.

    Returns:
        The census of own, public and generated pairs; its fit rows are the manifest.

    Raises:
        DataError: The own folder cannot be understood, or there is no data at all.
    """
    rows = collect_own(Path(data.own), quarantine, workers=data.workers)
    rows += check_pairs(public, quarantine, workers=data.workers)
    rows += draw_generated(data.generated, out_dir, workers=data.workers)
    if not rows:
        raise DataError(
            f"There is no data: data.generated.train_images and .benchmark_images are 0, "
            f"data.catalogue is empty and data.own ({data.own}) holds no pairs. Raise the numbers, "
            "name public sets, or register your own with `pasam data add`."
        )
    return census_frame(rows)


def draw_generated(params: GeneratedParams, out_dir: Path, *, workers: int) -> list[Row]:
    """Draw the generated training set and benchmarks as PNG files and describe them.

    Args:
        params: How many images, how large, and from which seed.
        out_dir: Receives `<dataset>/im/<number>.png` and `<dataset>/gt/<number>_<object>.png`.
        workers: Processes.

    Returns:
        Rows of the census.

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
    measured = measure_image(scene.image) | AS_WRITTEN
    rows = []
    for index, label in enumerate(scene.masks):
        mask = task.folder / "gt" / f"{task.stem}_{index}.png"
        write_png(mask, label)
        row = describe_pair(
            split=task.split, dataset=task.dataset, image=image, mask=mask,
            label=label, image_sha256=image_sha256,
        )  # fmt: skip
        rows.append({**row, "fault": None, "message": None, **measured, "soft": soft_share(label)})
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
