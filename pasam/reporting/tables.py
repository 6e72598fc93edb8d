"""Table 1 for people (Markdown), for programs (CSV) and for `dvc metrics` (JSON)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pasam.reporting.names import MEAN, label, mean_label, row_label
from pasam.reporting.summary import METRICS, Bootstrap, compare, default_pairs, summarise

PUBLISHED_HEAD = "published (ViT-L, HQSeg-44K): not comparable with this run"
METRIC_LABELS = {"miou": "mIoU", "mbiou": "mBIoU"}
NOTHING = "-"


def write_tables(
    scores: pd.DataFrame,
    folder: Path,
    *,
    setting: str,
    bootstrap: Bootstrap,
    published: pd.DataFrame | None = None,
) -> str:
    """Write `table1.md`, `table1.csv`, `differences.csv` and `metrics.json` into a folder.

    Args:
        scores: Scores per image of all models, of one kind of prompt.
        folder: Where the four files go.
        setting: What the run was made on: data, model size, seeds; stands above the table.
        bootstrap: Settings of the intervals.
        published: Published numbers lined up with this run's benchmarks, if there are any.

    Returns:
        The Markdown text.

    Raises:
        DataError: Models were not scored on the same images, or with several prompts.
    """
    summary = summarise(scores, bootstrap, published=published)
    differences = compare(scores, default_pairs(list(summary["model"])), bootstrap)
    text = markdown(summary, differences, setting=setting, bootstrap=bootstrap)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "table1.md", text)
    _write(folder / "table1.csv", _csv(summary))
    _write(folder / "differences.csv", _csv(differences))
    _write(folder / "metrics.json", json.dumps(metrics(summary), indent=2) + "\n")
    return text


def metrics(summary: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Nest a summary as model -> benchmark -> mIoU and mBIoU, per cent with four decimals."""
    nested: dict[str, dict[str, dict[str, float]]] = {}
    for row in summary.to_dict("records"):
        scores = {name: round(float(row[name]), 4) for name in METRICS}
        nested.setdefault(str(row["model"]), {})[str(row["benchmark"])] = scores
    return nested


def markdown(
    summary: pd.DataFrame, differences: pd.DataFrame, *, setting: str, bootstrap: Bootstrap
) -> str:
    """Compose the report's text.

    Args:
        summary: From `summarise`.
        differences: From `compare`.
        setting: What the run was made on.
        bootstrap: Settings of the intervals.
    """
    level = f"{100 * bootstrap.confidence:g} %"
    head = (
        f"{setting.strip()}\n\nmIoU / mBIoU in per cent, per-image mean at original size; the mean "
        "weighs every benchmark alike. Pooled IoU: all intersections over all unions."
    )
    parts = ["# Table 1", head, _overview(summary)]
    if len(differences):
        parts += [
            f"## Paired differences, mean over benchmarks, {level} interval",
            _pairs(differences),
        ]
    parts += [f"## Every benchmark, {level} interval of the mean", _details(summary)]
    parts += [_notes(summary, level, bootstrap)]
    return "\n\n".join(parts) + "\n"


def _overview(summary: pd.DataFrame) -> str:
    """One row per model: both scores per benchmark, mean, pooled IoU, published mean."""
    benchmarks = [name for name in dict.fromkeys(summary["benchmark"]) if name != MEAN]
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
        lines.append([row_label(str(model)), *cells])
    return _grid(header, lines)


def _details(summary: pd.DataFrame) -> str:
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
            lines.append(line)
    return _grid(header, lines)


def _pairs(differences: pd.DataFrame) -> str:
    header = ["Comparison", "Metric", "Points", "Better / worse / tied (% of images)", "Verdict"]
    lines = []
    for row in differences[differences["benchmark"] == MEAN].to_dict("records"):
        shares = " / ".join(f"{row[name]:.0f}" for name in ("better", "worse", "tied"))
        points = f"{row['difference']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]"
        names = f"{label(str(row['model']))} minus {label(str(row['against']))}"
        metric = METRIC_LABELS[str(row["metric"])]
        lines.append([names, metric, points, shares, str(row["verdict"])])
    return _grid(header, lines)


def _notes(summary: pd.DataFrame, level: str, bootstrap: Bootstrap) -> str:
    covers = summary.drop_duplicates("benchmark").to_dict("records")
    shares = ", ".join(
        f"{row['benchmark']} {row['band_covers']:.0f} %"
        for row in covers
        if row["benchmark"] != MEAN
    )
    notes = [
        f"Intervals: {level} percentile bootstrap over images, stratified by benchmark, "
        f"{bootstrap.draws:,} draws, the same for all models. They cover the choice of test images "
        "only, not the seed of training.",
        "A verdict says what the interval of the paired difference shows; "
        '"no difference shown" does not mean equal.',
        "Images whose boundary band covers the whole ground truth, so that their boundary IoU "
        f"measures the region: {shares}.",
    ]
    if summary["published_miou"].notna().any():
        notes.append(
            "Published numbers were obtained with other weights, training data and images; they "
            "stand beside this run to show the size of the effect at full scale."
        )
    return "\n".join(f"- {note}" for note in notes)


def _both(miou: object, mbiou: object) -> str:
    return NOTHING if pd.isna(miou) else f"{miou:.1f} / {mbiou:.1f}"  # type: ignore[call-overload]


def _ranged(mean: float, low: float, high: float) -> str:
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def _grid(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table that is also readable as plain text."""
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    rule = ["-" * width for width in widths]
    padded = [
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in (header, rule, *lines)
    ]
    return "\n".join(f"| {line} |" for line in padded)


def _csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False, float_format="%.4f", lineterminator="\n")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
