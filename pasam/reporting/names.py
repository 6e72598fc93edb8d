"""How models and benchmarks are called in reports, and the order of their rows."""

from __future__ import annotations

from collections.abc import Iterable

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
