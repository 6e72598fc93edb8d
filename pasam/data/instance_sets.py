"""Generated sets with several objects per image, annotated as COCO and SegInW are.

A simulated detector gives the boxes, so that what follows it can be measured with no detector and
no download. Layouts are those of the real sets.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasam.config.schema import GeneratedInstancesParams
from pasam.data.coco import SEGINW_ANNOTATIONS
from pasam.files import write_text
from pasam.masks.images import foreground, write_png
from pasam.masks.run_lengths import area, bounding_box, encode
from pasam.synthetic.randomness import Draws
from pasam.synthetic.scene import (
    KINDS,
    SHAPES,
    SimulatedDetection,
    draw_group,
    simulate_detections,
    with_look,
)
from pasam.workers import parallel_map

COCO_LIKE = "coco_like"
SEGINW_LIKE = "seginw_like"

SMALL_SETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "animals": ("plain", ("animal", "bird", "fish")),
    "furniture": ("grey", ("chair", "shelf", "vessel")),
    "garden": ("warm", ("leaf", "bush", "tree")),
    "kitchen": ("faded", ("fork", "basket", "vessel")),
    "night_street": ("night", ("person", "bicycle", "bush")),
    "x_ray": ("negative", ("fish", "gear", "person")),
}
"""Sets of the miniature of SegInW: look and kinds of objects, whose names are the phrases."""

_SCENE, _DETECTOR = 0, 1  # streams of draws

Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class SetPlan:
    """What a set holds and where its files go."""

    name: str
    count: int
    kinds: tuple[str, ...]
    categories: tuple[str, ...]
    """A kind of object belongs to the category of its own name, or else of its family's."""
    objects: tuple[int, int]
    """Fewest and most in an image."""
    look: str
    phrases: bool
    """Whether detections name their category instead of numbering it."""
    images: Path
    annotations: Path
    detections: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageToDraw:
    """One image to draw."""

    plan: SetPlan
    entropy: tuple[int, ...]
    number: int
    side: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """One image's entries in the files of its set."""

    image: Record
    annotations: list[Record]
    detections: list[Record]


def draw_instance_sets(
    params: GeneratedInstancesParams, folder: Path, *, seed: int, side: int, workers: int
) -> None:
    """Draw all generated sets into a folder; equal arguments give equal bytes.

    Args:
        params: How many images.
        folder: Receives `coco_like/{images/, annotations.json, detections.json}`,
            `seginw_like/sets/<set>/valid/` with its annotations, and
            `seginw_like/detections/<set>.json`.
        seed: Seed of the generated data.
        side: Nominal side of the images in pixels.
        workers: Processes.
    """
    plans = list(_plans(params, folder))
    tasks = [task for plan in plans for task in _tasks(plan, seed=seed, side=side)]
    drawn = iter(list(parallel_map(draw_image, tasks, workers=workers, label="drawing groups")))
    for plan in plans:
        _write_set(plan, [next(drawn) for _ in range(plan.count)])


def draw_image(task: ImageToDraw) -> Drawn:
    """Draw one image, write it, and describe its objects and what the detector makes of them."""
    plan, image = task.plan, task.number + 1
    group = draw_group(
        entropy=(*task.entropy, _SCENE), side=task.side, kinds=plan.kinds, objects=plan.objects
    )
    name = f"{task.number:05d}.png"
    write_png(plan.images / name, with_look(group.image, plan.look))
    height, width = group.image.shape[:2]
    named = [kind if kind in plan.categories else KINDS[kind] for kind in group.kinds]
    numbers = [plan.categories.index(one) for one in named]
    annotations = [
        {"image_id": image, **_annotation(mask, category)}
        for mask, category in zip(group.masks, numbers, strict=True)
    ]
    found = simulate_detections(
        Draws(*task.entropy, _DETECTOR, held_out=True),
        [annotation["bbox"] for annotation in annotations],
        numbers,
        size=(height, width),
        known=len(plan.categories),
    )
    return Drawn(
        image={"id": image, "file_name": name, "height": height, "width": width},
        annotations=annotations,
        detections=[_result(one, image, plan) for one in found],
    )


def _result(found: SimulatedDetection, image: int, plan: SetPlan) -> Record:
    category: Record = {"category_id": found.category + 1}
    if plan.phrases:
        category = {"phrase": plan.categories[found.category].replace("_", " ")}
    return {"image_id": image, **category, "bbox": list(found.box), "score": found.score}


def _annotation(mask: NDArray[np.uint8], category: int) -> Record:
    code = encode(foreground(mask))
    return {
        "category_id": category + 1,
        "bbox": [float(value) for value in bounding_box(code)],
        "area": area(code),
        "iscrowd": 0,
        "segmentation": code,
    }


def _plans(params: GeneratedInstancesParams, folder: Path) -> Iterator[SetPlan]:
    coco = folder / COCO_LIKE
    yield SetPlan(
        name=COCO_LIKE, count=params.coco_images, kinds=tuple(KINDS), categories=tuple(SHAPES),
        objects=(2, 5),
        look="plain", phrases=False, images=coco / "images",
        annotations=coco / "annotations.json", detections=coco / "detections.json",
    )  # fmt: skip
    small = folder / SEGINW_LIKE
    for name, (look, kinds) in SMALL_SETS.items():
        valid = small / "sets" / name / "valid"
        yield SetPlan(
            name=name, count=params.seginw_images, kinds=kinds, categories=kinds, objects=(2, 4),
            look=look, phrases=True, images=valid, annotations=valid / SEGINW_ANNOTATIONS,
            detections=small / "detections" / f"{name}.json",
        )  # fmt: skip


def _tasks(plan: SetPlan, *, seed: int, side: int) -> Iterator[ImageToDraw]:
    named = zlib.crc32(plan.name.encode())
    for number in range(plan.count):
        yield ImageToDraw(plan=plan, entropy=(named, seed, number), number=number, side=side)


def _write_set(plan: SetPlan, drawn: Sequence[Drawn]) -> None:
    objects = [entry for one in drawn for entry in one.annotations]
    names = enumerate(plan.categories, start=1)
    content = {
        "images": [one.image for one in drawn],
        "annotations": [{"id": number, **entry} for number, entry in enumerate(objects, start=1)],
        "categories": [{"id": number, "name": name} for number, name in names],
    }
    write_text(plan.annotations, json.dumps(content) + "\n")
    found = [entry for one in drawn for entry in one.detections]
    write_text(plan.detections, json.dumps(found) + "\n")
