"""How models and benchmarks are called, units, colours, and sentences computed from numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable

# --- units: From shares in [0, 1] to what people read: per cent, and points of difference.

DECIMALS = 4


def percent(share: float) -> float:
    """Turn a share into per cent; the end of an interval stops at 0 and 100."""
    return _within(share, 0.0)


def points(difference: float) -> float:
    """Turn a difference of shares into points; the end of an interval stops at -100 and 100."""
    return _within(difference, -1.0)


def _within(value: float, least: float) -> float:
    if math.isnan(value):
        return value
    return round(100 * min(1.0, max(least, value)), DECIMALS) + 0.0  # turns -0.0 into 0.0


# --- names: How models and benchmarks are called in reports, and the order of their rows.

MEAN = "mean"
"""Name of the row that averages over benchmarks."""

LABELS = {
    "oracle": "Oracle",
    "sam": "SAM",
    "hq_sam": "HQ-SAM",
    "image_adapter": "Image adapter",
    "pa_sam": "PA-SAM",
    "pa_sam_plus": "PA-SAM+",
}
ROW_LABELS = {"oracle": "Oracle (ceiling of the mask resolution)", "sam": "SAM (base)"}

FAMILY_ORDER = ("dis_like", "coift_like", "hrsod_like", "thin_like")


def label(model: str) -> str:
    """Name a model in a figure or a sentence; an unknown model keeps its key."""
    return LABELS.get(model, model)


def row_label(model: str) -> str:
    """Name a model at the head of a table row, where there is room for what it is."""
    return ROW_LABELS.get(model, label(model))


def ordered_models(models: Iterable[str]) -> list[str]:
    """Order models: ceiling, base and rivals first, PA-SAM and PA-SAM+, then all others by name."""
    return _ordered(models, tuple(LABELS))


def ordered_benchmarks(benchmarks: Iterable[str]) -> list[str]:
    """Order benchmarks as the published ones are usually listed, then all others by name."""
    return _ordered(benchmarks, FAMILY_ORDER)


def _ordered(names: Iterable[str], first: tuple[str, ...]) -> list[str]:
    found = set(names)
    return [name for name in first if name in found] + sorted(found - set(first))


def mean_label(benchmarks: int) -> str:
    """Head the column of the mean over benchmarks."""
    return f"Mean of {benchmarks}"


# --- palette: Every colour of the reports; told apart with any colour vision (Okabe and Ito's set).

INK = "#1F2328"
"""Text and outlines."""
MUTED = "#6B7280"
"""Secondary text, axes, grid labels."""
RULE = "#D9DDE3"
"""Grid lines and frames."""
PAPER = "#FFFFFF"

TRUE_POSITIVE = "#56B4E9"
FALSE_POSITIVE = "#D55E00"
FALSE_NEGATIVE = "#F0E442"

BOX = "#F0E442"
"""The box prompt, drawn over a dark edge so that it shows on any image."""
POSITIVE_POINT = "#56B4E9"
NEGATIVE_POINT = "#D55E00"

UNCERTAINTY_MAP = "magma"
"""Matplotlib colour map of the uncertainty; its lightness grows evenly."""

MODELS = {
    "oracle": "#8C929B",
    "sam": "#E69F00",
    "hq_sam": "#0072B2",
    "pa_sam": "#009E73",
    "pa_sam_plus": "#CC79A7",
}
OTHERS = ("#56B4E9", "#D55E00", "#000000")
"""Models without a colour of their own take these in turn."""

PAGE_MODELS = {
    "oracle": ("#6B7280", "#A2A9B2"),
    "sam": ("#B06F00", "#F0A93A"),
    "hq_sam": ("#0067A3", "#5AB4EC"),
    "pa_sam": ("#007A59", "#3ECFA0"),
    "pa_sam_plus": ("#A8497F", "#E08FBF"),
}
"""The same hues on the page, on light and on dark ground, each with a contrast of 3:1 or more."""
PAGE_OTHERS = (
    ("#5B5FC7", "#A9ACF5"), ("#B34700", "#FF9257"), ("#2F7FB3", "#7CC4F0"), ("#6A5A00", "#D9C93A"),
)  # fmt: skip
"""Series of the page that are no model of Table 1, on light and on dark ground."""


def rgb(colour: str) -> tuple[int, int, int]:
    """Turn "#RRGGBB" into its three values in 0..255."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return red, green, blue


def model_colours(models: list[str]) -> dict[str, str]:
    """Give every model its colour; what a known model gets does not depend on the others."""
    unknown = [model for model in models if model not in MODELS]
    spare = {model: OTHERS[i % len(OTHERS)] for i, model in enumerate(unknown)}
    return {model: MODELS.get(model) or spare[model] for model in models}
