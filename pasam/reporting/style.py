"""Units, words and colours of the reports, each in one place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pasam.data.catalogue import GENERATED, PHOTOS

MEAN = "mean"
"""Name of the row that averages over benchmarks."""
DECIMALS = 4
MINUS = "\N{MINUS SIGN}"
NOTHING = "-"
"""A cell of a table without a number."""

METRICS = {"miou": "iou", "mbiou": "boundary_iou"}
"""Column of a summary -> column of the scores per image."""
METRIC_LABELS = {"miou": "mIoU", "mbiou": "mBIoU"}
METRIC_WORDS = {"miou": "IoU", "mbiou": "boundary IoU"}

LABELS = {
    "oracle": "Oracle",
    "sam": "SAM",
    "packaged": "PA-SAM+ (packaged)",
    "head_only": "Mask head alone",
    "hq_sam": "HQ-SAM",
    "hq_sam_effective": "HQ-SAM (PA-SAM's prompts)",
    "image_adapter": "Image adapter",
    "pa_sam": "PA-SAM",
    "pa_sam_plus": "PA-SAM+",
}
ROW_LABELS = {
    "oracle": "Oracle (ceiling of the mask resolution)",
    "sam": "SAM (base)",
    "packaged": "PA-SAM+ as packaged, trained on photographs too",
}
BENCHMARK_ORDER = ("dis_like", "coift_like", "hrsod_like", "thin_like", PHOTOS)

INK = "#1F2328"
"""Text and outlines."""
MUTED = "#6B7280"
"""Secondary text, axes, grid labels."""
RULE = "#D9DDE3"
"""Grid lines and frames."""
PAPER = "#FFFFFF"

# All further colours can be told apart with any colour vision (Okabe and Ito's set).
TRUE_POSITIVE = "#56B4E9"
FALSE_POSITIVE = "#D55E00"
FALSE_NEGATIVE = "#F0E442"

BOX = "#F0E442"
"""Drawn over a dark edge, so that it shows on any image."""
POSITIVE_POINT = "#56B4E9"
NEGATIVE_POINT = "#D55E00"
MASKS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2")
"""Several predicted masks on one image take these in turn."""

UNCERTAINTY_MAP = "magma"
"""Matplotlib colour map of the uncertainty; its lightness grows evenly."""

MODELS = {
    "oracle": ("#6B7280", "#A2A9B2"),
    "sam": ("#B06F00", "#F0A93A"),
    "hq_sam": ("#0067A3", "#5AB4EC"),
    "pa_sam": ("#007A59", "#3ECFA0"),
    "pa_sam_plus": ("#A8497F", "#E08FBF"),
}
"""A model's colour on light and on dark ground, each with a contrast of 3:1 or more."""
OTHERS = (
    ("#5B5FC7", "#A9ACF5"), ("#B34700", "#FF9257"), ("#2F7FB3", "#7CC4F0"), ("#6A5A00", "#D9C93A"),
)  # fmt: skip
"""Series that are no model of Table 1, on light and on dark ground."""


def percent(fraction: float, *, least: float = 0.0) -> float:
    """Turn a fraction into per cent; the end of an interval stops at 0 and 100."""
    return round(100 * float(np.clip(fraction, least, 1.0)), DECIMALS) + 0.0  # no -0.0


def points(difference: float) -> float:
    """Turn a difference of fractions into points; an interval's end stops at -100 and 100."""
    return percent(difference, least=-1.0)


def label(model: str) -> str:
    """Name a model in a figure or a sentence; an unknown model keeps its key."""
    return LABELS.get(model, model)


def row_label(model: str) -> str:
    """Name a model at the head of a table row, where there is room for what it is."""
    return ROW_LABELS.get(model, label(model))


def mean_label(benchmarks: Iterable[str]) -> str:
    """Head the column of the mean, which says over which of these benchmarks it is."""
    from pasam.evaluation.scores import averaged  # with pandas, which an overlay need not have

    names = averaged(name for name in benchmarks if name != MEAN)
    return f"Mean of {len(names)}" + (" synthetic" if set(names) <= set(GENERATED) else "")


def ordered_models(models: Iterable[str]) -> list[str]:
    """Order models: ceiling, base and rivals first, PA-SAM and PA-SAM+, then all others by name."""
    return _ordered(models, tuple(LABELS))


def ordered_benchmarks(benchmarks: Iterable[str]) -> list[str]:
    """Order benchmarks as the published ones are usually listed, then all others by name."""
    return _ordered(benchmarks, BENCHMARK_ORDER)


def _ordered(names: Iterable[str], first: tuple[str, ...]) -> list[str]:
    found = set(names)
    return [name for name in first if name in found] + sorted(found - set(first))


def listed(words: Sequence[str]) -> str:
    """Join words as a sentence does."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def counted(count: int, noun: str) -> str:
    """Write a number with its noun."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def signed(value: float) -> str:
    """Write a difference with its sign and one decimal; what rounds to nothing has none."""
    text = f"{value:+.1f}".replace("-", MINUS)
    return text[1:] if float(f"{value:.1f}") == 0 else text


def span(low: float, high: float) -> str:
    """Write the ends of an interval, for a sentence."""
    return f"{signed(low)} to {signed(high)}"


def ranged(row: Mapping[Any, Any], name: str = "") -> str:
    """Write a value with its interval, for a cell: the columns `name`, `name_low`, `name_high`."""
    return f"{row[name]:.1f} [{row[f'{name}_low']:.1f}, {row[f'{name}_high']:.1f}]"


def of_weights(rows: Iterable[Mapping[Any, Any]]) -> str:
    """Say of intervals that they speak of these weights, where one seed of training is behind."""
    return " of these weights" if all(row["seeds"] == 1 for row in rows) else ""


def gain_cell(row: Mapping[Any, Any]) -> str:
    """Write a difference with its interval, for a cell."""
    return f"{row['difference']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]"


def gain_words(row: Mapping[Any, Any]) -> str:
    """Write a difference with its interval, for a line of a forest plot."""
    return f"{signed(row['difference'])} ({span(row['low'], row['high'])})"


def gain_in_brackets(row: Mapping[Any, Any]) -> str:
    """Write a difference with its interval, for brackets in a sentence."""
    return f"({signed(row['difference'])}, {span(row['low'], row['high'])})"


def p_text(p: float) -> str:
    """Write a p-value with the digits that mean something; none where seeds carry none."""
    if np.isnan(p):
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def verdict_text(row: Mapping[Any, Any]) -> str:
    """Write a comparison's verdict with the p-value behind it, where there is one."""
    from pasam.evaluation.statistics import worded  # with scipy, which no overlay needs

    p, verdict = _p_clause(row), worded(row["verdict"], row["seeds"])
    return f"{verdict}, {p}" if p else verdict


def _p_clause(row: Mapping[Any, Any]) -> str:
    """Write `p = 0.012` or `p <0.001`; nothing where seeds carry no p-value."""
    p = p_text(row["p_holm"])
    return "" if p == NOTHING else f"p {'' if p.startswith('<') else '= '}{p}"


def after_holm(row: Mapping[Any, Any]) -> str:
    """Say what Holm's correction makes of a row: its p, or that it takes the interval's word back.

    Nothing where the row was not corrected, or has no p and a verdict that is its interval's.
    """
    if "p_holm" not in row:
        return ""
    if p := _p_clause(row):
        return f"; {p} after Holm's correction"
    shown = row["low"] > 0 or row["high"] < 0
    lost = shown and row["verdict"] not in ("gain shown", "loss shown")
    return "; not after Holm's correction" if lost else ""


def comparison_sentence(row: Mapping[Any, Any], *, level: str, first: str | None = None) -> str:
    """Say what one row of `summary.compare` shows.

    Where the interval (after Holm's correction, if the row has one) does not exclude zero it says
    that no difference is shown, never that there is none; what Holm's correction makes of the row
    stands beside the interval, which knows nothing of it. `first` names the first model.
    """
    from pasam.evaluation.statistics import GAIN, LOSS

    a, b = first or label(str(row["model"])), label(str(row["against"]))
    metric = METRIC_WORDS[str(row["metric"])]
    ends = f"{level} interval {span(row['low'], row['high'])}"
    ends += ", of these weights" if row["seeds"] == 1 else ""
    ends += after_holm(row)
    if row["verdict"] in (GAIN, LOSS):
        side = "above" if row["verdict"] == GAIN else "below"
        return (
            f"{a} is {abs(row['difference']):.1f} points of {metric} {side} {b} ({ends}; better "
            f"in {row['better']:.0f} % of cases, worse in {row['worse']:.0f} %)."
        )
    return (
        f"No difference in {metric} is shown between {a} and {b}: "
        f"{signed(row['difference'])} points ({ends})."
    )
