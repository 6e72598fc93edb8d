"""Table 1: models by benchmarks, their paired differences, and every interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pasam.reporting.grid import Grid
from pasam.reporting.names import MEAN, label, mean_label, row_label
from pasam.reporting.summary import METRICS, Bootstrap

PUBLISHED_HEAD = "published (ViT-L, HQSeg-44K): not comparable with this run"
METRIC_LABELS = {"miou": "mIoU", "mbiou": "mBIoU"}
NOTHING = "-"

READING = (
    "mIoU / mBIoU in per cent, per-image mean at original size; the mean weighs every benchmark "
    "alike. Pooled IoU: all intersections over all unions."
)


def overview(summary: pd.DataFrame) -> Grid:
    """One row per model: both scores per benchmark, mean, pooled IoU, published mean."""
    benchmarks = [str(name) for name in dict.fromkeys(summary["benchmark"]) if name != MEAN]
    sizes = {str(row["benchmark"]): row["n"] for row in summary.to_dict("records")}
    header = ["Model", *(f"{name} (n={sizes[name]})" for name in benchmarks)]
    header += [f"{mean_label(len(benchmarks))} (n={sizes[MEAN]})", "Pooled IoU"]
    shows_published = bool(summary[summary["benchmark"] == MEAN]["published_miou"].notna().any())
    header += [PUBLISHED_HEAD] if shows_published else []
    lines = []
    for model in dict.fromkeys(summary["model"]):
        rows = summary[summary["model"] == model].set_index("benchmark")
        cells = [_both(rows.loc[name, "miou"], rows.loc[name, "mbiou"]) for name in rows.index]
        cells.append(f"{rows.loc[MEAN, 'pooled_iou']:.1f}")
        if shows_published:
            cells.append(_both(rows.loc[MEAN, "published_miou"], rows.loc[MEAN, "published_mbiou"]))
        lines.append((row_label(str(model)), *cells))
    return Grid(caption="High-quality segmentation", head=tuple(header), rows=tuple(lines))


def details(summary: pd.DataFrame, *, level: str) -> Grid:
    """One row per benchmark and model, with intervals."""
    header = ["Benchmark", "Model", "n", "mIoU", "mBIoU", "Pooled IoU"]
    shows_published = bool(summary["published_miou"].notna().any())
    header += [PUBLISHED_HEAD] if shows_published else []
    benchmarks = list(dict.fromkeys(summary["benchmark"]))
    lines = []
    for benchmark in benchmarks:
        for row in summary[summary["benchmark"] == benchmark].to_dict("records"):
            name = mean_label(len(benchmarks) - 1) if benchmark == MEAN else str(benchmark)
            line = [name, row_label(str(row["model"])), str(row["n"])]
            line += [
                _ranged(row[metric], row[f"{metric}_low"], row[f"{metric}_high"])
                for metric in METRICS
            ]
            line.append(f"{row['pooled_iou']:.1f}")
            if shows_published:
                scores = _both(row["published_miou"], row["published_mbiou"])
                where = "" if benchmark == MEAN else f"{row['published_benchmark']} "
                line.append(scores if scores == NOTHING else f"{where}{scores}")
            lines.append(tuple(line))
    caption = f"Every benchmark, {level} interval of the mean"
    return Grid(caption=caption, head=tuple(header), rows=tuple(lines), texts=(1,))


def pairs(differences: pd.DataFrame, *, level: str) -> Grid:
    """One row per pair of models and metric, on the mean over benchmarks."""
    head = (
        "Comparison", "Metric", "Points", "Better / worse / tied (% of images)", "p (Holm)",
        "Verdict",
    )  # fmt: skip
    lines = []
    for row in differences[differences["benchmark"] == MEAN].to_dict("records"):
        shares = " / ".join(f"{row[name]:.0f}" for name in ("better", "worse", "tied"))
        points = f"{row['difference']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]"
        names = f"{label(str(row['model']))} minus {label(str(row['against']))}"
        metric = METRIC_LABELS[str(row["metric"])]
        lines.append((names, metric, points, shares, p_text(row["p_holm"]), str(row["verdict"])))
    caption = f"Paired differences, mean over benchmarks, {level} interval"
    return Grid(caption=caption, head=head, rows=tuple(lines), texts=(1, 5))


def table_notes(summary: pd.DataFrame, bootstrap: Bootstrap) -> tuple[str, ...]:
    """Say what the intervals and verdicts of Table 1 mean, and where the metric has its limits."""
    level = f"{100 * bootstrap.confidence:g} %"
    covers = summary.drop_duplicates("benchmark").to_dict("records")
    shares = ", ".join(
        f"{row['benchmark']} {row['band_covers']:.0f} %"
        for row in covers
        if row["benchmark"] != MEAN
    )
    notes = [
        f"Intervals: {level} paired bootstrap over images, stratified by benchmark, "
        f"{bootstrap.draws:,} draws, the same for all models. "
        + covered(int(summary["seeds"].max())),
        "A verdict says what the paired difference shows after Holm's correction over the table's "
        'rows; "no difference shown" does not mean equal.',
        "Images whose boundary band covers the whole ground truth, so that their boundary IoU "
        f"measures the region: {shares}.",
    ]
    if summary["published_miou"].notna().any():
        notes.append(
            "Published numbers were obtained with other weights, training data and images; they "
            "stand beside this run to show the size of the effect at full scale."
        )
    return tuple(notes)


def covered(seeds: int) -> str:
    """Say which chance an interval covers."""
    if seeds == 1:
        return "They cover the choice of test images only, not the seed of training."
    return f"They cover the choice of test images and of {seeds} seeds of training."


def verdict_text(row: Mapping[Any, Any]) -> str:
    """Write a comparison's verdict with the p-value behind it."""
    p = p_text(row["p_holm"])
    return f"{row['verdict']}, p {'' if p.startswith('<') else '= '}{p}"


def p_text(p: float) -> str:
    """Write a p-value with the digits that mean something."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _both(miou: object, mbiou: object) -> str:
    return NOTHING if pd.isna(miou) else f"{miou:.1f} / {mbiou:.1f}"  # type: ignore[call-overload]


def _ranged(mean: float, low: float, high: float) -> str:
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"
