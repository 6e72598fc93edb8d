"""Charts of the scores with their intervals, and of the training curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from pasam.errors import DataError
from pasam.reporting.canvas import new_figure, save_png, style
from pasam.reporting.names import MEAN, label, mean_label
from pasam.reporting.palette import INK, MUTED, OTHERS, RULE, model_colours

_NOT_CURVES = {"epoch", "step", "lr", "learning_rate", "views", "seconds"}
_METRICS = (("mbiou", "Boundary IoU (mBIoU, %)"), ("miou", "IoU (mIoU, %)"))


def score_chart(summary: pd.DataFrame, path: Path, *, title: str, confidence: float) -> None:
    """Draw both means per benchmark and model, with their intervals, as PNG.

    Args:
        summary: As `pasam.reporting.summary.summarise` returns it, in per cent.
        path: Where the PNG goes.
        title: Says what was run: data and size.
        confidence: Level of the intervals in the summary.
    """
    models = [str(model) for model in dict.fromkeys(summary["model"])]
    benchmarks = [str(name) for name in dict.fromkeys(summary["benchmark"])]
    with style():
        figure = new_figure(_chart_width(len(models), len(benchmarks)), 5.2)
        panels = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.06})
        figure.subplots_adjust(left=0.07, right=0.985, top=0.8, bottom=0.13)
        for axes, (metric, name) in zip(panels, _METRICS, strict=True):
            _dots(axes, summary, metric, models, benchmarks)
            axes.set_title(name, loc="left", size=10)
        panels[0].set_ylabel("per cent")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(0.06, 0.92), ncols=6)
        figure.text(0.07, 0.965, title, va="top", size=11.5, weight="bold")
        note = (
            f"Per-image means with {100 * confidence:g} % bootstrap intervals. Models are compared "
            "by their paired differences, not by whether these bars overlap."
        )
        figure.text(0.07, 0.03, note, size=8, color=MUTED)
        save_png(figure, path)


def _chart_width(models: int, benchmarks: int) -> float:
    """Inches that two panels of this many dots need."""
    return max(8.0, 1.5 + 2 * benchmarks * max(0.95, 0.17 * models + 0.25))


def _dots(
    axes: Axes, summary: pd.DataFrame, metric: str, models: list[str], benchmarks: list[str]
) -> None:
    spread = 0.62
    offsets = np.linspace(-spread / 2, spread / 2, len(models)) if len(models) > 1 else [0.0]
    colours = model_colours(models)
    for model, offset in zip(models, offsets, strict=True):
        rows = summary[summary["model"] == model].set_index("benchmark").loc[benchmarks]
        mean = rows[metric].to_numpy(float)
        low, high = (rows[f"{metric}_{end}"].to_numpy(float) for end in ("low", "high"))
        places = np.arange(len(benchmarks)) + offset
        axes.errorbar(
            places, mean, yerr=[mean - low, high - mean], fmt="o", ms=4.2, color=colours[model],
            elinewidth=1.5, capsize=3.5, capthick=1.5, label=label(model), zorder=3,
        )  # fmt: skip
    if MEAN in benchmarks and len(benchmarks) > 1:
        axes.axvspan(len(benchmarks) - 1.5, len(benchmarks) - 0.5, color=RULE, alpha=0.35, lw=0)
    names = [mean_label(len(benchmarks) - 1) if b == MEAN else b for b in benchmarks]
    axes.set_xticks(range(len(benchmarks)), names, color=INK)
    axes.set_xlim(-0.5, len(benchmarks) - 0.5)
    axes.tick_params(length=0)
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def read_history(path: Path) -> pd.DataFrame:
    """Read a training history, one JSON object with an `epoch` per line.

    Raises:
        DataError: The file is missing, holds no line, or a line is not such an object.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; train the model that writes it.") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, line {number} is not JSON: {error}; train again.") from None
        if not isinstance(row, dict) or "epoch" not in row:
            raise DataError(f"{path}, line {number} is {line!r}, expected an object with 'epoch'.")
        rows.append(row)
    if not rows:
        raise DataError(f"{path} holds no epoch; train the model that writes it.")
    return pd.DataFrame(rows).sort_values("epoch", ignore_index=True)


def training_chart(histories: Mapping[str, pd.DataFrame], path: Path, *, title: str) -> None:
    """Draw every loss term over the epochs, one panel per model, as PNG.

    Args:
        histories: History by model, from `read_history`. Every numeric column but the epoch, the
            learning rate and counters is a curve; `loss`, the total, is the heavy one.
        path: Where the PNG goes.
        title: Says what was run: data and size.

    Raises:
        DataError: There is no history.
    """
    if not histories:
        raise DataError("Training curves need at least one history; got none.")
    with style():
        figure = new_figure(max(5.2, 4.7 * len(histories) + 0.6), 4.2)
        panels = np.atleast_1d(figure.subplots(1, len(histories)))
        figure.subplots_adjust(left=0.09, right=0.97, top=0.84, bottom=0.29, wspace=0.16)
        for axes, (model, history) in zip(panels, histories.items(), strict=True):
            _curves(axes, history)
            axes.set_title(label(model), loc="left", size=10)
            axes.set_xlabel("epoch")
        panels[0].set_ylabel("loss, mean over the epoch")
        figure.text(0.02, 0.965, title, va="top", size=11.5, weight="bold")
        save_png(figure, path)


def curve_columns(history: pd.DataFrame) -> list[str]:
    """List the columns of a history that are curves, the total loss first."""
    numeric = history.select_dtypes("number").columns
    return sorted((str(c) for c in numeric if c not in _NOT_CURVES), key=lambda c: (c != "loss", c))


def _curves(axes: Axes, history: pd.DataFrame) -> None:
    names = curve_columns(history)
    positive = True
    for i, name in enumerate(names):
        total = name == "loss"
        axes.plot(
            history["epoch"], history[name], marker="o", ms=4.5 if total else 3, label=name,
            color=INK if total else _curve_colour(i, names), lw=2.2 if total else 1.3,
        )  # fmt: skip
        positive = positive and bool((history[name] > 0).all())
    if positive and names:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", which="major")
    axes.tick_params(length=0, which="both")
    if names:
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3)


def _curve_colour(index: int, names: Sequence[str]) -> str:
    colours = [*OTHERS[:3], "#009E73", "#E69F00", "#0072B2"]
    return colours[(index - ("loss" in names)) % len(colours)]
