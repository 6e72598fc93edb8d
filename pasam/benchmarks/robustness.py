"""Robustness curves: the same benchmarks with looser boxes, few points, and worse images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasam.benchmark_params import RobustnessParams
from pasam.benchmarks.lineup import Lineup
from pasam.benchmarks.predict import (
    at_original_size,
    batches,
    encode,
    encoded_rows,
    point_prompts,
    predict,
)
from pasam.benchmarks.run import describe, places_of
from pasam.benchmarks.scores import BOX, CLEAN, score_mask
from pasam.data.corruptions import Corruption, Kind, corrupt, corruptions
from pasam.data.images import read_image, read_mask
from pasam.data.prompts import tight_box
from pasam.data.transforms import squash
from pasam.data.weak_prompts import first_points, loose_box
from pasam.modeling.base_sam import Encoded
from pasam.modeling.segmenter import Prompts
from pasam.progress import track
from pasam.training.embeddings import Store
from pasam.training.samples import box_prompts

# Shapes: n masks of a batch, S pixels a side of the input.

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """What is made worse. At most one of the prompt and the image is."""

    prompt: str
    """As in the column `prompt` of the scores."""
    corruption: str
    """As in the column `corruption` of the scores."""
    images: NDArray[np.uint8]
    """(n, 3, S, S)"""
    encoded: Encoded
    prompts: list[Prompts]


@dataclass(frozen=True, slots=True)
class Objects:
    """A batch of masks with their views in the store."""

    items: list[Row]
    """Rows of the manifest."""
    labels: NDArray[np.uint8]
    """(n, S, S)"""
    boxes: list[NDArray[np.float32]]
    images: NDArray[np.uint8]
    """(n, 3, S, S)"""
    encoded: Encoded


def evenly(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Take `count` rows, evenly spaced in the order of their ids; all if there are fewer."""
    ordered = rows.sort_values("id", ignore_index=True)
    if len(ordered) <= count:
        return ordered
    places = np.arange(count) * len(ordered) // count
    return ordered.iloc[places].reset_index(drop=True)


def evaluate_robustness(
    lineup: Lineup,
    store: Store,
    rows: pd.DataFrame,
    params: RobustnessParams,
    *,
    batch_size: int,
    boundary_share: float,
) -> list[Row]:
    """Score every model under every condition; tight boxes on clean images are left out.

    Args:
        lineup: The models.
        store: Embeddings of the `val` split; worse prompts need no other encoding.
        rows: Rows of the manifest to measure on.
        params: The conditions.
        batch_size: Masks per call; changes nothing but the time.
        boundary_share: Width of the boundary band as a share of the diagonal.

    Returns:
        Rows of `pasam.benchmarks.scores`.
    """
    records = [{str(k): v for k, v in row.items()} for row in rows.to_dict("records")]
    parts = list(batches(len(records), batch_size))
    found: list[Row] = []
    for part in track(parts, total=len(parts), label="robustness"):
        objects = _objects(store, records[part])
        truths = [read_mask(Path(item["mask"])) for item in objects.items]
        for condition in _conditions(lineup, objects, params):
            found += _scores(lineup, objects, truths, condition, boundary_share)
    return found


def _objects(store: Store, items: list[Row]) -> Objects:
    places = places_of(store, items)
    labels = np.stack([store.labels[label] for label, _ in places])
    views = [view for _, view in places]
    return Objects(
        items=items,
        labels=labels,
        boxes=[tight_box(label) for label in labels],
        images=store.images[views],
        encoded=encoded_rows(store, views),
    )


def _conditions(lineup: Lineup, objects: Objects, params: RobustnessParams) -> Iterator[Condition]:
    for name, prompts in _weak_prompts(objects, params):
        yield Condition(name, CLEAN, objects.images, objects.encoded, prompts)
    tight = box_prompts(objects.boxes)
    amounts: dict[Kind, Sequence[float]] = {
        "blur": params.blur,
        "noise": params.noise,
        "jpeg": params.jpeg,
    }
    for corruption in corruptions(amounts):
        worse = [_worse(item, corruption, lineup, params) for item in objects.items]
        images = np.stack(worse).transpose(0, 3, 1, 2)
        yield Condition(BOX, corruption.name, images, encode(lineup.base, images), tight)


def _weak_prompts(
    objects: Objects, params: RobustnessParams
) -> Iterator[tuple[str, list[Prompts]]]:
    ids = [str(item["id"]) for item in objects.items]
    side = objects.labels.shape[-1]
    for scale in params.jitter:
        boxes = [
            loose_box(box, scale, side=side, name=name, seed=params.seed)
            for name, box in zip(ids, objects.boxes, strict=True)
        ]
        yield f"box_jitter_{scale:g}", box_prompts(boxes)
    most = max(params.points, default=0)
    for count in params.points:
        points = [
            first_points(label, count, most=most, name=name, seed=params.seed)
            for name, label in zip(ids, objects.labels, strict=True)
        ]
        yield f"points_{count}", point_prompts(points)


def _worse(
    item: Row, corruption: Corruption, lineup: Lineup, params: RobustnessParams
) -> NDArray[np.uint8]:
    image = read_image(Path(item["image"]))
    worse = corrupt(image, corruption, name=str(item["image_sha256"]), seed=params.seed)
    return squash(worse, lineup.base.side)


def _scores(
    lineup: Lineup,
    objects: Objects,
    truths: Sequence[NDArray[np.uint8]],
    condition: Condition,
    boundary_share: float,
) -> Iterator[Row]:
    for contender in lineup.contenders:
        found = predict(contender.segmenter, condition.images, condition.encoded, condition.prompts)
        for number, (item, truth) in enumerate(zip(objects.items, truths, strict=True)):
            mask = at_original_size(found.masks[number], truth.shape)
            yield {
                **describe(item, contender.name, contender.seed),
                "prompt": condition.prompt,
                "corruption": condition.corruption,
                **score_mask(truth, mask, boundary_share=boundary_share),
            }
