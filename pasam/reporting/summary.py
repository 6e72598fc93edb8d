"""Scores per image summed up: one row per model and benchmark, and one per pair of models."""

# Scores come in as shares in [0, 1] and leave as per cent; differences leave as points.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pasam.errors import DataError
from pasam.metrics.bootstrap import Values, by_stratum, interval, paired_difference
from pasam.reporting.names import MEAN, ordered_benchmarks, ordered_models

METRICS = {"miou": "iou", "mbiou": "boundary_iou"}
"""Column of a summary -> column of the scores per image."""
DECIMALS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Bootstrap:
    """Settings of the intervals, as in section `report` of `params.yaml`."""

    draws: int
    confidence: float
    seed: int


def summarise(
    scores: pd.DataFrame, bootstrap: Bootstrap, *, published: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Average the scores of every model on every benchmark.

    Args:
        scores: One row per model, benchmark and image, of one kind of prompt.
        bootstrap: Settings of the intervals.
        published: Columns model, benchmark, published_benchmark, miou, mbiou (per cent).

    Returns:
        One row per model and benchmark, and one per model with benchmark "mean", in report
        order: n, miou, miou_low, miou_high, mbiou, mbiou_low, mbiou_high, pooled_iou,
        band_covers (all per cent, rounded), published_benchmark, published_miou,
        published_mbiou (empty where nothing is published).

    Raises:
        DataError: Models were not scored on the same images, or with several prompts.
    """
    check_paired(scores)
    rows = []
    for model in ordered_models(scores["model"]):
        of_model = scores[scores["model"] == model]
        for benchmark in [*ordered_benchmarks(scores["benchmark"]), MEAN]:
            rows.append(
                {"model": model, "benchmark": benchmark, **_row(of_model, benchmark, bootstrap)}
            )
    return _with_published(pd.DataFrame(rows), published)


def compare(
    scores: pd.DataFrame, pairs: Sequence[tuple[str, str]], bootstrap: Bootstrap
) -> pd.DataFrame:
    """Compare pairs of models on the same images, on every benchmark and on the mean.

    Args:
        scores: One row per model, benchmark and image, of one kind of prompt.
        pairs: (model, against) by key.
        bootstrap: Settings of the intervals.

    Returns:
        One row per pair, benchmark and metric: model, against, benchmark, metric, n,
        difference, low, high (points), better, worse, tied (per cent of the images), verdict.

    Raises:
        DataError: Models were not scored on the same images, or with several prompts.
    """
    check_paired(scores)
    rows = []
    for model, against in pairs:
        for benchmark in [*ordered_benchmarks(scores["benchmark"]), MEAN]:
            a, b = (_of(scores[scores["model"] == name], benchmark) for name in (model, against))
            for metric, column in METRICS.items():
                names = {"model": model, "against": against, "benchmark": benchmark}
                rows.append({**names, "metric": metric, **_difference(a, b, column, bootstrap)})
    columns = "model against benchmark metric n difference low high better worse tied verdict"
    return pd.DataFrame(rows, columns=columns.split())


def default_pairs(models: Sequence[str]) -> list[tuple[str, str]]:
    """List a report's comparisons: the three known models among each other, the rest with SAM."""
    found = set(models)
    known = [("pa_sam", "sam"), ("hq_sam", "sam"), ("pa_sam", "hq_sam")]
    pairs = [pair for pair in known if found.issuperset(pair)]
    others = [m for m in ordered_models(found) if m not in {"oracle", "sam", "hq_sam", "pa_sam"}]
    return pairs + [(model, "sam") for model in others if "sam" in found]


def check_paired(scores: pd.DataFrame) -> None:
    """Make sure that all models were scored on the same images with the same kind of prompt.

    Raises:
        DataError: They were not, or there is no score at all.
    """
    if not len(scores):
        raise DataError("There are no scores to report; evaluate at least one model first.")
    for kind in ("prompt", "corruption"):
        found = sorted(set(scores[kind]))
        if len(found) > 1:
            raise DataError(f"A table holds one kind of {kind}, got {found}; report them apart.")
    images = {
        str(model): set(zip(rows["benchmark"], rows["image_id"], strict=True))
        for model, rows in scores.groupby("model")
    }
    everything = set.union(*images.values())
    for model, seen in sorted(images.items()):
        if seen != everything:
            benchmark, image = min(everything - seen)
            raise DataError(
                f"Model '{model}' lacks {len(everything - seen)} of {len(everything)} images, the "
                f"first is '{image}' of '{benchmark}'. Evaluate every model on every benchmark."
            )


def _of(scores: pd.DataFrame, benchmark: str) -> pd.DataFrame:
    """Rows of one benchmark or of all, in an order that the files do not decide."""
    rows = scores if benchmark == MEAN else scores[scores["benchmark"] == benchmark]
    return rows.sort_values(["benchmark", "image_id"], ignore_index=True)


def _row(scores: pd.DataFrame, benchmark: str, bootstrap: Bootstrap) -> dict[str, object]:
    rows = _of(scores, benchmark)
    found: dict[str, object] = {"n": len(rows)}
    for metric, column in METRICS.items():
        groups = dict(by_stratum(_column(rows, column), list(rows["benchmark"])))
        result = interval(
            groups,
            draws=bootstrap.draws,
            confidence=bootstrap.confidence,
            seed=bootstrap.seed,
        )
        found[metric] = _percent(result.mean)
        found[f"{metric}_low"] = _percent(result.low)
        found[f"{metric}_high"] = _percent(result.high)
    found["pooled_iou"] = _percent(_pooled(rows))
    covers = rows["boundary_covers"].astype(float).groupby(rows["benchmark"]).mean()
    found["band_covers"] = _percent(float(covers.mean()))
    return found


def _pooled(rows: pd.DataFrame) -> float:
    """Mean over benchmarks of all intersections over all unions; nothing against nothing is 1."""
    sums = rows.groupby("benchmark")[["intersection", "union"]].sum()
    shares = [
        float(i / u) if u else 1.0 for i, u in zip(sums["intersection"], sums["union"], strict=True)
    ]
    return float(np.mean(shares))


def _difference(
    a: pd.DataFrame, b: pd.DataFrame, column: str, bootstrap: Bootstrap
) -> dict[str, object]:
    found = paired_difference(
        _column(a, column),
        _column(b, column),
        list(a["benchmark"]),
        draws=bootstrap.draws,
        confidence=bootstrap.confidence,
        seed=bootstrap.seed,
    )
    return {
        "n": len(a),
        "difference": _percent(found.mean),
        "low": _percent(found.low),
        "high": _percent(found.high),
        "better": _percent(found.better),
        "worse": _percent(found.worse),
        "tied": _percent(found.tied),
        "verdict": found.verdict,
    }


def _with_published(summary: pd.DataFrame, published: pd.DataFrame | None) -> pd.DataFrame:
    columns = ["published_benchmark", "published_miou", "published_mbiou"]
    if published is None:
        empty = pd.DataFrame({name: [None] * len(summary) for name in columns})
        return pd.concat([summary, empty], axis=1)
    named = published.rename(columns={"miou": columns[1], "mbiou": columns[2]})
    return summary.merge(
        named[["model", "benchmark", *columns]], on=["model", "benchmark"], how="left"
    )


def _column(rows: pd.DataFrame, name: str) -> Values:
    return rows[name].to_numpy(dtype=np.float64)


def _percent(share: float) -> float:
    return round(100 * share, DECIMALS) + 0.0  # Adding zero turns -0.0 into 0.0.
