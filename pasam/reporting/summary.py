"""Scores per image summed up: by model and benchmark, by pair of models, by group of images.

Scores come in as fractions in [0, 1] and leave as per cent; differences leave as points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasam.errors import DataError
from pasam.evaluation.statistics import (
    UNDECIDED,
    Difference,
    Interval,
    Values,
    by_stratum,
    holm,
    interval,
    paired_difference,
)
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

    def interval(self, values: Values, strata: Sequence[str]) -> Interval:
        """Average values (N,) or (S, N) over images and benchmarks, which weigh alike."""
        groups = dict(by_stratum(values, strata))
        return interval(
            groups, n_resamples=self.n_resamples, confidence=self.confidence, seed=self.seed
        )

    def difference(self, a: Values, b: Values, strata: Sequence[str]) -> Difference:
        """Compare values (N,) or (S, N) on the same images: `a` minus `b`."""
        return paired_difference(
            a, b, strata, n_resamples=self.n_resamples, confidence=self.confidence, seed=self.seed
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreMatrix:
    """One model's scores by one metric, images in an order that the files do not decide."""

    values: Values
    """(S, N), seeds ascending."""
    strata: list[str]
    """Benchmark of every image, (N,)."""
    images: list[str]
    """Id of every image, (N,)."""
    seeds: list[int]
    """(S,)"""

    @property
    def per_image(self) -> Values:
        """Mean over the seeds, (N,)."""
        return np.asarray(self.values.mean(axis=0), np.float64)

    def only(self, benchmark: str) -> ScoreMatrix:
        """Keep one benchmark's images; "mean" keeps all."""
        if benchmark == MEAN:
            return self
        kept = [place for place, name in enumerate(self.strata) if name == benchmark]
        return ScoreMatrix(
            values=self.values[:, kept],
            strata=[benchmark] * len(kept),
            images=[self.images[place] for place in kept],
            seeds=self.seeds,
        )


def score_matrix(scores: pd.DataFrame, model: str, column: str) -> ScoreMatrix:
    """Arrange a model's scores by seed and image.

    Args:
        scores: Score rows of one prompt and corruption, checked by `check_paired`.
        model: Key of the model.
        column: `iou` or `boundary_iou`.
    """
    rows = scores[scores["model"] == model]
    table = rows.pivot(index="seed", columns=["benchmark", "image_id"], values=column)
    table = table.sort_index(axis=0).sort_index(axis=1)
    return ScoreMatrix(
        values=table.to_numpy(np.float64),
        strata=[str(name) for name in table.columns.get_level_values("benchmark")],
        images=[str(name) for name in table.columns.get_level_values("image_id")],
        seeds=[int(seed) for seed in table.index],
    )


def paired_values(a: ScoreMatrix, b: ScoreMatrix) -> tuple[Values, Values]:
    """Line two models' seeds up: the ones both were trained with, or the only one there is.

    Raises:
        DataError: Both have several seeds, but none in common.
    """
    if len(a.seeds) == 1 or len(b.seeds) == 1:
        return a.values, b.values
    shared = [seed for seed in a.seeds if seed in b.seeds]
    if not shared:
        raise DataError(
            f"Two models were trained with the seeds {a.seeds} and {b.seeds}, none of them the "
            "same, so they cannot be paired; train both with the same seeds."
        )
    first, second = ([m.seeds.index(seed) for seed in shared] for m in (a, b))
    return a.values[first], b.values[second]


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
    images = {}
    for model, seed in scores[["model", "seed"]].drop_duplicates().itertuples(index=False):
        rows = scores[(scores["model"] == model) & (scores["seed"] == seed)]
        seen = set(zip(rows["benchmark"], rows["image_id"], strict=True))
        images[str(model), int(seed)] = seen
    everything = set.union(*images.values())
    for (model, seed), seen in sorted(images.items()):
        if seen != everything:
            benchmark, image = min(everything - seen)
            raise DataError(
                f"Model '{model}' (seed {seed}) lacks {len(everything - seen)} of "
                f"{len(everything)} images, the first is '{image}' of '{benchmark}'. Evaluate "
                "every model on every benchmark."
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
        DataError: Models were not scored on the same images, or with several prompts.
    """
    check_paired(scores)
    rows = []
    for model in ordered_models(scores["model"]):
        of_model = scores[scores["model"] == model]
        for benchmark in [*ordered_benchmarks(scores["benchmark"]), MEAN]:
            found = _row(of_model, model, benchmark, bootstrap)
            rows.append({"model": model, "benchmark": benchmark, **found})
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
        One row per pair, benchmark and metric: model, against, benchmark, metric, n, seeds,
        difference, low, high (points), better, worse, tied (per cent of the images), p, p_holm,
        verdict. Holm's correction runs over all rows of the mean, which are the table that people
        read, and apart from them over all rows of single benchmarks; the verdict follows it.

    Raises:
        DataError: Models were not scored on the same images, or with several prompts.
    """
    check_paired(scores)
    every = {
        (name, metric): score_matrix(scores, name, column)
        for name in dict.fromkeys(name for pair in pairs for name in pair)
        for metric, column in METRICS.items()
    }
    rows = []
    for model, against in pairs:
        for benchmark in [*ordered_benchmarks(scores["benchmark"]), MEAN]:
            for metric in METRICS:
                names = {"model": model, "against": against, "benchmark": benchmark}
                a, b = (every[name, metric].only(benchmark) for name in (model, against))
                rows.append({**names, "metric": metric, **_difference(a, b, bootstrap)})
    columns = "model against benchmark metric n seeds difference low high better worse tied p"
    table = pd.DataFrame(rows, columns=[*columns.split(), "verdict"])
    families = [table["benchmark"] == MEAN, table["benchmark"] != MEAN]
    return pd.concat([adjust(table[family], bootstrap) for family in families]).sort_index()


def adjust(table: pd.DataFrame, bootstrap: Bootstrap) -> pd.DataFrame:
    """Add `p_holm` over all rows of a table, and withdraw the verdicts that it does not hold."""
    adjusted = holm([float(p) for p in table["p"]])
    kept = [p < 1 - bootstrap.confidence for p in adjusted]
    verdicts = [
        verdict if holds else UNDECIDED
        for verdict, holds in zip(table["verdict"], kept, strict=True)
    ]
    found = table.assign(p_holm=[round(p, DECIMALS) for p in adjusted], verdict=verdicts)
    return found[[*(name for name in found.columns if name != "verdict"), "verdict"]]


def default_pairs(models: Sequence[str]) -> list[tuple[str, str]]:
    """List a report's comparisons: the known models among each other, the rest with SAM."""
    found = set(models)
    known = [
        ("pa_sam", "sam"),
        ("hq_sam", "sam"),
        ("pa_sam", "hq_sam"),
        ("pa_sam_plus", "pa_sam"),
        ("pa_sam_plus", "hq_sam"),
    ]
    pairs = [pair for pair in known if found.issuperset(pair)]
    compared = {"oracle", "sam", *(model for pair in known for model in pair)}
    others = [model for model in ordered_models(found) if model not in compared]
    return pairs + [(model, "sam") for model in others if "sam" in found]


def difference(
    scores: pd.DataFrame, model: str, against: str, metric: str, bootstrap: Bootstrap
) -> dict[str, object]:
    """Compare two models by one metric on all benchmarks: a row of `compare` by itself."""
    a, b = (score_matrix(scores, name, METRICS[metric]) for name in (model, against))
    named = {"model": model, "against": against, "metric": metric}
    return named | _difference(a, b, bootstrap)


def _difference(a: ScoreMatrix, b: ScoreMatrix, bootstrap: Bootstrap) -> dict[str, object]:
    first, second = paired_values(a, b)
    found = bootstrap.difference(first, second, a.strata)
    return {
        "n": len(a.images),
        "seeds": found.seeds,
        "difference": points(found.mean),
        "low": points(found.low),
        "high": points(found.high),
        **{name: percent(getattr(found, name)) for name in ("better", "worse", "tied")},
        "p": round(found.p, DECIMALS),
        "verdict": found.verdict,
    }


def _row(
    scores: pd.DataFrame, model: str, benchmark: str, bootstrap: Bootstrap
) -> dict[str, object]:
    rows = scores if benchmark == MEAN else scores[scores["benchmark"] == benchmark]
    seeds = rows["seed"].nunique()
    found: dict[str, object] = {"n": len(rows) // seeds, "seeds": seeds}
    for metric, column in METRICS.items():
        scored = score_matrix(rows, model, column)
        result = bootstrap.interval(scored.values, scored.strata)
        found[metric] = percent(result.mean)
        found[f"{metric}_low"] = percent(result.low)
        found[f"{metric}_high"] = percent(result.high)
    found["pooled_iou"] = percent(_pooled(rows))
    covers = rows["boundary_covers"].astype(float).groupby(rows["benchmark"]).mean()
    found["band_covers"] = percent(float(covers.mean()))
    return found


def _pooled(rows: pd.DataFrame) -> float:
    """Mean over benchmarks of all intersections over all unions; nothing against nothing is 1."""
    sums = rows.groupby("benchmark")[["intersection", "union"]].sum()
    pooled = [
        float(i / u) if u else 1.0 for i, u in zip(sums["intersection"], sums["union"], strict=True)
    ]
    return float(np.mean(pooled))


def _with_published(summary: pd.DataFrame, published: pd.DataFrame | None) -> pd.DataFrame:
    columns = ["published_benchmark", "published_miou", "published_mbiou"]
    if published is None:
        empty = pd.DataFrame({name: [None] * len(summary) for name in columns})
        return pd.concat([summary, empty], axis=1)
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
    trend: Difference | None
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
    values = np.array([measure[image] for image in a.images], np.float64)
    order = np.lexsort((np.arange(len(values)), values))  # equal values keep their order
    groups = np.array_split(order, min(bins, len(order)))
    rows = []
    for number, places in enumerate(groups):
        found = bootstrap.interval(delta[:, places], [f"bin {number}"] * len(places))
        rows.append(
            {
                "bin": number,
                "from": float(values[places].min()),
                "to": float(values[places].max()),
                "n": len(places),
                "score": percent(float(a.per_image[places].mean())),
                "against_score": percent(float(b.per_image[places].mean())),
                "difference": points(found.mean),
                "low": points(found.low),
                "high": points(found.high),
            }
        )
    trend = _last_against_first(delta, groups, bootstrap) if len(groups) > 1 else None
    return QuantileGains(table=pd.DataFrame(rows), trend=trend)


def _last_against_first(
    delta: Values, groups: Sequence[NDArray[np.intp]], bootstrap: Bootstrap
) -> Difference:
    first, last = groups[0], groups[-1]
    # The mean over two strata of (last, -first) is half the difference of their means.
    doubled = np.concatenate([2 * delta[:, last], -2 * delta[:, first]], axis=1)
    strata = ["last"] * len(last) + ["first"] * len(first)
    return bootstrap.difference(doubled, np.zeros(doubled.shape[1]), strata)
