"""Tables 1 to 3, the published numbers beside them, and what the models cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pasam.evaluation.statistics import paired_difference
from pasam.reporting.blocks import Grid
from pasam.reporting.blocks import markdown as grid_markdown
from pasam.reporting.results import ORACLE, Results
from pasam.reporting.style import MEAN, label, mean_label, ordered_models, points, row_label
from pasam.reporting.summary import METRICS, Bootstrap
from pasam.reporting.wording import signed

# --- table1: Table 1: models by benchmarks, their paired differences, and every interval.

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
        f"{bootstrap.n_resamples:,} draws, the same for all models. "
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


# --- tables: Table 1 for people (Markdown), for programs (CSV) and for `dvc metrics` (JSON).


def write_tables(
    summary: pd.DataFrame,
    differences: pd.DataFrame,
    folder: Path,
    *,
    setting: str,
    bootstrap: Bootstrap,
) -> None:
    """Write `table1.md`, `table1.csv`, `differences.csv` and `metrics.json` into a folder.

    Args:
        summary: From `summarise`.
        differences: From `compare`.
        folder: Where the four files go.
        setting: What the run was made on: data, model size, seeds; stands above the table.
        bootstrap: Settings of the intervals.
    """
    text = markdown(summary, differences, setting=setting, bootstrap=bootstrap)
    write_text(folder / "table1.md", text)
    write_text(folder / "table1.csv", csv_text(summary))
    write_text(folder / "differences.csv", csv_text(differences))
    write_text(folder / "metrics.json", json.dumps(metrics(summary), indent=2) + "\n")


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
    parts = ["# Table 1", f"{setting.strip()}\n\n{READING}"]
    parts.append(grid_markdown(overview(summary)))
    if len(differences):
        parts += _titled(pairs(differences, level=level))
    parts += _titled(details(summary, level=level))
    notes = table_notes(summary, bootstrap)
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]) + "\n"


def _titled(grid: Grid) -> list[str]:
    return [f"## {grid.caption}", grid_markdown(grid)]


def csv_text(frame: pd.DataFrame) -> str:
    """Write a table as CSV with four decimals."""
    return frame.to_csv(index=False, float_format="%.4f", lineterminator="\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(text, encoding="utf-8", newline="\n")
    draft.replace(path)


# --- precision_tables: Tables 2 and 3: average precision of segmented detections, COCO-style and
# SegInW-style.

COLUMNS = {
    "ap": "AP", "ap50": "AP50", "ap75": "AP75", "ap_small": "AP S", "ap_medium": "AP M",
    "ap_large": "AP L",
}  # fmt: skip
NO_OBJECT = "-"
COCO_STYLE, SEGINW_STYLE = "COCO-style", "SegInW-style"
_PUBLISHED = {
    COCO_STYLE: ("coco", "COCO val2017, boxes from FocalNet-DINO"),
    SEGINW_STYLE: ("seginw", "SegInW, 25 sets, boxes from Grounding DINO"),
}
_PUBLISHED_COLUMNS = {
    "ap": "AP", "ap_small": "AP S", "ap_medium": "AP M", "ap_large": "AP L",
    "ap_boundary": "Boundary AP",
}  # fmt: skip
NO_INTERVAL = (
    "Average precision is one number of a whole set, given without an interval; the paired "
    "difference of the masks on the same boxes stands below."
)


def single_sets(precisions: pd.DataFrame) -> list[str]:
    """Benchmarks of one set: COCO-style."""
    sets = precisions.groupby("benchmark")["set"].nunique()
    return [str(name) for name in sets[sets == 1].index]


def set_collections(precisions: pd.DataFrame) -> list[str]:
    """Benchmarks of many small sets: SegInW-style."""
    sets = precisions.groupby("benchmark")["set"].nunique()
    return [str(name) for name in sets[sets > 1].index]


def single_set_grid(precisions: pd.DataFrame, benchmark: str) -> Grid:
    """Lay out a COCO-style set: mask AP in all its forms, and boundary AP."""
    rows = _over_seeds(precisions[precisions["benchmark"] == benchmark])
    head = ("Model", *COLUMNS.values(), "Boundary AP")
    lines = []
    for model in ordered_models(rows["model"]):
        mask, boundary = (_row(rows, model, overlap) for overlap in ("mask", "boundary"))
        cells = [_percent(mask[column]) for column in COLUMNS]
        lines.append((label(model), *cells, _percent(boundary["ap"])))
    counts = rows.iloc[0]
    caption = (
        f"{benchmark}: {counts['images']} images, {counts['objects']} objects, "
        f"{counts['detections']} boxes of a detector"
    )
    return Grid(caption=caption, head=head, rows=tuple(lines), notes=(NO_INTERVAL,))


def collection_grid(precisions: pd.DataFrame, benchmark: str) -> Grid:
    """Lay out SegInW-style sets: mask AP of each, and the mean, every set alike."""
    rows = _over_seeds(precisions[precisions["benchmark"] == benchmark])
    sets = sorted(set(rows["set"]) - {MEAN})
    lines = []
    for model in ordered_models(rows["model"]):
        of_model = rows[rows["model"] == model]
        cells = [_percent(_row(of_model[of_model["set"] == name], model, "mask")["ap"])
                 for name in [*sets, MEAN]]  # fmt: skip
        boundary = _row(of_model[of_model["set"] == MEAN], model, "boundary")["ap"]
        lines.append((label(model), *cells, _percent(boundary)))
    head = ("Model", *sets, f"Mean of {len(sets)}", "Mean boundary AP")
    caption = f"{benchmark}: mask AP by set, boxes by phrase"
    return Grid(caption=caption, head=head, rows=tuple(lines), notes=(NO_INTERVAL,))


def published_precision_grid(
    published: pd.DataFrame | None, precisions: pd.DataFrame | None, kind: str, *, base: str
) -> Grid | None:
    """Lay out what was published for a kind of set, beside this run's own on the same set.

    Args:
        published: Published average precisions; None makes no table.
        precisions: This run's own.
        kind: `COCO_STYLE` or `SEGINW_STYLE`.
        base: Size of the run's frozen SAM.

    Returns:
        The table. Only where the run scored the published set on a base of that size does it have
        this run's AP and the difference; else its caption says that it is no yardstick.
    """
    if published is None:
        return None
    benchmark, name = _PUBLISHED[kind]
    rows = published[published["benchmark"] == benchmark]
    scored = precisions is not None and benchmark in set(precisions["benchmark"])
    comparable = scored and base in set(rows["base"])
    rows = rows[rows["base"] == base] if comparable else rows
    columns = [column for column in _PUBLISHED_COLUMNS if rows[column].notna().any()]
    lines = []
    for row in rows.to_dict("records"):
        cells = [f"{row[column]:.1f}" for column in columns]
        if comparable and precisions is not None:
            own = _mean_precision(precisions, benchmark, str(row["model"]))
            cells += ["-", "-"] if own is None else [f"{own:.1f}", f"{own - row['ap']:+.1f}"]
        lines.append((label(str(row["model"])), str(row["base"]), *cells))
    head = ("Model", "Base", *(_PUBLISHED_COLUMNS[column] for column in columns))
    return Grid(
        caption=f"Published: {name}" + ("" if comparable else " (not comparable with this run)"),
        head=(*head, "Our AP", "Difference") if comparable else head,
        rows=tuple(lines),
        notes=("PA-SAM's rows are in its paper only and were not read; no tolerance was agreed.",),
        texts=(1,),
    )


def _mean_precision(precisions: pd.DataFrame, benchmark: str, model: str) -> float | None:
    rows = _over_seeds(precisions[precisions["benchmark"] == benchmark])
    rows = rows[rows["set"] == MEAN] if MEAN in set(rows["set"]) else rows
    found = _row(rows, model, "mask")["ap"]
    return None if found is None else 100 * float(found)


def box_difference(
    instances: pd.DataFrame, benchmark: str, pair: tuple[str, str], bootstrap: Bootstrap
) -> Mapping[str, Any] | None:
    """Compare two models' masks on the same boxes, averaged per image, as `summary.compare` does.

    Only boxes of which both masks meet an object of their category count; images are resampled
    within their set.

    Returns:
        A row of `summary.compare` by boundary IoU; None where the two share no such box.
    """
    keys = ["set", "image_id", "detection"]
    hit = instances[(instances["benchmark"] == benchmark) & (instances["object_id"] >= 0)]
    means = hit.groupby(["model", *keys])["boundary_iou"].mean()
    found = set(hit["model"])
    if not found.issuperset(pair):
        return None
    both = pd.concat([means[name] for name in pair], axis=1, keys=["a", "b"]).dropna()
    if both.empty:
        return None
    images = both.groupby(["set", "image_id"]).mean()
    strata = [str(name) for name in images.index.get_level_values("set")]
    result = paired_difference(
        images["a"].to_numpy(np.float64), images["b"].to_numpy(np.float64), strata,
        n_resamples=bootstrap.n_resamples, confidence=bootstrap.confidence, seed=bootstrap.seed,
    )  # fmt: skip
    shares = {name: 100 * getattr(result, name) for name in ("better", "worse", "tied")}
    return {
        "model": pair[0], "against": pair[1], "metric": "mbiou", "n": len(images),
        "difference": points(result.mean), "low": points(result.low), "high": points(result.high),
        **shares, "p": result.p, "verdict": result.verdict,
    }  # fmt: skip


def _over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Average the seeds of training."""
    names = ["model", "benchmark", "set", "overlap"]
    numbers = [*COLUMNS, "images", "objects", "detections"]
    means = rows.groupby(names, as_index=False)[numbers].mean()
    counts = {name: means[name].round().astype(int) for name in numbers[-3:]}
    return means.assign(**counts)


def _row(rows: pd.DataFrame, model: str, overlap: str) -> Mapping[str, Any]:
    chosen = rows[(rows["model"] == model) & (rows["overlap"] == overlap)]
    found: Sequence[dict[Any, Any]] = chosen.to_dict("records")
    return {str(key): value for key, value in found[0].items()} if found else {"ap": None}


def _percent(share: Any) -> str:
    return NO_OBJECT if share is None or pd.isna(share) else f"{100 * share:.1f}"


# --- published_table: Published numbers beside this run's, with the difference where the
# protocol is the same.

NONE_STATED = "none stated"


def published_grid(results: Results) -> Grid | None:
    """Lay published and own numbers side by side; None where nothing is published.

    Difference and tolerance are given only where the run repeats the published protocol; else the
    table says that its two columns cannot be compared.
    """
    rows = [
        {str(k): v for k, v in row.items()}
        for row in results.summary.to_dict("records")
        if pd.notna(row["published_miou"])
    ]
    if not rows:
        return None
    head: tuple[str, ...] = (
        "Model",
        "Published set",
        "Published mIoU / mBIoU",
        "Ours, on",
        "Ours mIoU / mBIoU",
    )
    lines: list[tuple[str, ...]] = [_pair(row) for row in rows]
    caption = "Published numbers (ViT-L, HQSeg-44K) beside this run: not comparable"
    note = (
        "Other weights, training data and images: this shows the size of the effect at full scale."
    )
    if results.comparable:
        head = (*head, "Difference", "Tolerance")
        lines = [(*line, *_judged(row, results)) for line, row in zip(lines, rows, strict=True)]
        caption = "Published numbers beside this run, which repeats their protocol"
        note = "Tolerance: of a full retraining, in points; where none is stated, none was agreed."
    return Grid(caption=caption, head=head, rows=tuple(lines), notes=(note,), texts=(1, 3))


def _pair(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        label(str(row["model"])),
        str(row["published_benchmark"]),
        f"{row['published_miou']:.1f} / {row['published_mbiou']:.1f}",
        str(row["benchmark"]),
        f"{row['miou']:.1f} / {row['mbiou']:.1f}",
    )


def _judged(row: Mapping[str, Any], results: Results) -> tuple[str, str]:
    gaps = [row[metric] - row[f"published_{metric}"] for metric in ("miou", "mbiou")]
    known = results.published.set_index(["model", "benchmark"])
    agreed = known["tolerance"].astype(float)[[(row["model"], row["benchmark"])]].iloc[0]
    shown = " / ".join(signed(gap) for gap in gaps)
    if np.isnan(agreed):
        return shown, NONE_STATED
    kept = all(abs(gap) <= agreed for gap in gaps)
    return shown, f"{agreed:g} ({'kept' if kept else 'exceeded'})"


# --- cost: What the models cost in numbers: all that a prediction runs through, and what was
# trained.


def cost_grid(results: Results) -> Grid | None:
    """Lay out the sizes of all models but the oracle; None where none was counted."""
    base = max(
        (cost["parameters"] - cost["trainable"] for cost in results.costs.values()), default=0
    )
    rows = [
        (
            row_label(model),
            f"{cost['parameters']:,}",
            f"{cost['trainable']:,}",
            f"{100 * cost['trainable'] / base:.1f} %",
        )
        for model in results.models
        if model != ORACLE and (cost := results.costs.get(model)) is not None
    ]
    if not rows:
        return None
    return Grid(
        caption="Cost",
        head=("Model", "Numbers", "Of them trained", "Trained, of the frozen base"),
        rows=tuple(rows),
        notes=(
            "Encoder, prompt encoder and the model's own decoder. Time and memory differ from "
            "machine to machine and are beside this page, in the folder timing.",
        ),
    )
