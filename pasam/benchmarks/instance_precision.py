"""Average precision of segmented detections: one row per model, set and overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from typing import Any

import pandas as pd

from pasam.benchmarks.instances import InstanceSet
from pasam.metrics.average_precision import AveragePrecision, Overlap, average_precision

OVERLAPS: tuple[Overlap, ...] = ("mask", "boundary")
MEAN = "mean"
"""Set of the row that averages a benchmark's sets."""

_NUMBERS = [field.name for field in fields(AveragePrecision)]

Row = dict[str, Any]


def average_precisions(
    rows: pd.DataFrame, sets: Sequence[InstanceSet], *, boundary_share: float
) -> list[Row]:
    """Sum the rows of segmented detections up, as COCO does.

    Args:
        rows: All rows of `segment_instances`.
        sets: The sets that they are of.
        boundary_share: Width of the boundary band as a share of the image diagonal.

    Returns:
        One row per model, set and overlap, and one per model, benchmark and overlap with set
        "mean" where a benchmark has several sets.
    """
    found = []
    for data in sets:
        of_set = rows[(rows["benchmark"] == data.benchmark) & (rows["set"] == data.name)]
        for (model, seed), part in _by_model(of_set, rows):
            results = list(results_of(part))
            for overlap in OVERLAPS:
                precision = average_precision(
                    data.annotations.content, results, overlap=overlap,
                    boundary_share=boundary_share,
                )  # fmt: skip
                found.append(
                    {
                        "model": model,
                        "seed": seed,
                        "benchmark": data.benchmark,
                        "set": data.name,
                        "overlap": overlap,
                        **asdict(precision),
                        "images": len(data.annotations.images),
                        "objects": len(data.annotations.content["annotations"]),
                        "detections": len(results),
                    }
                )
    return found + _means(found)


def results_of(rows: pd.DataFrame) -> Iterator[Row]:
    """Write rows as entries of a COCO result file."""
    for row in rows.to_dict("records"):
        yield {
            "image_id": int(row["image_id"]),
            "category_id": int(row["category_id"]),
            "score": float(row["score"]),
            "segmentation": {
                "size": [int(row["height"]), int(row["width"])],
                "counts": row["counts"],
            },
        }


def _by_model(
    part: pd.DataFrame, everything: pd.DataFrame
) -> Iterator[tuple[tuple[str, int], pd.DataFrame]]:
    """Rows of each model, those included that have none in this part."""
    models = everything[["model", "seed"]].drop_duplicates().sort_values(["model", "seed"])
    for model, seed in models.itertuples(index=False):
        yield (str(model), int(seed)), part[(part["model"] == model) & (part["seed"] == seed)]


def _means(rows: Sequence[Row]) -> list[Row]:
    """Average each benchmark of several sets, each set alike; what a set lacks is left out."""
    if not rows:
        return []
    frame = pd.DataFrame(rows)
    keys = ["model", "seed", "benchmark", "overlap"]
    means: list[Row] = []
    for key, part in frame.groupby(keys, sort=True):
        if len(part) < 2:
            continue
        numbers = {name: _mean(part[name]) for name in _NUMBERS}
        sums = {name: int(part[name].sum()) for name in ("images", "objects", "detections")}
        who = dict(zip(keys, key, strict=True))
        means.append({**who, "set": MEAN, **numbers, **sums})
    return means


def _mean(values: pd.Series) -> float | None:
    known = values.dropna()
    return float(known.mean()) if len(known) else None
