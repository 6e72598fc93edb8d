"""Tables 2 and 3: average precision of segmented detections, COCO-style and SegInW-style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pasam.metrics.bootstrap import paired_difference
from pasam.reporting.grid import Grid
from pasam.reporting.names import MEAN, label, ordered_models
from pasam.reporting.summary import Bootstrap
from pasam.reporting.units import points

COLUMNS = {
    "ap": "AP", "ap50": "AP50", "ap75": "AP75", "ap_small": "AP S", "ap_medium": "AP M",
    "ap_large": "AP L",
}  # fmt: skip
NO_OBJECT = "-"
COCO_STYLE, SEGINW_STYLE = "COCO-style", "SegInW-style"
_PUBLISHED = {
    COCO_STYLE: ("coco", "COCO val2017, boxes from FocalNet-DINO"),
    SEGINW_STYLE: ("seginw", "SegInW, 25 sets, boxes from Grounding DINO"),
}
_PUBLISHED_COLUMNS = {
    "ap": "AP", "ap_small": "AP S", "ap_medium": "AP M", "ap_large": "AP L",
    "ap_boundary": "Boundary AP",
}  # fmt: skip
NO_INTERVAL = (
    "Average precision is one number of a whole set, given without an interval; the paired "
    "difference of the masks on the same boxes stands below."
)


def single_sets(precisions: pd.DataFrame) -> list[str]:
    """Benchmarks of one set: COCO-style."""
    sets = precisions.groupby("benchmark")["set"].nunique()
    return [str(name) for name in sets[sets == 1].index]


def set_collections(precisions: pd.DataFrame) -> list[str]:
    """Benchmarks of many small sets: SegInW-style."""
    sets = precisions.groupby("benchmark")["set"].nunique()
    return [str(name) for name in sets[sets > 1].index]


def single_set_grid(precisions: pd.DataFrame, benchmark: str) -> Grid:
    """Lay out a COCO-style set: mask AP in all its forms, and boundary AP."""
    rows = _over_seeds(precisions[precisions["benchmark"] == benchmark])
    head = ("Model", *COLUMNS.values(), "Boundary AP")
    lines = []
    for model in ordered_models(rows["model"]):
        mask, boundary = (_row(rows, model, overlap) for overlap in ("mask", "boundary"))
        cells = [_percent(mask[column]) for column in COLUMNS]
        lines.append((label(model), *cells, _percent(boundary["ap"])))
    counts = rows.iloc[0]
    caption = (
        f"{benchmark}: {counts['images']} images, {counts['objects']} objects, "
        f"{counts['detections']} boxes of a detector"
    )
    return Grid(caption=caption, head=head, rows=tuple(lines), notes=(NO_INTERVAL,))


def collection_grid(precisions: pd.DataFrame, benchmark: str) -> Grid:
    """Lay out SegInW-style sets: mask AP of each, and the mean, every set alike."""
    rows = _over_seeds(precisions[precisions["benchmark"] == benchmark])
    sets = sorted(set(rows["set"]) - {MEAN})
    lines = []
    for model in ordered_models(rows["model"]):
        of_model = rows[rows["model"] == model]
        cells = [_percent(_row(of_model[of_model["set"] == name], model, "mask")["ap"])
                 for name in [*sets, MEAN]]  # fmt: skip
        boundary = _row(of_model[of_model["set"] == MEAN], model, "boundary")["ap"]
        lines.append((label(model), *cells, _percent(boundary)))
    head = ("Model", *sets, f"Mean of {len(sets)}", "Mean boundary AP")
    caption = f"{benchmark}: mask AP by set, boxes by phrase"
    return Grid(caption=caption, head=head, rows=tuple(lines), notes=(NO_INTERVAL,))


def published_precision_grid(
    published: pd.DataFrame | None, precisions: pd.DataFrame | None, kind: str, *, base: str
) -> Grid | None:
    """Lay out what was published for a kind of set, beside this run's own on the same set.

    Args:
        published: Published average precisions; None makes no table.
        precisions: This run's own.
        kind: `COCO_STYLE` or `SEGINW_STYLE`.
        base: Size of the run's frozen SAM.

    Returns:
        The table. Only where the run scored the published set on a base of that size does it have
        this run's AP and the difference; else its caption says that it is no yardstick.
    """
    if published is None:
        return None
    benchmark, name = _PUBLISHED[kind]
    rows = published[published["benchmark"] == benchmark]
    scored = precisions is not None and benchmark in set(precisions["benchmark"])
    comparable = scored and base in set(rows["base"])
    rows = rows[rows["base"] == base] if comparable else rows
    columns = [column for column in _PUBLISHED_COLUMNS if rows[column].notna().any()]
    lines = []
    for row in rows.to_dict("records"):
        cells = [f"{row[column]:.1f}" for column in columns]
        if comparable and precisions is not None:
            own = _mean_precision(precisions, benchmark, str(row["model"]))
            cells += ["-", "-"] if own is None else [f"{own:.1f}", f"{own - row['ap']:+.1f}"]
        lines.append((label(str(row["model"])), str(row["base"]), *cells))
    head = ("Model", "Base", *(_PUBLISHED_COLUMNS[column] for column in columns))
    return Grid(
        caption=f"Published: {name}" + ("" if comparable else " (not comparable with this run)"),
        head=(*head, "Our AP", "Difference") if comparable else head,
        rows=tuple(lines),
        notes=("PA-SAM's rows are in its paper only and were not read; no tolerance was agreed.",),
        texts=(1,),
    )


def _mean_precision(precisions: pd.DataFrame, benchmark: str, model: str) -> float | None:
    rows = _over_seeds(precisions[precisions["benchmark"] == benchmark])
    rows = rows[rows["set"] == MEAN] if MEAN in set(rows["set"]) else rows
    found = _row(rows, model, "mask")["ap"]
    return None if found is None else 100 * float(found)


def box_difference(
    instances: pd.DataFrame, benchmark: str, pair: tuple[str, str], bootstrap: Bootstrap
) -> Mapping[str, Any] | None:
    """Compare two models' masks on the same boxes, averaged per image, as `summary.compare` does.

    Only boxes of which both masks meet an object of their category count; images are resampled
    within their set.

    Returns:
        A row of `summary.compare` by boundary IoU; None where the two share no such box.
    """
    keys = ["set", "image_id", "detection"]
    hit = instances[(instances["benchmark"] == benchmark) & (instances["object_id"] >= 0)]
    means = hit.groupby(["model", *keys])["boundary_iou"].mean()
    found = set(hit["model"])
    if not found.issuperset(pair):
        return None
    both = pd.concat([means[name] for name in pair], axis=1, keys=["a", "b"]).dropna()
    if both.empty:
        return None
    images = both.groupby(["set", "image_id"]).mean()
    strata = [str(name) for name in images.index.get_level_values("set")]
    result = paired_difference(
        images["a"].to_numpy(np.float64), images["b"].to_numpy(np.float64), strata,
        draws=bootstrap.draws, confidence=bootstrap.confidence, seed=bootstrap.seed,
    )  # fmt: skip
    shares = {name: 100 * getattr(result, name) for name in ("better", "worse", "tied")}
    return {
        "model": pair[0], "against": pair[1], "metric": "mbiou", "n": len(images),
        "difference": points(result.mean), "low": points(result.low), "high": points(result.high),
        **shares, "p": result.p, "verdict": result.verdict,
    }  # fmt: skip


def _over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Average the seeds of training."""
    names = ["model", "benchmark", "set", "overlap"]
    numbers = [*COLUMNS, "images", "objects", "detections"]
    means = rows.groupby(names, as_index=False)[numbers].mean()
    counts = {name: means[name].round().astype(int) for name in numbers[-3:]}
    return means.assign(**counts)


def _row(rows: pd.DataFrame, model: str, overlap: str) -> Mapping[str, Any]:
    chosen = rows[(rows["model"] == model) & (rows["overlap"] == overlap)]
    found: Sequence[dict[Any, Any]] = chosen.to_dict("records")
    return {str(key): value for key, value in found[0].items()} if found else {"ap": None}


def _percent(share: Any) -> str:
    return NO_OBJECT if share is None or pd.isna(share) else f"{100 * share:.1f}"
