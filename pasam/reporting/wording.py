"""Sentences computed from numbers, and what a run was made on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pasam.config.schema import BaseParams, DataParams
from pasam.data.catalogue import GENERATED
from pasam.evaluation.statistics import GAIN, LOSS
from pasam.reporting.blocks import MINUS
from pasam.reporting.style import label

# --- wording: Sentences computed from numbers: what a comparison shows, and what it does not.

LONG_METRICS = {"miou": "IoU", "mbiou": "boundary IoU"}


def signed(value: float, *, digits: int = 1) -> str:
    """Write a difference with its sign; what rounds to nothing has none."""
    text = f"{value:+.{digits}f}".replace("-", MINUS)
    return text[1:] if float(f"{value:.{digits}f}") == 0 else text


def span(low: float, high: float) -> str:
    """Write the ends of an interval."""
    return f"{signed(low)} to {signed(high)}"


def comparison(
    row: Mapping[str, Any], *, level: str, first: str | None = None, second: str | None = None
) -> str:
    """Say what one row of `summary.compare` shows.

    Args:
        row: The row, in points and per cent.
        level: Level of the interval, such as "95 %".
        first: Words for the first model; its name by default.
        second: Words for the second model; its name by default.

    Returns:
        A sentence. Where the interval (after Holm's correction, if the row has one) does not
        exclude zero it says that no difference is shown, never that there is none.
    """
    a = label(str(row["model"])) if first is None else first
    b = label(str(row["against"])) if second is None else second
    metric = LONG_METRICS[str(row["metric"])]
    ends = f"{level} interval {span(row['low'], row['high'])}"
    if row["verdict"] in (GAIN, LOSS):
        side = "above" if row["verdict"] == GAIN else "below"
        return (
            f"{a} is {abs(row['difference']):.1f} points of {metric} {side} {b} ({ends}; better "
            f"on {row['better']:.0f} % of the images, worse on {row['worse']:.0f} %)."
        )
    return (
        f"No difference in {metric} is shown between {a} and {b}: "
        f"{signed(row['difference'])} points ({ends})."
    )


def listed(words: Sequence[str]) -> str:
    """Join words as a sentence does."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def counted(count: int, noun: str) -> str:
    """Write a number with its noun."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


# --- setting: What a run was made on, in the words that stand above every table and figure.


def setting(
    manifest: pd.DataFrame, base: BaseParams, data: DataParams, *, seeds: Sequence[int]
) -> str:
    """Describe data, base and seeds, and say what the numbers are not.

    Args:
        manifest: All data of the run.
        base: The frozen SAM.
        data: Where the data came from.
        seeds: Seeds of training.
    """
    made = manifest["dataset"].isin(GENERATED)
    kind = "generated data" if made.all() else "own data" if not made.any() else "mixed data"
    parts = []
    for split, name in (("train", "trained on"), ("val", "measured on")):
        rows = manifest[manifest["split"] == split]
        images, masks = rows["image"].nunique(), len(rows)
        parts.append(f"{name} {_counted(images, 'image')} ({_counted(masks, 'mask')})")
    small = base.size == "vit_tiny"
    sam = "vit_tiny, our own small SAM" if small else f"SAM {base.size}"
    words = f"{kind[0].upper()}{kind[1:]}: {', '.join(parts)}. Base: {sam}. "
    words += f"Seeds: training {listed([str(seed) for seed in seeds])}"
    words += f", generator {data.generated.seed}. " if made.any() else ". "
    if small or made.any():
        words += "No number of this run is the paper's or comparable with it."
    return words


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
