"""Everything that a report is made from, and what is computed once for all its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasam.config.schema import (
    BaseParams,
    DataParams,
    EvaluateParams,
    PretrainParams,
    ReportParams,
    TrainParams,
    VariantParams,
)
from pasam.evaluation.scores import BOX, CLEAN, mean_width, read_condition
from pasam.evaluation.statistics import by_stratum, interval
from pasam.reporting.figures import Choice, Example, PredictedMask, build_example
from pasam.reporting.style import ordered_models, percent
from pasam.reporting.summary import (
    METRICS,
    Bootstrap,
    check_paired,
    compare,
    default_pairs,
    difference,
    score_matrix,
    summarise,
)

# --- conditions: Curves over prompts and corruptions: what the score rows' names mean, and the
# means on them.

JITTER, POINTS = "box_jitter", "points"
CURVES = {
    JITTER: ("Boxes that are off", "jitter of the box, share of its sides"),
    POINTS: ("Points in place of a box", "points inside the object"),
    "blur": ("Blur", "strength"),
    "noise": ("Noise", "strength"),
    "jpeg": ("JPEG", "strength"),
}
"""Family of conditions -> heading of its curve and name of its axis, in report order."""
OTHER_AXIS = "strength"


def families(conditions: pd.DataFrame) -> list[str]:
    """List the curves that there are rows for, in report order."""
    pairs = conditions[["prompt", "corruption"]].drop_duplicates().itertuples(index=False)
    found = {c[0] for c in (read_condition(str(p), str(k)) for p, k in pairs) if c is not None}
    return [name for name in CURVES if name in found] + sorted(found - set(CURVES))


def rows_by_amount(conditions: pd.DataFrame, family: str) -> dict[float, pd.DataFrame]:
    """Split the rows of a curve by their place on it.

    Jittered boxes and corruptions begin at 0 with Table 1's rows of the same images and models;
    points begin at the fewest.
    """
    found: dict[float, pd.DataFrame] = {}
    plain = conditions[:0]
    for (prompt, corruption), rows in conditions.groupby(["prompt", "corruption"]):
        place = read_condition(str(prompt), str(corruption))
        if (prompt, corruption) == (BOX, CLEAN):
            plain = rows
        elif place is not None and place[0] == family:
            found[place[1]] = rows
    if found and family != POINTS:
        first = next(iter(found.values()))
        shared = plain["image_id"].isin(first["image_id"]) & plain["model"].isin(first["model"])
        found |= {0.0: plain[shared]} if shared.any() else {}
    return {amount: found[amount] for amount in sorted(found)}


def curve(conditions: pd.DataFrame, family: str, metric: str, bootstrap: Bootstrap) -> pd.DataFrame:
    """Average every model at every place of a curve.

    Args:
        conditions: Score rows of all prompts and corruptions.
        family: One of `families`.
        metric: `miou` or `mbiou`.
        bootstrap: Settings of the intervals.

    Returns:
        Columns family, amount, model, n, mean, low, high (per cent).
    """
    rows = []
    for amount, part in rows_by_amount(conditions, family).items():
        check_paired(part)
        for model in sorted(set(part["model"])):
            scored = score_matrix(part, str(model), METRICS[metric])
            found = interval(
                dict(by_stratum(scored.values, scored.strata)),
                n_resamples=bootstrap.n_resamples, confidence=bootstrap.confidence,
                seed=bootstrap.seed,
            )  # fmt: skip
            ends = {
                "mean": percent(found.mean),
                "low": percent(found.low),
                "high": percent(found.high),
            }
            place = {"family": family, "amount": amount, "model": str(model)}
            rows.append({**place, "n": len(scored.images), **ends})
    columns = ["family", "amount", "model", "n", "mean", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def difference_at(
    conditions: pd.DataFrame,
    family: str,
    amount: float,
    pair: tuple[str, str],
    metric: str,
    bootstrap: Bootstrap,
) -> Mapping[str, Any]:
    """Compare two models at one place of a curve, as a row of `summary.compare`."""
    part = rows_by_amount(conditions, family)[amount]
    model, against = pair
    check_paired(part[part["model"].isin(pair)])
    found = difference(part, model, against, metric, bootstrap)
    return {"model": model, "against": against, "metric": metric, **found}


# --- results: Everything that a report is made from, and what is computed once for all its parts.

BASE_MODEL, BASELINE = "sam", "hq_sam"
ORACLE = "oracle"


@dataclass(frozen=True, kw_only=True)
class Results:
    """The inputs of the report, read and checked."""

    setting: str
    """What was run on what, in words."""
    base: BaseParams
    data: DataParams
    train: TrainParams
    evaluate: EvaluateParams
    report: ReportParams
    variants: Mapping[str, VariantParams]
    """What was trained, by model."""
    pretrain: PretrainParams | None
    """How `vit_tiny` is trained; only said where it is the base."""
    manifest: pd.DataFrame
    """Masks of the run's training and benchmarks."""
    scores: pd.DataFrame
    """Score rows of Table 1: tight boxes on clean images."""
    conditions: pd.DataFrame
    """Score rows of all prompts and corruptions, those of Table 1 included."""
    histories: Mapping[str, pd.DataFrame]
    """Training history by model."""
    published: pd.DataFrame
    """Published numbers lined up with this run's benchmarks."""
    comparable: bool
    """Whether the run repeats the published protocol."""
    read_image: Callable[[str], NDArray[np.uint8]]
    """From a mask's id to its image, (H, W, 3)."""
    read_truth: Callable[[str], NDArray[np.bool_]]
    """From a mask's id to its ground truth, (H, W)."""
    read_predicted: Callable[[str, str, str], PredictedMask]
    """From model, benchmark and id to a prediction of Table 1."""
    costs: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By model: `parameters` that a prediction runs through, and `trainable`, those trained."""
    ablations: pd.DataFrame | None = None
    """Score rows of the ablations, their model being the variant's name."""
    ablation_params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Section `ablations` of the params: what each variant changes of which model."""
    ablation_facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By variant: how many numbers it has and trains, and digests of what stays frozen."""
    diagnostics: pd.DataFrame | None = None
    """What happened inside models, one row per model, seed and mask."""
    precisions: pd.DataFrame | None = None
    """Average precisions from detectors' boxes: one row per model, seed, set and overlap."""
    instances: pd.DataFrame | None = None
    """One row per model and detection."""
    published_instances: pd.DataFrame | None = None
    """Published average precisions by benchmark, model and base, in per cent."""

    @property
    def bootstrap(self) -> Bootstrap:
        """Settings of all intervals."""
        return Bootstrap(
            n_resamples=self.report.n_resamples,
            confidence=self.report.confidence,
            seed=self.report.seed,
        )

    def trained(self, model: str) -> int | None:
        """How many numbers of a model or variant were trained, if that was counted."""
        counted = self.costs.get(model) or self.ablation_facts.get(model) or {}
        return counted.get("trainable")

    @property
    def level(self) -> str:
        """Level of all intervals, as words."""
        return f"{100 * self.report.confidence:g} %"

    @property
    def models(self) -> list[str]:
        """All models of Table 1 in report order."""
        return ordered_models(self.scores["model"])

    @property
    def shown(self) -> list[str]:
        """The models whose masks are worth a look: all but the oracle."""
        return [model for model in self.models if model != ORACLE]

    @property
    def subject(self) -> str:
        """The model that the report is about: PA-SAM, or the last one trained."""
        return "pa_sam" if "pa_sam" in self.evaluate.models else self.evaluate.models[-1]

    @property
    def reference(self) -> str:
        """The model it is held against: SAM, or whatever else was scored."""
        others = [model for model in self.shown if model != self.subject]
        return BASE_MODEL if BASE_MODEL in others else (others or [self.subject])[0]

    @property
    def seeds(self) -> list[int]:
        """Seeds with which the subject was trained."""
        rows = self.scores[self.scores["model"] == self.subject]
        return sorted({int(seed) for seed in rows["seed"]})

    @cached_property
    def shown_scores(self) -> pd.DataFrame:
        """Score rows of the trainings whose masks are shown: those with `train.seed`."""
        untrained = ~self.scores["model"].isin(self.variants)
        return self.scores[untrained | (self.scores["seed"] == self.train.seed)]

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row per model and benchmark."""
        return summarise(self.scores, self.bootstrap, published=self.published)

    @cached_property
    def differences(self) -> pd.DataFrame:
        """One row per pair of models, benchmark and metric."""
        return compare(self.scores, default_pairs(self.models), self.bootstrap)

    @cached_property
    def by_image(self) -> pd.DataFrame:
        """Properties of the scored images by id: benchmark, area, complexity, height, width."""
        columns = ["benchmark", "area", "complexity", "height", "width"]
        first = self.scores.drop_duplicates("image_id").set_index("image_id")
        return first[columns].sort_index()

    @cached_property
    def widths(self) -> Mapping[str, float]:
        """Width of every scored object's parts in per cent of the diagonal, by id."""
        ids = [str(image_id) for image_id in self.by_image.index]
        return {image: 100 * mean_width(self.read_truth(image)) for image in ids}

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Means of boundary IoU over all prompts and corruptions, as `conditions.curve`."""
        found = [
            curve(self.conditions, family, "mbiou", self.bootstrap)
            for family in families(self.conditions)
        ]
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame({"family": []})

    @cached_property
    def ablation_differences(self) -> pd.DataFrame:
        """Every scored variant against the subject of the same seed, as `summary.compare`.

        Holm's correction runs over all variants and both metrics.
        """
        names = [] if self.ablations is None else sorted(set(self.ablations["model"]))
        pairs = [(name, self.subject) for name in names]
        return compare(self.ablation_scores, pairs, self.bootstrap)

    @cached_property
    def ablation_scores(self) -> pd.DataFrame:
        """Score rows of the subject and of all variants, all of one seed."""
        subject = self.shown_scores[self.shown_scores["model"] == self.subject]
        parts = [subject] if self.ablations is None else [subject, self.ablations]
        return pd.concat(parts, ignore_index=True)

    def example(self, image_id: str) -> Example:
        """Read an image with what every model makes of it."""
        benchmark = str(self.by_image.at[image_id, "benchmark"])
        return build_example(
            Choice(benchmark=benchmark, image_id=image_id, quantile=0.5),
            self.shown_scores,
            image=self.read_image(image_id),
            truth=self.read_truth(image_id),
            predicted={m: self.read_predicted(m, benchmark, image_id) for m in self.shown},
        )
