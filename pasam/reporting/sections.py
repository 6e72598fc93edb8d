"""The sections of the page: results in, blocks out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from pasam.config.schema import HqSamParams
from pasam.data.catalogue import GENERATED
from pasam.reporting.analyses import (
    Measure,
    complexity_measure,
    gains,
    group_names,
    thinness_measure,
    trend_sentence,
)
from pasam.reporting.blocks import (
    ABLATION_COMMAND,
    Absent,
    Block,
    Charts,
    Code,
    Gallery,
    Grid,
    Key,
    Panel,
    Section,
    Slider,
    StripRow,
    Strips,
    Table,
    Text,
    Tile,
    Tiles,
)
from pasam.reporting.figures import curve_columns
from pasam.reporting.pictures import (
    Shown,
    card,
    median,
    model_view,
    most_harmed,
    most_improved,
    ranked,
    window_round,
    worst,
)
from pasam.reporting.results import BASELINE, CURVES, OTHER_AXIS, POINTS, Results, difference_at
from pasam.reporting.style import MEAN, label, mean_label, ordered_models
from pasam.reporting.summary import score_matrix
from pasam.reporting.svg import (
    OTHER_COLOURS,
    SHAPES,
    Series,
    dot_chart,
    line_chart,
    model_colour,
    model_series,
    strip,
    strip_scale,
)
from pasam.reporting.tables import (
    COCO_STYLE,
    METRIC_LABELS,
    READING,
    SEGINW_STYLE,
    box_difference,
    collection_grid,
    cost_grid,
    covered,
    details,
    overview,
    p_text,
    pairs,
    published_grid,
    published_precision_grid,
    set_collections,
    single_set_grid,
    single_sets,
    table_notes,
    verdict_text,
)
from pasam.reporting.variants import GROUP_NAMES, Ablation, ablation_names, effects_sentence, row_of
from pasam.reporting.wording import comparison, counted, listed, signed, span

# --- ablations: Table 4: every variant against PA-SAM, with its cost.

NO_ABLATION = "No variant was trained in this run."


def ablations_section(results: Results) -> Section:
    """Show Table 4."""
    variants = ablation_names(results)
    blocks: list[Block] = [Absent(what=NO_ABLATION, command=ABLATION_COMMAND)]
    if variants:
        blocks = []
        for group, heading in GROUP_NAMES.items():
            members = [variant for variant in variants if variant.group == group]
            if members:
                blocks.append(variant_strips(results, members, heading))
        blocks.append(Table(grid=ablation_grid(results)))
        words = effects_sentence(
            variants, results.ablation_differences, subject=results.subject, level=results.level
        )
        blocks.append(Text(words=words))
    name = label(results.subject)
    return Section(
        key="table-4",
        title="Table 4: ablations",
        lead=(
            f"Variants of {name}, trained from the same embeddings with the same seed; each states "
            f"only what it changes. Differences are paired, in points of boundary IoU over {name}."
        ),
        blocks=tuple(blocks),
    )


def variant_strips(results: Results, variants: Sequence[Ablation], heading: str) -> Strips:
    """Draw variants' differences in boundary IoU, on one scale for all of the table."""
    table = results.ablation_differences
    means = table[(table["benchmark"] == MEAN) & (table["metric"] == "mbiou")]
    scale = strip_scale([*means["low"], *means["high"]])
    rows = []
    for variant in variants:
        row = row_of(table, variant.name)
        drawn = strip(scale, row["difference"], row["low"], row["high"], colour="var(--other-0)")
        rows.append(
            StripRow(
                name=variant.words,
                note=variant.name,
                strip=drawn,
                value=f"{signed(row['difference'])} ({span(row['low'], row['high'])})",
                verdict=verdict_text(row),
            )
        )
    name = label(results.subject)
    caption = f"Points of boundary IoU over {name}, {results.level} intervals, Holm-adjusted p."
    return Strips(heading=heading, rows=tuple(rows), caption=caption)


def ablation_grid(results: Results) -> Grid:
    """Lay out all variants: means, difference, cost."""
    table = results.ablation_differences
    lines = [
        (label(results.subject), "", *_means(results, results.subject), "", "", _cost(results))
    ]
    for variant in ablation_names(results):
        row = row_of(table, variant.name)
        points = f"{row['difference']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]"
        cells = (points, p_text(row["p_holm"]), _cost(results, variant.name))
        lines.append((variant.name, variant.words, *_means(results, variant.name), *cells))
    head = ("Variant", "Change", "mIoU", "mBIoU", "Points of mBIoU", "p (Holm)", "Trained numbers")
    notes = (
        f"Holm's correction over {counted(len(lines) - 1, 'variant')} and both metrics. Same data, "
        f"views and seed ({results.train.seed}) for all; one seed, so that the intervals cover "
        "test images only.",
    )
    return Grid(caption="Ablations", head=head, rows=tuple(lines), notes=notes, texts=(1,))


def _means(results: Results, model: str) -> tuple[str, str]:
    found = []
    for column in ("iou", "boundary_iou"):
        scored = score_matrix(results.ablation_scores, model, column)
        by_benchmark = pd.Series(scored.per_image).groupby(scored.strata).mean()
        found.append(f"{100 * by_benchmark.mean():.1f}")
    return found[0], found[1]


def _cost(results: Results, variant: str | None = None) -> str:
    count = results.trained(variant or results.subject)
    return "" if count is None else f"{count:,}"


# --- detectors: Tables 2 and 3: instance segmentation from a detector's boxes, and open-set
# segmentation.

COMMAND = "dvc repro instances"


def coco_section(results: Results) -> Section:
    """Show Table 2."""
    return Section(
        key="table-2",
        title="Table 2: COCO-style instance segmentation",
        lead=(
            "Every box of a detector becomes a mask; boxes may be off, missing or false, and their "
            "scores decide the order."
        ),
        blocks=tuple(_blocks(results, single_sets, single_set_grid, COCO_STYLE)),
    )


def open_set_section(results: Results) -> Section:
    """Show Table 3."""
    return Section(
        key="table-3",
        title="Table 3: SegInW-style open set",
        lead="Many small sets, each with boxes found by phrase; every set counts alike.",
        blocks=tuple(_blocks(results, set_collections, collection_grid, SEGINW_STYLE)),
    )


def precision_grids(results: Results) -> dict[str, Grid]:
    """Give Tables 2 and 3 by the name of their file, as far as this run made them."""
    if results.precisions is None:
        return {}
    grids = {}
    for name, choose, lay_out in (
        ("table2", single_sets, single_set_grid), ("table3", set_collections, collection_grid),
    ):  # fmt: skip
        chosen = choose(results.precisions)
        for number, benchmark in enumerate(chosen):
            key = name if len(chosen) == 1 else f"{name}_{number + 1}"
            grids[key] = lay_out(results.precisions, benchmark)
    return grids


def _blocks(
    results: Results,
    choose: Callable[[pd.DataFrame], list[str]],
    lay_out: Callable[[pd.DataFrame, str], Grid],
    kind: str,
) -> list[Block]:
    chosen = [] if results.precisions is None else choose(results.precisions)
    if results.precisions is None or not chosen:
        return [Absent(what=f"No {kind} set was evaluated.", command=COMMAND)]
    blocks: list[Block] = []
    for benchmark in chosen:
        blocks.append(Table(grid=lay_out(results.precisions, benchmark)))
        blocks += [Text(words=words) for words in box_sentences(results, benchmark)]
    published = published_precision_grid(
        results.published_instances, results.precisions, kind, base=results.base.size
    )
    return [*blocks, *([] if published is None else [Table(grid=published, folded=True)])]


def box_sentences(results: Results, benchmark: str) -> list[str]:
    """Say how the subject's masks compare with the others' on the same boxes."""
    if results.instances is None:
        return []
    sentences = []
    for against in dict.fromkeys((results.reference, BASELINE)):
        pair = (results.subject, against)
        row = box_difference(results.instances, benchmark, pair, results.bootstrap)
        if row is not None and against != results.subject:
            words = comparison(row, level=results.level)
            sentences.append(f"On the same boxes of {benchmark}: {words}")
    return sentences


# --- fine_structure: Where the gain comes from: by how intricate and how thin the objects are.


def fine_structure_section(results: Results) -> Section:
    """Show the gain by boundary complexity and by thinness."""
    measures = [complexity_measure(results), thinness_measure(results)]
    sentences = [Text(words=trend_sentence(results, measure)) for measure in measures]
    return Section(
        key="fine-structure",
        title="Gain by fineness of structure",
        lead=(
            "All images in equally large groups, from coarse to fine, whatever benchmark they "
            "belong to."
        ),
        blocks=(fineness_charts(results, measures), *sentences),
    )


def fineness_charts(results: Results, measures: list[Measure]) -> Charts:
    """Draw the gain over the groups, one chart per measure."""
    panels, rows = [], []
    subject = results.subject
    others = [] if subject in SHAPES else [subject]
    name = f"{label(subject)} minus {label(results.reference)}"
    for measure in measures:
        table = gains(results, measure)
        names = group_names(table, measure)
        values = [table[column].tolist() for column in ("difference", "low", "high")]
        one = model_series(subject, range(len(table)), *values, others=others, name=name)
        svg = dot_chart(
            [one], names, title=f"{measure.heading}: gain in boundary IoU", y_label="points",
            x_label=measure.axis, zero=True,
        )  # fmt: skip
        panels.append(Panel(heading=measure.heading, svg=svg))
        for group, row in zip(names, table.to_dict("records"), strict=True):
            gain = f"{row['difference']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]"
            scores = f"{row['against_score']:.1f}", f"{row['score']:.1f}"
            rows.append((measure.key, group, str(row["n"]), *scores, gain))
    head = ("Measure", "Group", "n", label(results.reference), label(subject), "Gain")
    numbers = Grid(caption="Gain in boundary IoU by group", head=head, rows=tuple(rows), texts=(1,))
    caption = f"Paired gain in points of boundary IoU, {results.level} intervals."
    key = Key(name=name, colour=one.colour, shape=one.shape)
    return Charts(panels=tuple(panels), caption=caption, legend=(key,), numbers=numbers)


# --- galleries: The galleries: worst, most improved and most harmed.

OVERLAY_KEYS = (
    Key(name="hit", colour="var(--hit)", shape="square"),
    Key(name="false alarm", colour="var(--false-alarm)", shape="square"),
    Key(name="miss", colour="var(--miss)", shape="square"),
)
MARK_KEYS = (
    *OVERLAY_KEYS,
    Key(name="mined foreground point", colour="var(--hit)"),
    Key(name="mined background point", colour="var(--false-alarm)"),
)

_Pick = Callable[[list[Shown], int], list[Shown]]


def galleries_section(results: Results) -> Section:
    """Show the images at both ends of the scores, not the ones that look best."""
    images, count = ranked(results), results.report.gallery
    subject, reference = label(results.subject), label(results.reference)
    picks: list[tuple[str, str, _Pick]] = [
        ("Worst", f"where {subject}'s boundary IoU is lowest", worst),
        ("Most improved", f"where {subject} gains most over {reference}", most_improved),
        ("Most harmed", f"where {subject} loses most against {reference}", most_harmed),
    ]
    blocks: list[Block] = []
    for name, why, pick in picks:
        chosen = pick(images, count)
        if chosen:
            caption = f"{counted(len(chosen), 'image')} {why}."
            cards = tuple(card(results, shown) for shown in chosen)
            blocks.append(Gallery(name=name, caption=caption, cards=cards))
        else:
            blocks.append(Text(words=f"{name}: there is no image {why}."))
    return Section(
        key="galleries",
        title="Galleries",
        lead=(
            "Chosen by score alone from all images of all benchmarks. Each card: prompt and mined "
            f"points, {reference}, {subject}, uncertainty map. Open one, then walk with the arrow "
            "keys."
        ),
        blocks=tuple(blocks),
    )


# --- glance: At a glance: what came out, in four numbers, one sentence and one picture.

SLIDER_SIDE = 640


def glance_section(results: Results) -> Section:
    """Sum the run up."""
    rows = _mean_rows(results, "model")
    successors = _mean_rows(results, "against")
    sentences = [comparison(row, level=results.level) for row in [*rows, *successors]]
    lead = " ".join(sentences) or f"One model was scored: {label(results.subject)}."
    blocks: list[Block] = [Tiles(tiles=_tiles(results, rows))]
    if results.reference != results.subject:
        blocks.append(_slider(results))
    blocks.append(Text(words=_covers(results), quiet=True))
    return Section(key="glance", title="At a glance", lead=lead, blocks=tuple(blocks))


def _mean_rows(results: Results, side: str) -> list[Mapping[str, Any]]:
    """Differences in mean boundary IoU that have the subject on this side (model or against)."""
    table = results.differences
    chosen = table[
        (table[side] == results.subject)
        & (table["benchmark"] == MEAN)
        & (table["metric"] == "mbiou")
    ]
    return [{str(k): v for k, v in row.items()} for row in chosen.to_dict("records")]


def _tiles(results: Results, rows: list[Mapping[str, Any]]) -> tuple[Tile, ...]:
    means = results.summary.set_index(["model", "benchmark"])
    score = float(means["mbiou"][[(results.subject, MEAN)]].iloc[0])
    name = label(results.subject)
    tiles = [Tile(value=f"{score:.1f} %", words=f"mean boundary IoU of {name}")]
    for row in rows:
        words = f"points against {label(row['against'])}, {results.level} interval "
        tiles.append(
            Tile(value=signed(row["difference"]), words=words + span(row["low"], row["high"]))
        )
    if rows:
        words = f"of the images are better than with {label(rows[0]['against'])}"
        tiles.append(Tile(value=f"{rows[0]['better']:.0f} %", words=words))
    return tuple(tiles)


def _slider(results: Results) -> Slider:
    shown = median(ranked(results))
    example = results.example(shown.image_id)
    window = window_round(example)
    before, after = (
        model_view(example, model, window, side=SLIDER_SIDE)
        for model in (results.reference, results.subject)
    )
    caption = (
        f"Drag the handle: {label(results.reference)} on the left, {label(results.subject)} on the "
        f"right. This is {shown.image_id}, the image in the middle of all {len(ranked(results))} "
        f"by gain ({signed(100 * shown.gain)} points of boundary IoU)."
    )
    return Slider(before=before, after=after, caption=caption)


def _covers(results: Results) -> str:
    images = counted(len(results.by_image), "image")
    return (
        f"Measured on {images} of {counted(len(results.evaluate.benchmarks), 'benchmark')}, at "
        f"original size, the mean weighing every benchmark alike. Intervals are of paired "
        f"bootstraps. {covered(len(results.seeds))}"
    )


# --- high_quality: Table 1: the high-quality sets, its chart, and the paired differences.


def high_quality_section(results: Results) -> Section:
    """Show Table 1."""
    blocks: list[Block] = [Table(grid=overview(_own(results.summary))), _charts(results)]
    if len(results.differences):
        blocks += [_strips(results), Table(grid=pairs(results.differences, level=results.level),
                                           folded=True)]  # fmt: skip
    published = published_grid(results)
    if published is not None:
        blocks.append(Table(grid=published, folded=not results.comparable))
    cost = cost_grid(results)
    blocks += [] if cost is None else [Table(grid=cost)]
    own = details(_own(results.summary), level=results.level)
    blocks.append(Table(grid=own, folded=True))
    blocks += [
        Text(words=note, quiet=True) for note in table_notes(results.summary, results.bootstrap)
    ]
    return Section(
        key="table-1",
        title="Table 1: high-quality segmentation",
        lead=READING,
        blocks=tuple(blocks),
    )


def legend(models: list[str]) -> tuple[Key, ...]:
    """One entry per model of Table 1."""
    others = [model for model in models if model not in SHAPES]
    series = [model_series(model, [], [], others=others) for model in models]
    return tuple(Key(name=one.name, colour=one.colour, shape=one.shape) for one in series)


def _own(summary: pd.DataFrame) -> pd.DataFrame:
    """A summary without the published numbers, which have a table of their own."""
    return summary.assign(published_miou=None, published_mbiou=None)


def _charts(results: Results) -> Charts:
    summary = results.summary
    benchmarks = [str(name) for name in dict.fromkeys(summary["benchmark"])]
    names = [mean_label(len(benchmarks) - 1) if b == MEAN else b for b in benchmarks]
    panels = []
    for metric, heading in (("mbiou", "Boundary IoU"), ("miou", "IoU")):
        series = [_series(summary, results, model, metric) for model in results.models]
        svg = dot_chart(
            series, names, title=f"{heading} by benchmark and model", y_label="per cent",
            shaded=len(names) - 1 if len(names) > 2 else None,
        )  # fmt: skip
        panels.append(Panel(heading=heading, svg=svg))
    caption = (
        f"Per-image means with {results.level} intervals. Whether two models differ is told by "
        "their paired difference below, not by whether these bars overlap."
    )
    return Charts(panels=tuple(panels), caption=caption, legend=legend(results.models))


def _series(summary: pd.DataFrame, results: Results, model: str, metric: str) -> Series:
    rows = summary[summary["model"] == model]
    others = [name for name in results.models if name not in SHAPES]
    ends = [rows[f"{metric}_{end}"].tolist() for end in ("low", "high")]
    return model_series(model, range(len(rows)), rows[metric].tolist(), *ends, others=others)


def _strips(results: Results) -> Strips:
    table = results.differences[results.differences["benchmark"] == MEAN]
    scale = strip_scale([*table["low"], *table["high"]])
    rows = [
        StripRow(
            name=f"{label(str(row['model']))} minus {label(str(row['against']))}",
            note=METRIC_LABELS[str(row["metric"])],
            strip=strip(
                scale, row["difference"], row["low"], row["high"],
                colour=model_colour(str(row["model"])) if row["model"] in SHAPES
                else "var(--other-0)",
            ),
            value=f"{signed(row['difference'])} ({span(row['low'], row['high'])})",
            verdict=verdict_text(row),
        )
        for row in table.to_dict("records")
    ]  # fmt: skip
    caption = (
        f"Paired differences in points, mean over benchmarks, {results.level} intervals; p after "
        "Holm's correction over these rows."
    )
    return Strips(heading="Paired differences", rows=tuple(rows), caption=caption)


# --- repeat: How to repeat the run, and what stands where.

COMMANDS = (
    "pasam params show              # what this run did: every number is there",
    "dvc repro                      # run whatever changed; nothing changed, nothing runs",
    "dvc metrics diff               # this run against the last commit",
    "dvc plots diff                 # the same as pictures",
    "dvc exp run -S train.seed=43   # another seed",
    "pasam report show              # Table 1 in the terminal",
)


def repeat_section(results: Results) -> Section:
    """Tell how to make this page again."""
    words = (
        "Beside this page: tables as Markdown, LaTeX and CSV in the folder tables, all its numbers "
        "in report.json, and a card for every trained model in model_cards."
    )
    return Section(
        key="repeat",
        title="How to repeat it",
        lead=(
            "Same commit, same params, same page. Seeds: training "
            f"{results.train.seed}, draws of the intervals {results.report.seed}, generated data "
            f"{results.data.generated.seed}."
        ),
        blocks=(Code(lines=COMMANDS), Text(words=words, quiet=True)),
    )


# --- robustness: How quality falls when the prompt is off, the points are few or the image is poor.

METRIC = "mbiou"
ROBUSTNESS_COMMAND = "dvc repro robustness"


def robustness_section(results: Results) -> Section:
    """Show the curves over prompts and corruptions."""
    found = [str(name) for name in dict.fromkeys(results.curves["family"])]
    blocks: list[Block] = []
    if found:
        blocks += [condition_charts(results, found)]
        blocks += [Text(words=end_sentence(results, family)) for family in found]
    else:
        what = "No score rows of other prompts or of corrupted images were made in this run."
        blocks.append(Absent(what=what, command=ROBUSTNESS_COMMAND))
    return Section(
        key="robustness",
        title="Robustness",
        lead="The same models, unchanged, with prompts and images that are worse than Table 1's.",
        blocks=tuple(blocks),
    )


def condition_charts(results: Results, chosen: list[str]) -> Charts:
    """Draw one curve chart per family of conditions."""
    panels, models = [], set()
    for family in chosen:
        points = results.curves[results.curves["family"] == family]
        names = ordered_models(points["model"])
        others = [name for name in names if name not in SHAPES]
        series = []
        for model in names:
            rows = points[points["model"] == model]
            values = [rows[name].tolist() for name in ("amount", "mean", "low", "high")]
            series.append(model_series(model, *values, others=others))
        heading, axis = CURVES.get(family, (family, OTHER_AXIS))
        svg = line_chart(
            series, title=f"{heading}: mean boundary IoU by model", x_label=axis,
            y_label="boundary IoU, %",
        )  # fmt: skip
        panels.append(Panel(heading=heading, svg=svg))
        models |= set(names)
    caption = f"Mean boundary IoU over the benchmarks; bands are {results.level} intervals."
    return Charts(
        panels=tuple(panels), caption=caption, legend=legend(ordered_models(models)),
        numbers=curve_grid(results, chosen),
    )  # fmt: skip


def end_sentence(results: Results, family: str) -> str:
    """Compare subject and reference at the worst end of a curve."""
    amounts = results.curves[results.curves["family"] == family]["amount"]
    worst = float(amounts.min() if family == POINTS else amounts.max())
    pair = (results.subject, results.reference)
    row = difference_at(results.conditions, family, worst, pair, METRIC, results.bootstrap)
    heading = CURVES.get(family, (family, OTHER_AXIS))[0]
    return f"{heading}, at {worst:g}: {comparison(row, level=results.level)}"


def curve_grid(results: Results, chosen: list[str]) -> Grid:
    """Give the curves in numbers."""
    rows = []
    for family in chosen:
        for row in results.curves[results.curves["family"] == family].to_dict("records"):
            value = f"{row['mean']:.1f} [{row['low']:.1f}, {row['high']:.1f}]"
            rows.append((family, f"{row['amount']:g}", label(str(row["model"])), value))
    head = ("Condition", "Amount", "Model", "mBIoU")
    return Grid(caption="Robustness", head=head, rows=tuple(rows), texts=(2,))


# --- setting: What was run on what, and what it therefore cannot show.


def setting_section(results: Results) -> Section:
    """Describe data, size and seeds."""
    return Section(
        key="setting",
        title="What was run on what",
        lead="It cannot show " + "; ".join(cannot_show(results)) + ".",
        blocks=(Table(grid=_facts(results)),),
    )


def cannot_show(results: Results) -> list[str]:
    """List the claims that this run's data, size and seeds do not carry."""
    limits = []
    if results.base.size == "vit_tiny":
        limits.append("how the models compare on a full-size SAM, since the base is the small one")
    if results.manifest["dataset"].isin(GENERATED).any():
        limits.append("how they do on photographs where the data is generated")
    if not results.comparable:
        limits.append("any number of the paper, whose weights, data and protocol are others")
    if len(results.seeds) == 1:
        limits.append("whether another seed of training would say the same")
    smallest = int(results.summary["n"].min())
    if smallest < 30:
        limits.append(f"much about single benchmarks of {counted(smallest, 'image')}")
    return limits or ["what happens on data unlike these benchmarks"]


def _facts(results: Results) -> Grid:
    manifest, train = results.manifest, results.train
    train_rows = manifest[manifest["split"] == "train"]
    sizes = results.by_image["benchmark"].value_counts()
    benchmarks = listed([f"{b} ({sizes.get(b, 0)})" for b in results.evaluate.benchmarks])
    rows = [
        ("Training set", counted(train_rows["image"].nunique(), "image")
         + f", {counted(len(train_rows), 'mask')}"),
        ("Benchmarks (images)", benchmarks),
        ("Frozen base", results.base.size),
        *((f"Trained: {label(model)}", _recipe(results, model)) for model in results.variants),
        ("Seeds of training", listed([str(seed) for seed in results.seeds])),
        ("Optimiser", f"Adam, learning rate {train.learning_rate:g}, batch {train.batch_size}"),
        ("Boundary band",
         f"{100 * results.evaluate.boundary_fraction:g} % of the image's diagonal"),
        ("Intervals", f"{results.level}, {results.report.n_resamples:,} paired bootstrap draws"),
    ]  # fmt: skip
    return Grid(caption="The run", head=("What", "Value"), rows=tuple(rows), texts=(1,))


def _recipe(results: Results, model: str) -> str:
    variant = results.variants[model]
    kind = "" if isinstance(variant, HqSamParams) else f", gradient '{variant.gradient}'"
    words = f"{counted(variant.epochs, 'epoch')}, prompts '{variant.prompts}'{kind}"
    trained = results.trained(model)
    return words + (f", {trained:,} numbers" if trained else "")


# --- training: Training curves: every loss term of every model.

_SHAPES = ("square", "diamond", "triangle")


def training_section(results: Results) -> Section:
    """Show how the losses fell."""
    terms = sorted(
        {name for h in results.histories.values() for name in curve_columns(h)} - {"loss"}
    )
    panels = [
        Panel(heading=label(model), svg=_chart(model, history, terms))
        for model, history in results.histories.items()
    ]
    legend = [Key(name="loss (total)", colour="var(--ink)")]
    legend += [
        Key(name=term, colour=_colour(terms, term), shape=_shape(terms, term)) for term in terms
    ]
    caption = (
        "Mean over each epoch; models train on losses of their own, so heights do not compare."
    )
    return Section(
        key="training",
        title="Training curves",
        lead="Every term of every loss, epoch by epoch.",
        blocks=(Charts(panels=tuple(panels), caption=caption, legend=tuple(legend)),),
    )


def _chart(model: str, history: pd.DataFrame, terms: list[str]) -> Markup:
    epochs = [float(epoch) + 1 for epoch in history["epoch"]]
    series = [
        Series(
            name="loss" if term == "loss" else term,
            colour="var(--ink)" if term == "loss" else _colour(terms, term),
            shape="circle" if term == "loss" else _shape(terms, term),
            x=tuple(epochs),
            y=tuple(float(value) for value in history[term]),
        )
        for term in curve_columns(history)
    ]
    return line_chart(
        series,
        title=f"Losses of {label(model)} by epoch",
        x_label="epoch",
        y_label="loss",
        zero=True,
    )


def _colour(terms: list[str], term: str) -> str:
    return f"var(--other-{terms.index(term) % OTHER_COLOURS})"


def _shape(terms: list[str], term: str) -> str:
    return _SHAPES[terms.index(term) // OTHER_COLOURS % len(_SHAPES)]
