"""What the sections share: gain by difficulty, what happened inside, and kept ability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pasam.evaluation.statistics import (
    GAIN,
    LOSS,
    Difference,
    Interval,
    Values,
    by_stratum,
    interval,
    paired_difference,
)
from pasam.reporting.results import Results
from pasam.reporting.style import MEAN, label, percent, points
from pasam.reporting.summary import METRICS, Bootstrap, compare, paired_values, score_matrix
from pasam.reporting.wording import listed, signed, span

# --- breakdown: How much a model gains on easy and on hard images: differences by quantile of a
# measure.

# Shapes: N images.


ORDINALS = {1: "whole", 2: "half", 3: "third", 4: "quarter", 5: "fifth", 10: "tenth"}


def gain_by_quantile(
    scores: pd.DataFrame,
    measure: Mapping[str, float],
    *,
    model: str,
    against: str,
    metric: str,
    bins: int,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Compare two models in each of several equally large groups of images.

    Args:
        scores: Score rows of one prompt.
        measure: How hard each image is, by id; it orders the images.
        model: The model that may gain.
        against: The model it is held against.
        metric: `miou` or `mbiou`.
        bins: Groups, fewer where there are fewer images.
        bootstrap: Settings of the intervals.

    Returns:
        One row per group, from the lowest measure to the highest: bin, from, to, n, score,
        against_score (per cent), difference, low, high (points).
    """
    delta, first, second, values = _per_image(scores, measure, model, against, metric)
    order = np.lexsort((np.arange(len(values)), values))
    rows = []
    for number, places in enumerate(np.array_split(order, min(bins, len(order)))):
        group = delta[:, places]
        found = interval(
            {f"bin {number}": group},
            n_resamples=bootstrap.n_resamples, confidence=bootstrap.confidence, seed=bootstrap.seed,
        )  # fmt: skip
        rows.append(
            {
                "bin": number,
                "from": float(values[places].min()),
                "to": float(values[places].max()),
                "n": len(places),
                "score": percent(float(first[places].mean())),
                "against_score": percent(float(second[places].mean())),
                "difference": points(found.mean),
                "low": points(found.low),
                "high": points(found.high),
            }
        )
    return pd.DataFrame(rows)


def hardest_against_easiest(
    scores: pd.DataFrame,
    measure: Mapping[str, float],
    *,
    model: str,
    against: str,
    metric: str,
    bins: int,
    bootstrap: Bootstrap,
) -> Difference | None:
    """Ask whether the gain is larger in the last group than in the first.

    Returns:
        The difference of the two gains as shares, not points; None where there is one group only.
    """
    delta, _, _, values = _per_image(scores, measure, model, against, metric)
    groups = np.array_split(np.lexsort((np.arange(len(values)), values)), min(bins, len(values)))
    if len(groups) < 2:
        return None
    first, last = groups[0], groups[-1]
    # The mean over two strata of (last, -first) is half the difference of their means.
    doubled = np.concatenate([2 * delta[:, last], -2 * delta[:, first]], axis=1)
    strata = ["last"] * len(last) + ["first"] * len(first)
    return paired_difference(
        doubled, np.zeros(doubled.shape[1]), strata,
        n_resamples=bootstrap.n_resamples, confidence=bootstrap.confidence, seed=bootstrap.seed,
    )  # fmt: skip


def _per_image(
    scores: pd.DataFrame, measure: Mapping[str, float], model: str, against: str, metric: str
) -> tuple[Values, Values, Values, Values]:
    """Differences (S, N), both models' scores (N,) and the measure (N,)."""
    a, b = (score_matrix(scores, name, METRICS[metric]) for name in (model, against))
    first, second = paired_values(a, b)
    values = np.array([measure[image] for image in a.images], np.float64)
    return np.atleast_2d(first - second), a.per_image, b.per_image, values


# --- difficulty: Two measures of how fine an object is, and the gain of a model along them.

METRIC = "mbiou"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Something that orders images from coarse to fine."""

    key: str
    heading: str
    axis: str
    values: Mapping[str, float]
    """By image, larger where the object is finer."""
    coarsest: str
    finest: str
    """What the first and the last group of images are."""


def complexity_measure(results: Results) -> Measure:
    """Order images by how intricate the outline is."""
    return Measure(
        key="complexity",
        heading="By boundary complexity",
        axis="complexity (a disk has 1)",
        values={str(k): float(v) for k, v in results.by_image["complexity"].items()},
        coarsest="the smoothest outlines",
        finest="the most intricate outlines",
    )


def thinness_measure(results: Results) -> Measure:
    """Order images by how thin the object is: minus its width in per cent of the diagonal."""
    return Measure(
        key="thinness",
        heading="By thinness",
        axis="width, % of the diagonal",
        values={image: -width for image, width in results.widths.items()},
        coarsest="the thickest objects",
        finest="the thinnest objects",
    )


def gains(results: Results, measure: Measure, *, model: str | None = None) -> pd.DataFrame:
    """Compute a model's gain over the reference by group, as `breakdown.gain_by_quantile`.

    Args:
        results: The run.
        measure: What orders the images.
        model: The subject by default.
    """
    return gain_by_quantile(
        results.scores, measure.values, model=model or results.subject, against=results.reference,
        metric=METRIC, bins=results.report.bins, bootstrap=results.bootstrap,
    )  # fmt: skip


def trend(results: Results, measure: Measure) -> Difference | None:
    """Compare the gain in the last group with that in the first, as shares."""
    return hardest_against_easiest(
        results.scores, measure.values, model=results.subject, against=results.reference,
        metric=METRIC, bins=results.report.bins, bootstrap=results.bootstrap,
    )  # fmt: skip


def trend_sentence(results: Results, measure: Measure) -> str:
    """Say whether the gain is larger on fine objects."""
    table, change = gains(results, measure), trend(results, measure)
    if change is None:
        return "There are too few images to split them by how fine their objects are."
    first, last = table.iloc[0], table.iloc[-1]
    group = ORDINALS.get(len(table), "group")
    names = f"{label(results.subject)}'s gain over {label(results.reference)}"
    start = (
        f"{names} is {signed(first['difference'])} points of boundary IoU on the {group} of images "
        f"with {measure.coarsest} and {signed(last['difference'])} on the {group} with "
        f"{measure.finest}"
    )
    ends = f"{results.level} interval {span(points(change.low), points(change.high))}"
    by = f"{signed(points(change.mean))} points, {ends}"
    if change.low > 0:
        return f"{start}: larger on the finer ones ({by})."
    if change.high < 0:
        return f"{start}: smaller on the finer ones ({by})."
    return f"{start}; no difference between the two is shown ({by})."


def group_names(table: pd.DataFrame, measure: Measure) -> list[str]:
    """Name the groups of `gains` by the range of their measure."""
    sign = -1 if measure.key == "thinness" else 1
    pairs = [sorted((sign * row["from"], sign * row["to"])) for row in table.to_dict("records")]
    return [f"{_short(low)}-{_short(high)}".replace("-", "\N{EN DASH}") for low, high in pairs]


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


# --- inside: Means over masks of what happened inside a model, with their intervals.


def has(results: Results, model: str, *columns: str) -> bool:
    """Whether diagnostics of a model hold numbers in all these columns."""
    if results.diagnostics is None:
        return False
    rows = results.diagnostics[results.diagnostics["model"] == model]
    return bool(len(rows)) and bool(rows[list(columns)].notna().any(axis=0).all())


def mean_inside(results: Results, model: str, column: str) -> Interval:
    """Average a column of the diagnostics over masks, benchmarks alike; empty rows are left out."""
    values = _inside_per_image(results, model)[column].dropna()
    return interval(
        dict(by_stratum(values.to_numpy(float), list(values.index.get_level_values(0)))),
        n_resamples=results.report.n_resamples,
        confidence=results.report.confidence,
        seed=results.report.seed,
    )


def difference_inside(results: Results, model: str, first: str, second: str) -> Difference:
    """Compare two columns of the diagnostics on the same masks."""
    both = _inside_per_image(results, model)[[first, second]].dropna()
    return paired_difference(
        both[first].to_numpy(float),
        both[second].to_numpy(float),
        list(both.index.get_level_values(0)),
        n_resamples=results.report.n_resamples,
        confidence=results.report.confidence,
        seed=results.report.seed,
    )


def _inside_per_image(results: Results, model: str) -> pd.DataFrame:
    """Mean over seeds, indexed by benchmark and image."""
    assert results.diagnostics is not None
    rows = results.diagnostics[results.diagnostics["model"] == model]
    numbers = rows.select_dtypes("number").columns.drop("seed")
    return rows.groupby(["benchmark", "image_id"])[list(numbers)].mean()


# --- kept_ability: What of SAM's ability stays: the benchmark that SAM does best, before and
# after training.


def best_benchmark(results: Results, model: str) -> str:
    """Name the benchmark on which a model's mean boundary IoU is highest."""
    rows = results.summary[
        (results.summary["model"] == model) & (results.summary["benchmark"] != MEAN)
    ]
    return str(
        rows.sort_values(["mbiou", "benchmark"], ascending=[False, True])["benchmark"].iloc[0]
    )


def change_over_reference(results: Results, models: list[str]) -> pd.DataFrame:
    """Compare models and variants with the reference on its best benchmark and on all others.

    Returns:
        Rows of `summary.compare` in boundary IoU, benchmark "mean" being that of the others.
    """
    best = best_benchmark(results, results.reference)
    rows = [results.scores] if results.ablations is None else [results.scores, results.ablations]
    scores = pd.concat(rows, ignore_index=True)
    scores = scores[scores["model"].isin([*models, results.reference])]
    pairs = [(model, results.reference) for model in models]
    on_best = compare(scores[scores["benchmark"] == best], pairs, results.bootstrap)
    on_best = on_best[on_best["benchmark"] == best]
    others = scores[scores["benchmark"] != best]
    parts = [on_best]
    if len(others):
        on_others = compare(others, pairs, results.bootstrap)
        parts.append(on_others[on_others["benchmark"] == MEAN])
    table = pd.concat(parts, ignore_index=True)
    return table[table["metric"] == "mbiou"].reset_index(drop=True)


def kept_sentence(results: Results, words: Mapping[str, str]) -> str:
    """Say what each of several models does to the benchmark that the reference does best.

    Args:
        results: The run.
        words: Names for the sentence by model or variant.
    """
    best = best_benchmark(results, results.reference)
    table = change_over_reference(results, list(words))
    rows = table[table["benchmark"] == best].to_dict("records")
    says = {GAIN: "a gain is shown", LOSS: "a loss is shown"}
    clauses = [
        f"{words[str(row['model'])]} {signed(row['difference'])} ({span(row['low'], row['high'])}; "
        f"{says.get(str(row['verdict']), 'no difference is shown')})"
        for row in rows
    ]
    return (
        f"On {best}, which {label(results.reference)} does best by itself, the points of boundary "
        f"IoU over {label(results.reference)} are: {listed(clauses)}."
    )
