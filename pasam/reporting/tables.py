"""Tables 1 to 3, the published numbers beside them, and what the models cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pasam.config.schema import PaSamParams, VariantParams
from pasam.data.catalogue import GENERATED, PHOTOS
from pasam.evaluation.published import is_whole
from pasam.evaluation.scores import averaged
from pasam.evaluation.statistics import SEEDS_FOR_P, worded
from pasam.masks.prompts import KINDS
from pasam.reporting.analyses import gain_of, scored_variants
from pasam.reporting.blocks import Grid
from pasam.reporting.results import BASELINE, FEWEST, ORACLE, PACKAGED, Results
from pasam.reporting.style import (
    DECIMALS,
    MEAN,
    METRIC_LABELS,
    METRICS,
    NOTHING,
    comparison_sentence,
    counted,
    gain_cell,
    label,
    listed,
    mean_label,
    ordered_benchmarks,
    ordered_models,
    p_text,
    ranged,
    row_label,
    signed,
)
from pasam.reporting.summary import Bootstrap, held_together, in_points, rows_where, score_matrix

BEST = "pa_sam_plus"
"""The best combination of changes, as a model of its own."""
TRIES = (
    f"{label(BEST)} had more tries than the others: its settings were chosen among more than "
    "forty, on sets that Table 1 does not use (docs/ablations.md)."
)
PUBLISHED_HEAD = "published (ViT-L, HQSeg-44K): not comparable with this run"
NONE_STATED = "none stated"
READING = (
    "mIoU / mBIoU in per cent, mean over masks at original size; the mean weighs every benchmark "
    "that it is of alike. Pooled IoU: all intersections over all unions, of the same benchmarks."
)
NO_INTERVAL = (
    "Average precision is one number of a whole set, given without an interval; the paired "
    "difference of the masks on the same boxes stands below."
)

PRECISIONS = {
    "ap": "AP", "ap50": "AP50", "ap75": "AP75", "ap_small": "AP S", "ap_medium": "AP M",
    "ap_large": "AP L",
}  # fmt: skip
"""Column of the average precisions -> what a table calls it."""
SIZES = ("small", "medium", "large")
COCO_STYLE, SEGINW_STYLE = "COCO-style", "SegInW-style"
_PUBLISHED = {
    COCO_STYLE: ("coco", "COCO val2017, boxes from FocalNet-DINO"),
    SEGINW_STYLE: ("seginw", "SegInW, 25 sets, boxes from Grounding DINO"),
}
_PUBLISHED_PRECISIONS = {
    "ap": "AP", "ap_small": "AP S", "ap_medium": "AP M", "ap_large": "AP L",
    "ap_boundary": "Boundary AP",
}  # fmt: skip


def overview(summary: pd.DataFrame) -> Grid:
    """One row per model: both scores per benchmark, mean, pooled IoU, published mean."""
    benchmarks = [str(name) for name in dict.fromkeys(summary["benchmark"]) if name != MEAN]
    sizes = {str(row["benchmark"]): row["n"] for row in summary.to_dict("records")}
    # The mean first: a phone shows no more than the first two columns.
    header = ["Model", f"{mean_label(benchmarks)} (n={sizes[MEAN]})"]
    header += [*(f"{name} (n={sizes[name]})" for name in benchmarks), "Pooled IoU"]
    shows_published = bool(summary[summary["benchmark"] == MEAN]["published_miou"].notna().any())
    header += [PUBLISHED_HEAD] if shows_published else []
    lines = []
    for model in dict.fromkeys(summary["model"]):
        rows = summary[summary["model"] == model].set_index("benchmark")
        order = [MEAN, *benchmarks]
        cells = [_both(rows.loc[name, "miou"], rows.loc[name, "mbiou"]) for name in order]
        cells.append(f"{rows.loc[MEAN, 'pooled_iou']:.1f}")
        if shows_published:
            cells.append(_both(rows.loc[MEAN, "published_miou"], rows.loc[MEAN, "published_mbiou"]))
        lines.append((row_label(str(model)), *cells))
    return Grid(caption="High-quality segmentation", head=tuple(header), rows=tuple(lines))


def recipes(results: Results) -> Grid:
    """Say beside Table 1 what each model was trained with: its rows differ in more than a name."""
    params, rows = results.params, []
    train = results.manifest[results.manifest["split"] == "train"]
    masks, drawn = len(train), train["dataset"].isin(GENERATED)
    at_once = params.train.batch_size * params.train.devices * params.train.nodes
    step = counted(at_once * params.train.accumulate, "mask")
    images = "also others" if drawn.any() else "none synthetic"
    images = "synthetic only" if drawn.all() else images
    for model, variant in params.variants.items():
        kinds = Counter(KINDS[variant.prompts])
        mix = ", ".join(f"{kind} {count}/{kinds.total()}" for kind, count in kinds.items())
        # As the training has it: all steps are of whole batches, unless there are too few for one.
        batches = masks // at_once
        steps = variant.epochs * (batches // params.train.accumulate or min(batches, 1))
        rate = _rate(variant, params.train.learning_rate)
        seeds = results.scores[results.scores["model"] == model]["seed"].nunique()
        made = f"up to {steps:,} of {step}"  # masks with too few pixels to be prompted for are none
        cells = (images, f"{variant.prompts}: {mix}", made, rate, str(seeds))
        rows.append((label(model), *cells, trainable_cell(results, model)))
    if PACKAGED in results.models:
        cells = ("photographs too", "docs/tiny.md", NOTHING, "docs/tiny.md", "1")
        rows.append((label(PACKAGED), *cells, trainable_cell(results, PACKAGED)))
    notes = ["Table 1 prompts every model with one tight box, whatever it was trained with."]
    notes += [TRIES] if BEST in params.variants else []
    return Grid(
        caption="What the models of Table 1 were trained with",
        head=(
            "Model",
            "Images",
            "Prompts",
            "Steps",
            "Learning rate",
            "Seeds",
            "Trainable parameters",
        ),
        rows=tuple(rows),
        notes=tuple(notes),
        texts=(1, 2, 3, 4),
    )


def _rate(variant: VariantParams, rate: float) -> str:
    """Say at what rate a model learnt, and how much of what it learnt it keeps."""
    each = "epoch" if variant.lr_step_size == 1 else f"{variant.lr_step_size} epochs"
    words = f"{rate:g}, a tenth every {each}"
    if isinstance(variant, PaSamParams) and variant.adapter_rate != 1:
        words += f"; adapter {rate * variant.adapter_rate:g}"
    if isinstance(variant, PaSamParams) and variant.interpolation != 1:
        words += f"; {100 * variant.interpolation:g} % of the way from SAM"
    return words


def details(summary: pd.DataFrame, *, level: str) -> Grid:
    """One row per benchmark and model, with intervals."""
    header = ["Benchmark", "Model", "n", "mIoU", "mBIoU", "Pooled IoU"]
    shows_published = bool(summary["published_miou"].notna().any())
    header += [PUBLISHED_HEAD] if shows_published else []
    benchmarks = list(dict.fromkeys(summary["benchmark"]))
    lines = []
    for benchmark in benchmarks:
        for row in rows_where(summary, benchmark=benchmark):
            name = mean_label(benchmarks) if benchmark == MEAN else benchmark
            line = [name, row_label(row["model"]), str(row["n"])]
            line += [ranged(row, metric) for metric in METRICS]
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
        "Comparison", "Metric", "Points", "Better / worse / tied (% of masks)", "p (Holm)",
        "Verdict",
    )  # fmt: skip
    lines = []
    for row in rows_where(differences, benchmark=MEAN):
        outcomes = " / ".join(f"{row[name]:.0f}" for name in ("better", "worse", "tied"))
        names = f"{label(row['model'])} minus {label(row['against'])}"
        cells = (METRIC_LABELS[row["metric"]], gain_cell(row), outcomes)
        lines.append((names, *cells, p_text(row["p_holm"]), worded(row["verdict"], row["seeds"])))
    caption = f"Paired differences, mean over benchmarks, {level} interval"
    return Grid(caption=caption, head=head, rows=tuple(lines), texts=(1, 5))


def table_notes(summary: pd.DataFrame, bootstrap: Bootstrap) -> tuple[str, ...]:
    """Say what the intervals and verdicts of Table 1 mean, and where the metric has its limits."""
    covers = summary[summary["benchmark"] != MEAN].drop_duplicates("benchmark").to_dict("records")
    fractions = ", ".join(f"{row['benchmark']} {row['band_covers']:.0f} %" for row in covers)
    notes = [
        f"Intervals: {bootstrap.level}, paired, over images (or groups of images that belong "
        f"together) within their benchmark, {bootstrap.n_resamples:,} resamples, the same for all "
        "models. " + covered(int(summary["seeds"].max())),
        "A verdict says what the paired difference shows after Holm's correction over the table's "
        'rows; "no difference shown" does not mean equal.',
        "Masks whose boundary band covers the whole ground truth, so that their boundary IoU "
        f"measures the region: {fractions}.",
    ]
    if PHOTOS in set(summary["benchmark"]):
        notes.append(
            f"{PHOTOS}: objects of the photographs that ship with scikit-image and scikit-learn, "
            "outlined for this project; intervals draw photographs with all their objects. They "
            "are in no mean, and a difference on them is not among the rows above."
        )
    if summary["published_miou"].notna().any():
        notes.append(
            "Published numbers were obtained with other weights, training data and images; they "
            "stand beside this run to show the size of the effect at full scale."
        )
    return tuple(notes)


def covered(seeds: int) -> str:
    """Say which variance an interval includes."""
    if seeds == 1:
        return (
            "They cover the choice of test images and do not include seed variance: they speak of "
            "these weights, and no p-value is given."
        )
    p = "" if seeds >= SEEDS_FOR_P else ", too few for a p-value"
    return f"They cover the choice of test images and include seed variance ({seeds} seeds{p})."


def _both(miou: object, mbiou: object) -> str:
    return NOTHING if pd.isna(miou) else f"{miou:.1f} / {mbiou:.1f}"  # type: ignore[call-overload]


def benchmarks_of(precisions: pd.DataFrame, kind: str) -> list[str]:
    """List the benchmarks of one set (COCO-style) or of many small sets (SegInW-style)."""
    counts = precisions.groupby("benchmark")["set"].nunique()
    return [str(name) for name, sets in counts.items() if (sets == 1) == (kind == COCO_STYLE)]


def single_set_grid(precisions: pd.DataFrame, benchmark: str) -> Grid:
    """Lay out a COCO-style set: mask AP in all its forms, and boundary AP."""
    rows = _over_seeds(precisions[precisions["benchmark"] == benchmark])
    lines = []
    for model in ordered_models(rows["model"]):
        mask, boundary = (_row(rows, model, overlap) for overlap in ("mask", "boundary"))
        cells = [
            _precision(mask.get(column)) if _objects(mask, column) >= FEWEST else NOTHING
            for column in PRECISIONS
        ]
        lines.append((label(model), *cells, _precision(boundary.get("ap"))))
    counts = rows.iloc[0]
    head = ("Model", *(
        name if column in ("ap", "ap50", "ap75") else f"{name} (n={_objects(counts, column)})"
        for column, name in PRECISIONS.items()
    ), "Boundary AP")  # fmt: skip
    caption = (
        f"{benchmark}: {counts['images']} images, {counts['objects']} objects, "
        f"{counts['detections']} boxes of a detector"
    )
    few = (
        f"No AP of a size is given where fewer than {FEWEST} objects have it. COCO's sizes share "
        "their limits: an object of exactly 32 x 32 or 96 x 96 pixels counts in two."
    )
    return Grid(caption=caption, head=head, rows=tuple(lines), notes=(NO_INTERVAL, few))


def collection_grid(precisions: pd.DataFrame, benchmark: str) -> Grid:
    """Lay out SegInW-style sets: mask AP of each, and the mean, every set alike."""
    rows = _over_seeds(precisions[precisions["benchmark"] == benchmark])
    objects = {str(row["set"]): _objects(row, "ap") for row in rows_where(rows)}
    sets = sorted(set(objects) - {MEAN})
    lines = []
    for model in ordered_models(rows["model"]):
        cells = [
            _row(rows[rows["set"] == name], model, "mask") if objects[name] >= FEWEST else {}
            for name in [*sets, MEAN]
        ]
        cells.append(_row(rows[rows["set"] == MEAN], model, "boundary"))
        lines.append((label(model), *(_precision(cell.get("ap")) for cell in cells)))
    named = [f"{name} (n={objects[name]})" for name in sets]
    head = ("Model", *named, f"Mean of {len(sets)}", "Mean boundary AP")
    caption = f"{benchmark}: mask AP by set with its objects, boxes by phrase"
    few = f"No AP of a set is given where it has fewer than {FEWEST} objects; the mean is of all."
    return Grid(caption=caption, head=head, rows=tuple(lines), notes=(NO_INTERVAL, few))


def grids_of(precisions: pd.DataFrame, kind: str) -> dict[str, Grid]:
    """Lay out every benchmark of a kind, by its name."""
    lay_out = single_set_grid if kind == COCO_STYLE else collection_grid
    return {name: lay_out(precisions, name) for name in benchmarks_of(precisions, kind)}


def published_precision_grid(
    published: pd.DataFrame | None, precisions: pd.DataFrame, kind: str, *, base: str
) -> Grid | None:
    """Lay out what was published for a kind of set, beside this run's own on the same set.

    Only where the run scored the whole published set, or all of the sets, on a base of that size
    does the table have this run's AP and the difference; else its caption says that it is no
    yardstick.
    """
    if published is None:
        return None
    benchmark, name = _PUBLISHED[kind]
    rows = published[published["benchmark"] == benchmark]
    ours = precisions[precisions["benchmark"] == benchmark]
    comparable = base in set(rows["base"]) and is_whole(ours, benchmark)
    rows = rows[rows["base"] == base] if comparable else rows
    ours = _over_seeds(ours)
    ours = ours[ours["set"] == MEAN] if MEAN in set(ours["set"]) else ours
    columns = [column for column in _PUBLISHED_PRECISIONS if rows[column].notna().any()]
    lines = []
    for row in rows.to_dict("records"):
        cells = [f"{row[column]:.1f}" for column in columns]
        if comparable:
            own = _row(ours, row["model"], "mask").get("ap")
            gap = None if own is None else f"{100 * own - row['ap']:+.1f}"
            cells += [_precision(own), gap or NOTHING]
        lines.append((label(str(row["model"])), str(row["base"]), *cells))
    head = ("Model", "Base", *(_PUBLISHED_PRECISIONS[column] for column in columns))
    return Grid(
        caption=f"Published: {name}" + ("" if comparable else " (not comparable with this run)"),
        head=(*head, "Our AP", "Difference") if comparable else head,
        rows=tuple(lines),
        notes=("PA-SAM's rows are in its paper only and were not read; no tolerance was agreed.",),
        texts=(1,),
    )


def box_difference(
    instances: pd.DataFrame, benchmark: str, pair: tuple[str, str], bootstrap: Bootstrap
) -> Mapping[str, Any] | None:
    """Compare two models' masks on the same boxes, averaged per image, as `summary.compare` does.

    Only boxes of which one of the two masks meets an object of its category count, and a mask that
    meets none, as an empty one does, counts with 0 there; images are resampled within their set.

    Returns:
        A row of `summary.compare` by boundary IoU; None where the two share no such box.
    """
    keys = ["set", "image_id", "detection"]
    of_set = instances[(instances["benchmark"] == benchmark) & instances["model"].isin(pair)]
    if of_set["model"].nunique() < 2:
        return None
    of_set = of_set.assign(boundary_iou=of_set["boundary_iou"].where(of_set["object_id"] >= 0, 0.0))
    means = of_set.groupby(["model", *keys])["boundary_iou"].mean()
    both = pd.concat([means[name] for name in pair], axis=1, keys=["a", "b"]).dropna()
    met = of_set.groupby(keys)["object_id"].max()
    both = both[met.loc[both.index] >= 0]
    if both.empty:
        return None
    images = both.groupby(["set", "image_id"]).mean()
    strata, units = (
        [str(name) for name in images.index.get_level_values(level)] for level in (0, 1)
    )
    first, second = (images[name].to_numpy(np.float64) for name in ("a", "b"))
    result = bootstrap.difference(first, second, strata, units)
    named = {"model": pair[0], "against": pair[1], "metric": "mbiou", "n": len(images)}
    return named | in_points(result)


def _over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Average the seeds of training."""
    names = ["model", "benchmark", "set", "overlap"]
    counted = ["images", "detections", "objects", *(f"objects_{size}" for size in SIZES)]
    means = rows.groupby(names, as_index=False)[[*PRECISIONS, *counted]].mean()
    counts = {name: means[name].round().astype(int) for name in counted}
    return means.assign(**counts)


def _row(rows: pd.DataFrame, model: str, overlap: str) -> Mapping[str, Any]:
    return next(iter(rows_where(rows, model=model, overlap=overlap)), {})


def _objects(row: Mapping[str, Any] | pd.Series[Any], column: str) -> int:
    """Count the objects that a precision is of: those of its size, or all."""
    size = column.removeprefix("ap_")
    return int(row[f"objects_{size}" if column.startswith("ap_") else "objects"])


def _precision(value: Any) -> str:
    return NOTHING if value is None or pd.isna(value) else f"{100 * value:.1f}"


def precision_grids(results: Results) -> dict[str, Grid]:
    """Give Tables 2 and 3 by the name of their file, as far as this run made them."""
    grids = {}
    for name, kind in (("table2", COCO_STYLE), ("table3", SEGINW_STYLE)):
        found = grids_of(results.precisions, kind)
        for number, grid in enumerate(found.values(), start=1):
            grids[name if len(found) == 1 else f"{name}_{number}"] = grid
    return grids


def box_sentences(results: Results, benchmark: str) -> list[str]:
    """Say how the subject's masks compare with the others' on the same boxes."""
    if results.instances is None:
        return []
    others = [m for m in dict.fromkeys((results.reference, BASELINE)) if m != results.subject]
    found = [
        box_difference(results.instances, benchmark, (results.subject, against), results.bootstrap)
        for against in others
    ]
    rows = held_together([row for row in found if row is not None], results.bootstrap)
    return [
        f"On the same boxes of {benchmark} (n = {counted(row['n'], 'image')}): "
        + comparison_sentence(row, level=results.level)
        for row in rows
    ]


def sizes_of_benchmarks(results: Results) -> list[str]:
    """Say how many images, and of those how many masks, each benchmark has."""
    measured = results.manifest[results.manifest["split"] == "val"]
    sizes = []
    for name in results.params.evaluate.benchmarks:
        rows = measured[measured["dataset"] == name]
        images, masks = rows["image"].nunique(), len(rows)
        words = counted(images, "image")
        sizes.append(f"{name} ({words if images == masks else f'{words}, {masks} masks'})")
    return sizes


def trainable_cell(results: Results, model: str) -> str:
    """Count what is trained of a model or variant, for a cell."""
    count = results.trainable(model)
    return NOTHING if count is None else f"{count:,}"


def ablation_grid(results: Results) -> Grid:
    """Lay out all variants: means, difference, cost."""
    subject = results.subject
    lines = [
        (label(subject), "", *_means(results, subject), "", "", trainable_cell(results, subject))
    ]
    for variant in scored_variants(results):
        row = gain_of(results, variant.name)
        cells = (gain_cell(row), row["verdict"], trainable_cell(results, variant.name))
        lines.append((variant.name, variant.words, *_means(results, variant.name), *cells))
    head = (
        "Variant", "Change", "mIoU", "mBIoU", "Points of mBIoU", "Verdict",
        "Trainable parameters",
    )  # fmt: skip
    notes = (
        f"Measured on {listed(ordered_benchmarks(results.ablation_scores['benchmark']))}"
        + ("" if results.development is None else ", sets that Table 1 does not use")
        + f". Holm's correction over {counted(len(lines) - 1, 'variant')} and both metrics. Same "
        "data, "
        f"views and seed ({results.params.train.seed}) for all; one seed, so that intervals and "
        "verdicts speak of these weights, and no p-value is given.",
    )
    return Grid(caption="Ablations", head=head, rows=tuple(lines), notes=notes, texts=(1, 5))


def _means(results: Results, model: str) -> tuple[str, str]:
    found = []
    for column in ("iou", "boundary_iou"):
        scored = score_matrix(results.ablation_scores, model, column)
        by_benchmark = scored.mean().groupby("benchmark").mean()
        found.append(f"{100 * by_benchmark[averaged(map(str, by_benchmark.index))].mean():.1f}")
    return found[0], found[1]


def published_grid(results: Results) -> Grid | None:
    """Lay published and own numbers side by side; None where nothing is published.

    Difference and tolerance are given only where the run repeats the published protocol; else the
    table says that its two columns cannot be compared.
    """
    rows = rows_where(results.summary[results.summary["published_miou"].notna()])
    if not rows:
        return None
    head: tuple[str, ...] = (
        "Model", "Published set", "Published mIoU / mBIoU", "Ours, on", "Ours mIoU / mBIoU",
    )  # fmt: skip
    lines: list[tuple[str, ...]] = [
        (
            label(row["model"]), row["published_benchmark"],
            _both(row["published_miou"], row["published_mbiou"]), row["benchmark"],
            _both(row["miou"], row["mbiou"]),
        )
        for row in rows
    ]  # fmt: skip
    caption = "Published numbers (ViT-L, HQSeg-44K) beside this run: not comparable"
    note = (
        "Other weights, training data and images: this shows the size of the effect at full scale."
    )
    if results.published.comparable:
        head = (*head, "Difference", "Tolerance")
        lines = [(*line, *_judged(row, results)) for line, row in zip(lines, rows, strict=True)]
        caption = "Published numbers beside this run, which repeats their protocol"
        note = (
            "Tolerance: of a full retraining, of SAM of the same weights, in points; where none is "
            "stated, none was agreed."
        )
    return Grid(caption=caption, head=head, rows=tuple(lines), notes=(note,), texts=(1, 3))


def _judged(row: Mapping[str, Any], results: Results) -> tuple[str, str]:
    pairs = [(row[metric], row[f"published_{metric}"]) for metric in ("miou", "mbiou")]
    gaps = [round(own - theirs, DECIMALS) for own, theirs in pairs]
    known = results.published.scores.set_index(["model", "benchmark"])
    agreed = known["tolerance"].astype(float)[[(row["model"], row["benchmark"])]].iloc[0]
    shown = " / ".join(signed(gap) for gap in gaps)
    if np.isnan(agreed):
        return shown, NONE_STATED
    kept = all(abs(gap) <= agreed for gap in gaps)
    return shown, f"{agreed:g} ({'kept' if kept else 'exceeded'})"


def cost_grid(results: Results) -> Grid | None:
    """Lay out the sizes of all models but the oracle; None where none was counted."""
    base = max(
        (cost["parameters"] - cost["trainable"] for cost in results.costs.values()), default=0
    )
    rows = [
        (
            row_label(model), f"{cost['parameters']:,}", f"{cost['trainable']:,}",
            f"{100 * cost['trainable'] / base:.1f} %",
        )
        for model in results.models
        if model != ORACLE and (cost := results.costs.get(model)) is not None
    ]  # fmt: skip
    if not rows:
        return None
    return Grid(
        caption="Cost",
        head=("Model", "Parameters", "Trainable parameters", "Trainable, % of base"),
        rows=tuple(rows),
        notes=(
            "Encoder, prompt encoder and the model's own decoder. Time and memory differ from "
            "machine to machine and are beside this page, in the folder timing.",
        ),
    )
