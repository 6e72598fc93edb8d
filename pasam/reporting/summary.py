"""Scores per image summed up: by model and benchmark, by pair of models, by group of images.

Scores come in as fractions in [0, 1] and leave as per cent; differences leave as points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pasam.errors import DataError
from pasam.evaluation import statistics
from pasam.evaluation.scores import UNTRAINED, averaged
from pasam.reporting.style import (
    DECIMALS,
    MEAN,
    METRICS,
    ordered_benchmarks,
    ordered_models,
    percent,
    points,
)

# Shapes: S seeds of training, N images of all benchmarks together.


@dataclass(frozen=True, kw_only=True, slots=True)
class Bootstrap:
    """Settings of the intervals, as in section `report` of `params.yaml`."""

    n_resamples: int
    confidence: float
    seed: int

    @property
    def level(self) -> str:
        """Level of the intervals, as words."""
        return f"{100 * self.confidence:g} %"

    def interval(
        self, values: statistics.Values, strata: statistics.Labels, units: statistics.Labels
    ) -> statistics.Interval:
        """Average values (N,) or (S, N) over masks and benchmarks, which weigh alike.

        `units` are what is resampled: the image, or group of images, of every mask, (N,).
        """
        return statistics.interval(
            dict(statistics.by_stratum(values, strata)),
            units_by_stratum=dict(statistics.by_stratum(np.array(units, np.str_), strata)),
            n_resamples=self.n_resamples, confidence=self.confidence, seed=self.seed,
        )  # fmt: skip

    def difference(
        self,
        a: statistics.Values,
        b: statistics.Values,
        strata: statistics.Labels,
        units: statistics.Labels,
    ) -> statistics.Difference:
        """Compare values (N,) or (S, N) on the same masks: `a` minus `b`."""
        return statistics.paired_difference(
            a, b, strata, units=units,
            n_resamples=self.n_resamples, confidence=self.confidence, seed=self.seed,
        )  # fmt: skip


def score_matrix(scores: pd.DataFrame, model: str, column: str) -> pd.DataFrame:
    """Arrange a model's `iou` or `boundary_iou`, in an order that the files do not decide.

    Returns:
        (S, N): a row per seed, a column per benchmark, image_id and group, both ascending.
    """
    rows = scores[scores["model"] == model]
    table = rows.pivot(index="seed", columns=["benchmark", "image_id", "group"], values=column)
    return table.sort_index(axis=0).sort_index(axis=1)


def places(masks: pd.Index) -> tuple[list[str], list[str]]:
    """Give the benchmark and the group of every mask of an index that names both, (N,) each."""
    benchmarks, groups = (masks.get_level_values(level) for level in ("benchmark", "group"))
    return [str(name) for name in benchmarks], [str(name) for name in groups]


def paired_values(a: pd.DataFrame, b: pd.DataFrame) -> tuple[statistics.Values, statistics.Values]:
    """Line two models' seeds up: the ones both were trained with.

    A model without training stands against every seed of the other. One that was trained once does
    not: its seed is chance, too, and one row of it says nothing of how much.

    Raises:
        DataError: Both were trained, but with no seed in common.
    """
    if [UNTRAINED] not in (list(a.index), list(b.index)):
        shared = a.index.intersection(b.index)
        if shared.empty:
            raise DataError(
                f"Two models were trained with the seeds {list(a.index)} and {list(b.index)}, none "
                "of them the same, so they cannot be paired; train both with the same seeds."
            )
        a, b = a.loc[shared], b.loc[shared]
    return a.to_numpy(np.float64), b.to_numpy(np.float64)


def check_paired(scores: pd.DataFrame) -> None:
    """Make sure that all models were scored on the same images with the same kind of prompt.

    Raises:
        DataError: They were not, there is no score at all, or a benchmark is called "mean".
    """
    if not len(scores):
        raise DataError("There are no scores to report; evaluate at least one model first.")
    if MEAN in set(scores["benchmark"]):
        raise DataError(
            f"A benchmark is called '{MEAN}', which is what reports call the average over all "
            "benchmarks; give the set another name."
        )
    for kind in ("prompt", "corruption"):
        found = sorted(set(scores[kind]))
        if len(found) > 1:
            raise DataError(f"A table holds one kind of {kind}, got {found}; report them apart.")
    place = scores.groupby(["benchmark", "image_id"]).ngroup().to_numpy()  # ascending by name
    everything = set(place)
    rows_of: dict[Any, Any] = scores.groupby(["model", "seed"]).indices
    for (model, seed), rows in sorted(rows_of.items()):
        lacking = everything.difference(place[rows])
        if lacking:
            first = scores.iloc[int(np.argmax(place == min(lacking)))]
            raise DataError(
                f"Model '{model}' (seed {seed}) lacks {len(lacking)} of {len(everything)} images, "
                f"the first is '{first['image_id']}' of '{first['benchmark']}'. Evaluate every "
                "model on every benchmark."
            )


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
        order: n, seeds, miou, miou_low, miou_high, mbiou, mbiou_low, mbiou_high, pooled_iou,
        band_covers (all per cent, rounded), published_benchmark, published_miou,
        published_mbiou (empty where nothing is published).

    Raises:
        DataError: As `check_paired`.
    """
    check_paired(scores)
    rows, shown = [], _shown(scores)
    for model in ordered_models(scores["model"]):
        of_model = scores[scores["model"] == model]
        every = {m: score_matrix(of_model, model, column) for m, column in METRICS.items()}
        groups = of_model.groupby("benchmark")
        sums = groups[["intersection", "union", "boundary_covers"]].sum()
        sums["masks"] = groups.size()
        for benchmark, chosen in shown.items():
            found = _row(sums[sums.index.isin(chosen)], every, chosen, bootstrap)
            rows.append({"model": model, "benchmark": benchmark, **found})
    return _with_published(pd.DataFrame(rows), published)


def compare(
    scores: pd.DataFrame, pairs: Sequence[tuple[str, str]], bootstrap: Bootstrap
) -> pd.DataFrame:
    """Compare pairs (model, against) on the same images, on every benchmark and on the mean.

    Returns:
        One row per pair, benchmark and metric: model, against, benchmark, metric, n, seeds,
        difference, low, high (points), better, worse, tied (per cent of the masks), p, p_holm,
        verdict. Holm's correction runs over all rows of the mean, which are the table that people
        read, and apart from them over all rows of single benchmarks; the verdict follows it.

    Raises:
        DataError: As `check_paired`.
    """
    check_paired(scores)
    every = {
        (name, metric): score_matrix(scores, name, column)
        for name in dict.fromkeys(name for pair in pairs for name in pair)
        for metric, column in METRICS.items()
    }
    shown = _shown(scores)
    parts = {
        (*which, benchmark): _on(matrix, chosen)
        for which, matrix in every.items()
        for benchmark, chosen in shown.items()
    }
    rows = []
    for model, against in pairs:
        for benchmark in shown:
            for metric in METRICS:
                names = {"model": model, "against": against, "benchmark": benchmark}
                a, b = (parts[name, metric, benchmark] for name in (model, against))
                rows.append({**names, "metric": metric, **compared(a, b, bootstrap)})
    columns = "model against benchmark metric n seeds difference low high better worse tied p"
    table = pd.DataFrame(rows, columns=[*columns.split(), "verdict"])
    families = [table["benchmark"] == MEAN, table["benchmark"] != MEAN]
    return pd.concat(
        [_adjusted(table[family].copy(), bootstrap) for family in families]
    ).sort_index()


def _shown(scores: pd.DataFrame) -> dict[str, list[str]]:
    """Name what tables have columns of: every benchmark, and the mean of those it is of."""
    every = {name: [name] for name in ordered_benchmarks(scores["benchmark"])}
    return {**every, MEAN: averaged(scores["benchmark"])}


def _on(matrix: pd.DataFrame, benchmarks: Sequence[str]) -> pd.DataFrame:
    """Keep a score matrix's columns of some benchmarks; by place, which labels take ten times."""
    return matrix.loc[:, matrix.columns.get_level_values("benchmark").isin(benchmarks)]


def _adjusted(table: pd.DataFrame, bootstrap: Bootstrap) -> pd.DataFrame:
    """Add `p_holm` over all rows of a table, and withdraw the verdicts that it does not hold.

    Where seeds of training are too few to carry a p-value, none is left in the row.
    """
    adjusted = np.array(statistics.holm([float(p) for p in table["p"]]))
    verdicts = table.pop("verdict").where(adjusted < 1 - bootstrap.confidence, statistics.UNDECIDED)
    table = table.assign(p_holm=adjusted.round(DECIMALS), verdict=verdicts)
    table.loc[table["seeds"] < statistics.SEEDS_FOR_P, ["p", "p_holm"]] = np.nan
    return table


def held_together(rows: Sequence[Mapping[str, Any]], bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """Correct comparisons that stand beside each other outside a table, as `compare` corrects its.

    Returns:
        The same rows in their order, with `p_holm` and the verdict that it leaves; they are as
        `difference` or `in_points` give them.
    """
    return rows_where(_adjusted(pd.DataFrame(rows), bootstrap)) if rows else []


def rows_where(table: pd.DataFrame, **equal: str) -> list[dict[str, Any]]:
    """List the rows of a table whose columns have these values."""
    for column, value in equal.items():
        table = table[table[column] == value]
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def default_pairs(models: Sequence[str]) -> list[tuple[str, str]]:
    """List a report's comparisons: the known models among each other, the rest with SAM."""
    found = set(models)
    known = [
        ("pa_sam", "sam"),
        ("hq_sam", "sam"),
        ("pa_sam", "hq_sam"),
        ("pa_sam_plus", "pa_sam"),
        ("pa_sam_plus", "hq_sam"),
        ("head_only", "sam"),
        ("pa_sam", "head_only"),
        ("pa_sam_plus", "head_only"),
    ]
    pairs = [pair for pair in known if found.issuperset(pair)]
    compared = {"oracle", "sam", *(model for pair in known for model in pair)}
    others = [model for model in ordered_models(found) if model not in compared]
    return pairs + [(model, "sam") for model in others if "sam" in found]


def difference(
    scores: pd.DataFrame, model: str, against: str, metric: str, bootstrap: Bootstrap
) -> dict[str, Any]:
    """Compare two models by one metric on all benchmarks: a row of `compare` by itself."""
    a, b = (score_matrix(scores, name, METRICS[metric]) for name in (model, against))
    named = {"model": model, "against": against, "metric": metric}
    return named | compared(a, b, bootstrap)


def compared(a: pd.DataFrame, b: pd.DataFrame, bootstrap: Bootstrap) -> dict[str, Any]:
    """Compare two score matrices of the same images, `a` minus `b`: n and `in_points`."""
    found = bootstrap.difference(*paired_values(a, b), *places(a.columns))
    return {"n": a.shape[1], **in_points(found)}


def in_points(found: statistics.Difference) -> dict[str, Any]:
    """Write a difference as a row of `compare` has it: points, and per cent of the masks."""
    return {
        "seeds": found.seeds,
        "difference": points(found.mean), "low": points(found.low), "high": points(found.high),
        **{name: percent(getattr(found, name)) for name in ("better", "worse", "tied")},
        "p": max(round(found.p, DECIMALS), 10**-DECIMALS), "verdict": found.verdict,  # never 0
    }  # fmt: skip


def _row(
    sums: pd.DataFrame,
    every: Mapping[str, pd.DataFrame],
    benchmarks: Sequence[str],
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """Average a model's score matrices, and the sums over its masks, over some benchmarks."""
    found: dict[str, Any] = {}
    for metric, matrix in every.items():
        scored = _on(matrix, benchmarks)
        found |= {"n": scored.shape[1], "seeds": scored.shape[0]}
        result = bootstrap.interval(scored.to_numpy(np.float64), *places(scored.columns))
        for end, name in (("", "mean"), ("_low", "low"), ("_high", "high")):
            found[f"{metric}{end}"] = percent(getattr(result, name))
    pooled = (sums["intersection"] / sums["union"]).fillna(1.0)  # nothing against nothing is 1
    covers = sums["boundary_covers"] / sums["masks"]
    return found | {"pooled_iou": percent(pooled.mean()), "band_covers": percent(covers.mean())}


def _with_published(summary: pd.DataFrame, published: pd.DataFrame | None) -> pd.DataFrame:
    columns = ["published_benchmark", "published_miou", "published_mbiou"]
    if published is None:
        return summary.assign(**dict.fromkeys(columns))
    named = published.rename(columns={"miou": columns[1], "mbiou": columns[2]})
    return summary.merge(
        named[["model", "benchmark", *columns]], on=["model", "benchmark"], how="left"
    )


@dataclass(frozen=True, kw_only=True)
class QuantileGains:
    """How much a model gains on easy and on hard images."""

    table: pd.DataFrame
    """One row per group, from the lowest measure to the highest: bin, from, to, n, score,
    against_score (per cent), difference, low, high (points)."""
    trend: statistics.Difference | None
    """The gain in the last group minus that in the first, as fractions and not points; None where
    there is one group only."""


def gain_by_quantile(
    scores: pd.DataFrame,
    measure: Mapping[str, float],
    *,
    model: str,
    against: str,
    metric: str,
    bins: int,
    bootstrap: Bootstrap,
) -> QuantileGains:
    """Compare two models in each of several equally large groups of images.

    Args:
        scores: Score rows of one prompt.
        measure: How hard each image is, by id; it orders the images.
        model: The model that may gain.
        against: The model it is compared with.
        metric: `miou` or `mbiou`.
        bins: Groups, fewer where there are fewer images.
        bootstrap: Settings of the intervals.
    """
    a, b = (score_matrix(scores, name, METRICS[metric]) for name in (model, against))
    first, second = paired_values(a, b)
    delta = np.atleast_2d(first - second)
    values = np.array([measure[i] for i in a.columns.get_level_values("image_id")], np.float64)
    # Two benchmarks may call their groups alike ("patient 1"), and here they stand together.
    units = np.array(["/".join(names) for names in zip(*places(a.columns), strict=True)])
    order = np.lexsort((np.arange(len(values)), values))  # equal values keep their order
    groups = np.array_split(order, min(bins, len(order)))
    rows = []
    for number, part in enumerate(groups):
        name = [f"bin {number}"] * len(part)
        found = bootstrap.interval(delta[:, part], name, units[part])
        rows.append(
            {
                "bin": number,
                "from": float(values[part].min()),
                "to": float(values[part].max()),
                "n": len(part),
                "score": percent(float(a.mean().iloc[part].mean())),
                "against_score": percent(float(b.mean().iloc[part].mean())),
                "difference": points(found.mean),
                "low": points(found.low),
                "high": points(found.high),
            }
        )
    trend = None
    if len(groups) > 1:
        # The mean over two strata of (last, -first) is half the difference of their means.
        doubled = np.concatenate([2 * delta[:, groups[-1]], -2 * delta[:, groups[0]]], axis=1)
        ends = ["last"] * len(groups[-1]) + ["first"] * len(groups[0])
        of_both = np.concatenate([units[groups[-1]], units[groups[0]]])
        trend = bootstrap.difference(doubled, np.zeros(len(ends)), ends, of_both)
    return QuantileGains(table=pd.DataFrame(rows), trend=trend)
