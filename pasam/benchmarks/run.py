"""Running a model over one benchmark: predictions at original size, one score row per image.

The protocol is the reference's (PA-SAM's code, section 7 of its evaluation): the image squashed
to the input side, the tight box of the squashed label as prompt, logits resized bilinearly
straight to the original size, foreground above 0.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from pasam.benchmarks.oracle import oracle_mask
from pasam.benchmarks.predict import at_original_size, encoded_rows, predict
from pasam.benchmarks.predictions import Predicted
from pasam.benchmarks.scores import BOX, CLEAN, UNTRAINED, score_mask
from pasam.data.images import read_mask
from pasam.data.prompts import tight_box
from pasam.errors import DataError
from pasam.modeling.base_sam import BaseSam
from pasam.modeling.segmenter import Prediction, Segmenter
from pasam.training.embeddings import Store
from pasam.training.samples import box_prompts

# Shapes: N masks in a call, S pixels a side of the input, g grid cells a side, H, W of the image.


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What came of one model on one benchmark."""

    scores: list[dict[str, Any]]
    """Rows of `pasam.benchmarks.scores`."""
    predictions: dict[str, Predicted]
    """What was predicted, by id."""
    seconds: float
    """Time spent in the decoder; no part of any reproducible output."""


def benchmark_rows(manifest: pd.DataFrame, benchmark: str) -> pd.DataFrame:
    """Return a benchmark's rows of the manifest.

    Raises:
        DataError: The manifest's `val` split has no such data set.
    """
    val = manifest[manifest["split"] == "val"]
    rows = val[val["dataset"] == benchmark]
    if rows.empty:
        known = sorted(set(val["dataset"]))
        raise DataError(
            f"benchmark '{benchmark}' has no images; the manifest's val split holds {known}. "
            "Correct evaluate.benchmarks in params.yaml, or add the data."
        )
    return rows


def evaluate_segmenter(
    segmenter: Segmenter,
    store: Store,
    rows: pd.DataFrame,
    *,
    model: str,
    seed: int,
    batch_size: int,
    boundary_share: float,
) -> Evaluated:
    """Predict and score every mask of a benchmark.

    Args:
        segmenter: The model.
        store: Embeddings of the `val` split.
        rows: The benchmark's rows of the manifest.
        model: Its name in the scores.
        seed: Seed of its training, `UNTRAINED` if there was none.
        batch_size: Prompts per decoder call; changes nothing but the time.
        boundary_share: Width of the boundary band as a share of the diagonal.
    """
    segmenter.eval()
    evaluated = Evaluated(scores=[], predictions={}, seconds=0.0)
    seconds = 0.0
    for part in _parts(rows, batch_size):
        places = places_of(store, part)
        boxes = [tight_box(store.labels[label]) for label, _ in places]
        start = time.perf_counter()
        views = [row for _, row in places]
        encoded = encoded_rows(store, views)
        prediction = predict(segmenter, store.images[views], encoded, box_prompts(boxes))
        seconds += time.perf_counter() - start
        for number, item in enumerate(part):
            truth = read_mask(Path(item["mask"]))
            mask = at_original_size(prediction.masks[number], truth.shape)
            found = _predicted(mask, prediction, number, boxes[number], segmenter.base)
            evaluated.predictions[item["id"]] = found
            scores = score_mask(truth, mask, boundary_share=boundary_share)
            evaluated.scores.append({**describe(item, model, seed), **scores})
    return Evaluated(evaluated.scores, evaluated.predictions, seconds)


def evaluate_oracle(
    rows: pd.DataFrame, *, model: str, mask_side: int, boundary_share: float
) -> Evaluated:
    """Score the ground truth brought down to the mask resolution and back.

    Args:
        rows: The benchmark's rows of the manifest.
        model: Its name in the scores.
        mask_side: Side of the decoder's masks.
        boundary_share: Width of the boundary band as a share of the diagonal.
    """
    evaluated = Evaluated(scores=[], predictions={}, seconds=0.0)
    for item in _records(rows):
        truth = read_mask(Path(item["mask"]))
        mask = oracle_mask(truth, mask_side=mask_side)
        scores = score_mask(truth, mask, boundary_share=boundary_share)
        evaluated.scores.append({**describe(item, model, UNTRAINED), **scores})
        evaluated.predictions[item["id"]] = Predicted(mask=mask)
    return evaluated


def _predicted(
    mask: NDArray[np.bool_],
    prediction: Prediction,
    number: int,
    box: NDArray[np.float32],
    base: BaseSam,
) -> Predicted:
    """Keep what a report shows, with coordinates in pixels of the original image."""
    scale = np.array(mask.shape[::-1], np.float32) / base.side  # x, y
    corners = (box.reshape(2, 2) + 0.5) * scale - 0.5
    box_there = np.asarray(corners.reshape(4), np.float32)
    details = prediction.details
    if details is None:
        return Predicted(mask=mask, box=box_there)
    cell = np.array(mask.shape[::-1], np.float32) / base.grid

    def centres(cells: Tensor | None) -> NDArray[np.float32] | None:
        if cells is None:  # the model mines no points
            return None
        places = cells[number].cpu().numpy()
        xy = np.stack([places % base.grid, places // base.grid], axis=1).astype(np.float32)
        return np.asarray((xy + 0.5) * cell - 0.5, np.float32)

    return Predicted(
        mask=mask,
        box=box_there,
        uncertainty=details.uncertainty[number, 0].cpu().numpy().astype(np.float16),
        positive=centres(details.positive),
        negative=centres(details.negative),
    )


def places_of(store: Store, part: Sequence[dict[str, Any]]) -> list[tuple[int, int]]:
    """Find each mask's label and view in the store.

    Raises:
        DataError: The store lacks a mask.
    """
    index = store.index
    rows = dict(zip(index["id"], zip(index.index, index["row"], strict=True), strict=True))
    lost = [item["id"] for item in part if item["id"] not in rows]
    if lost:
        raise DataError(
            f"the embeddings lack {lost[:3]} of {len(part)} masks: their object vanishes at the "
            "model's input side, or the embeddings are of other data. Run `dvc repro embed`, or "
            "leave masks out that are too small to be seen."
        )
    return [(int(rows[item["id"]][0]), int(rows[item["id"]][1])) for item in part]


def describe(item: dict[str, Any], model: str, seed: int) -> dict[str, Any]:
    """Say in a score row what was measured, and with a tight box on the clean image."""
    return {
        "model": model,
        "seed": seed,
        "benchmark": item["dataset"],
        "image_id": item["id"],
        "prompt": BOX,
        "corruption": CLEAN,
        **{name: item[name] for name in ("area", "complexity", "height", "width")},
    }


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in rows.to_dict("records")]


def _parts(rows: pd.DataFrame, size: int) -> Iterator[list[dict[str, Any]]]:
    records = _records(rows)
    for first in range(0, len(records), size):
        yield records[first : first + size]
