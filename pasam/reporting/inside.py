"""Means over masks of what happened inside a model, with their intervals."""

from __future__ import annotations

import pandas as pd

from pasam.metrics.bootstrap import Difference, Interval, by_stratum, interval, paired_difference
from pasam.reporting.results import Results


def has(results: Results, model: str, *columns: str) -> bool:
    """Whether diagnostics of a model hold numbers in all these columns."""
    if results.diagnostics is None:
        return False
    rows = results.diagnostics[results.diagnostics["model"] == model]
    return bool(len(rows)) and bool(rows[list(columns)].notna().any(axis=0).all())


def mean_inside(results: Results, model: str, column: str) -> Interval:
    """Average a column of the diagnostics over masks, benchmarks alike; empty rows are left out."""
    values = _per_image(results, model)[column].dropna()
    return interval(
        dict(by_stratum(values.to_numpy(float), list(values.index.get_level_values(0)))),
        draws=results.report.draws,
        confidence=results.report.confidence,
        seed=results.report.seed,
    )


def difference_inside(results: Results, model: str, first: str, second: str) -> Difference:
    """Compare two columns of the diagnostics on the same masks."""
    both = _per_image(results, model)[[first, second]].dropna()
    return paired_difference(
        both[first].to_numpy(float),
        both[second].to_numpy(float),
        list(both.index.get_level_values(0)),
        draws=results.report.draws,
        confidence=results.report.confidence,
        seed=results.report.seed,
    )


def _per_image(results: Results, model: str) -> pd.DataFrame:
    """Mean over seeds, indexed by benchmark and image."""
    assert results.diagnostics is not None
    rows = results.diagnostics[results.diagnostics["model"] == model]
    numbers = rows.select_dtypes("number").columns.drop("seed")
    return rows.groupby(["benchmark", "image_id"])[list(numbers)].mean()
