"""Two measures of how fine an object is, and the gain of a model along them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from pasam.metrics.bootstrap import Difference
from pasam.reporting.breakdown import ORDINALS, gain_by_quantile, hardest_against_easiest
from pasam.reporting.names import label
from pasam.reporting.results import Results
from pasam.reporting.units import points
from pasam.reporting.wording import signed, span

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
