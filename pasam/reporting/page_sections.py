"""The sections of the page: one table of what each shows, and the functions that build them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from pasam.config.schema import HqSamParams
from pasam.evaluation.scores import averaged
from pasam.evaluation.statistics import GAIN, UNDECIDED, worded
from pasam.reporting import analyses, page_images, svg, tables
from pasam.reporting.blocks import (
    Absent,
    Block,
    Charts,
    Code,
    ForestPlot,
    Gallery,
    Grid,
    Key,
    PageSection,
    Panel,
    Slider,
    Text,
    Tiles,
)
from pasam.reporting.results import CURVES, POINTS, Results, curve_columns, difference_at
from pasam.reporting.style import (
    MEAN,
    METRIC_LABELS,
    METRIC_WORDS,
    OTHERS,
    comparison_sentence,
    counted,
    gain_cell,
    label,
    listed,
    mean_label,
    of_weights,
    ordered_benchmarks,
    ordered_models,
    signed,
    span,
)
from pasam.reporting.summary import held_together, rows_where
from pasam.reporting.svg import forest_plot, legend, model_key, other_colour, series_of

OUTCOME_KEYS = (
    Key(name="true positive", colour="var(--true-positive)", shape="square"),
    Key(name="false positive", colour="var(--false-positive)", shape="square"),
    Key(name="false negative", colour="var(--false-negative)", shape="square"),
)
MARK_KEYS = (
    *OUTCOME_KEYS,
    Key(name="mined foreground point", colour="var(--true-positive)"),
    Key(name="mined background point", colour="var(--false-positive)"),
)
"""Legends of the images, which the templates set beside them."""

_SLIDER_SIDE = 640
OPEN = ("glance", "table-1")
"""Sections that are open when the page is."""
_TERM_SHAPES = ("square", "diamond", "triangle")

COMMANDS = (
    "pasam params show              # what this run did: every value is there",
    "dvc repro                      # run whatever changed; nothing changed, nothing runs",
    "dvc metrics diff               # this run against the last commit",
    "dvc plots diff                 # the same as charts",
    "dvc exp run -S train.seed=43   # another seed",
    "pasam report show              # Table 1 in the terminal",
)


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a section or a question is built from, besides Table 1's scores."""

    met: Callable[[Results], bool]
    absent: str
    """What to say where a run has not made it."""
    command: str
    """What makes it."""

    @property
    def block(self) -> Absent:
        """As the page says it."""
        return Absent(what=self.absent, command=self.command)


@dataclass(frozen=True, kw_only=True)
class SectionRow:
    """One section of the page: what it is called, what it needs, and how it is built."""

    key: str
    title: str
    lead: str | Callable[[Results], str]
    """Words, in which {subject}, {reference} and {params} stand for the run's."""
    build: Callable[[Results], Iterable[Block]]
    needs: Need | None = None

    def section(self, results: Results) -> PageSection:
        """Build it from a run, or say what the run lacks for it."""
        lacking = self.needs is not None and not self.needs.met(results)
        blocks = [self.needs.block] if lacking and self.needs else self.build(results)
        names = {"subject": label(results.subject), "reference": label(results.reference)}
        if isinstance(self.lead, str):
            lead = self.lead.format(**names, params=results.params)
        else:
            lead = self.lead(results)
        return PageSection(
            key=self.key, title=self.title, lead=lead, blocks=tuple(blocks),
            folded=self.key not in OPEN,
        )  # fmt: skip


VARIANTS = Need(
    met=lambda results: bool(analyses.scored_variants(results)),
    absent="No variant was trained in this run.",
    command="pasam params use ablation && dvc repro",
)
CONDITIONS = Need(
    met=lambda results: bool(len(results.curves)),
    absent="No score rows of other prompts or of corrupted images were made in this run.",
    command="dvc repro robustness",
)


def _sets_of(kind: str, name: str) -> Need:
    return Need(
        met=lambda results: bool(tables.benchmarks_of(results.precisions, kind)),
        absent=f"Not measured: there were no detections of {name} where "
        f"instances.{'coco' if kind == tables.COCO_STYLE else 'seginw'}.detections of params.yaml "
        "says. Put them there first.",
        command="dvc repro instances",
    )


def shown_rows(results: Results) -> list[dict[str, Any]]:
    """List what Table 1 shows of its pairs, in either mean and after Holm, losses first."""
    rows = rows_where(results.differences, benchmark=MEAN)
    shown = [row for row in rows if row["verdict"] != UNDECIDED]
    return sorted(shown, key=lambda row: bool(row["verdict"] == GAIN))


def glance_lead(results: Results) -> str:
    """Name every pair that Table 1 shows to differ, the losses first; count the others."""
    rows = rows_where(results.differences, benchmark=MEAN)
    if not rows:
        return f"One model was scored: {label(results.subject)}."
    shown: dict[tuple[str, str, bool], list[dict[str, Any]]] = {}
    for row in shown_rows(results):
        pair = row["model"], row["against"], bool(row["verdict"] == GAIN)
        shown.setdefault(pair, []).append(row)
    clauses = []
    for (model, against, above), both in shown.items():
        by = " and ".join(
            f"{abs(row['difference']):.1f} points of {METRIC_WORDS[row['metric']]}" for row in both
        )
        ends = "; ".join(span(row["low"], row["high"]) for row in both)
        side = "above" if above else "below"
        ends += "" if of_weights(rows) or not of_weights(both) else "; for these weights"
        clauses.append(f"{label(model)} is {by} {side} {label(against)} ({ends})")
    told = "; ".join(clauses)
    undecided = len(undecided_rows(results))
    after = f"{results.level} intervals{of_weights(rows)}, Holm's correction over {len(rows)} rows"
    sentences = [f"{told} ({after})."] if told else []
    if undecided:
        sentences.append(f"No difference is shown in {undecided} of {len(rows)} comparisons.")
    return " ".join(sentences)


def undecided_rows(results: Results) -> list[dict[str, Any]]:
    """List the comparisons of means in which Table 1 shows no difference."""
    rows = rows_where(results.differences, benchmark=MEAN)
    return [row for row in rows if row["verdict"] == UNDECIDED]


def glance(results: Results) -> Iterator[Block]:
    """Sum the run up in a few numbers and one image."""
    yield Tiles(tiles=tuple(_tiles(results)))
    if results.reference != results.subject:
        yield _slider(results)
    if undecided := undecided_rows(results):
        yield replace(
            tables.pairs(pd.DataFrame(undecided), level=results.level),
            caption=f"Comparisons without a shown difference: {len(undecided)}",
            notes=(
                "An interval without 0 is not enough, since many comparisons are made: p is after "
                "Holm's correction. No difference shown does not mean that there is none.",
            ),
            folded=True,
        )
    masks, names = counted(len(results.by_image), "mask"), results.summary["benchmark"]
    benchmarks = counted(names.nunique() - 1, "benchmark")
    of = mean_label(names).removeprefix("Mean of ")
    words = (
        f"Measured on {masks} of {benchmarks}, at original size; means are of the {of} benchmarks, "
        "each of the same weight. Intervals are of paired bootstraps. "
        + tables.covered(len(results.seeds))
    )
    yield Text(words=words, quiet=True)


def _tiles(results: Results) -> Iterator[tuple[str, str]]:
    [own] = rows_where(results.summary, model=results.subject, benchmark=MEAN)
    yield f"{own['mbiou']:.1f} %", f"mean boundary IoU of {label(results.subject)}"
    rows = rows_where(results.differences, model=results.subject, benchmark=MEAN, metric="mbiou")
    for row in sorted(rows, key=lambda row: row["difference"]):
        yield signed(row["difference"]), _against(row, results)
    if rows:
        words = f"of the masks are better than with {label(rows[0]['against'])}"
        yield f"{rows[0]['better']:.0f} %", words


def _against(row: Mapping[str, Any], results: Results) -> str:
    """Write a difference's verdict beside its interval, which knows of no other comparison."""
    verdict = worded(row["verdict"], int(row["seeds"]))
    interval = f"{results.level} interval {span(row['low'], row['high'])}"
    if row["verdict"] == UNDECIDED and not row["low"] <= 0 <= row["high"]:
        many = len(rows_where(results.differences, benchmark=MEAN))
        verdict, interval = f"{verdict} among {many} comparisons", f"by itself, {interval}"
    return f"points against {label(row['against'])}: {verdict} ({interval})"


def _slider(results: Results) -> Slider:
    images = page_images.ranked(results)
    chosen = page_images.median(images)
    image = page_images.cropped(results, chosen, side=_SLIDER_SIDE)
    caption = (
        f"Drag the handle: {label(results.reference)} on the left, {label(results.subject)} on the "
        f"right. This is {chosen}, in the middle of all {counted(len(images), 'mask')} "
        f"by gain ({signed(100 * images['gain'][chosen])} points of boundary IoU)."
    )
    before, after = (image.prediction(model) for model in (results.reference, results.subject))
    return Slider(before=before, after=after, caption=caption)


def setup(results: Results) -> Iterator[Block]:
    """Describe data, size and seeds."""
    params, train = results.params, results.params.train
    train_rows = results.manifest[results.manifest["split"] == "train"]
    images = counted(train_rows["image"].nunique(), "image")
    boundary = f"{100 * params.evaluate.boundary_fraction:g} % of the image's diagonal"
    rows = (
        ("Training set", f"{images}, {counted(len(train_rows), 'mask')}"),
        ("Benchmarks", listed(tables.sizes_of_benchmarks(results))),
        ("Frozen base", params.base.size),
        *((f"Trained: {label(model)}", _recipe(results, model)) for model in params.variants),
        ("Seeds of training", listed([str(seed) for seed in results.seeds])),
        ("Optimiser", f"Adam, learning rate {train.learning_rate:g}, batch {train.batch_size}"),
        ("Boundary band", boundary),
        ("Intervals", f"{results.level}, {params.report.n_resamples:,} paired bootstrap resamples"),
    )
    yield Grid(caption="The run", head=("What", "Value"), rows=rows, texts=(1,))


def _recipe(results: Results, model: str) -> str:
    variant = results.params.variants[model]
    kind = "" if isinstance(variant, HqSamParams) else f", gradient '{variant.gradient}'"
    words = f"{counted(variant.epochs, 'epoch')}, prompts '{variant.prompts}'{kind}"
    trainable = results.trainable(model)
    return words + (f", {trainable:,} trainable parameters" if trainable else "")


def high_quality(results: Results) -> Iterator[Block]:
    """Show Table 1, its chart, and the paired differences."""
    # Published numbers have a table of their own.
    own = results.summary.assign(published_miou=None, published_mbiou=None)
    yield tables.overview(own)
    if results.params.variants:
        yield tables.recipes(results)
    yield _score_charts(results)
    if len(results.differences):
        yield _paired_differences(results)
        yield tables.pairs(results.differences, level=results.level).fold()
    published = tables.published_grid(results)
    if published is not None:
        yield published if results.published.comparable else published.fold()
    cost = tables.cost_grid(results)
    if cost is not None:
        yield cost
    yield tables.details(own, level=results.level).fold()
    for note in tables.table_notes(results.summary, results.bootstrap):
        yield Text(words=note, quiet=True)


def _score_charts(results: Results) -> Charts:
    summary = results.summary
    benchmarks = [str(name) for name in dict.fromkeys(summary["benchmark"])]
    names = [mean_label(benchmarks) if b == MEAN else b for b in benchmarks]
    panels = []
    for metric, heading in (("mbiou", "Boundary IoU"), ("miou", "IoU")):
        series = []
        for model in results.models:
            rows = summary[summary["model"] == model]
            columns = [f"{metric}{end}" for end in ("", "_low", "_high")]
            series.append(series_of(model_key(model, among=results.models), rows, *columns))
        chart = svg.dot_chart(
            series, names, title=f"{heading} by benchmark and model", y_label="per cent",
            shaded=len(names) - 1 if len(names) > 2 else None,
        )  # fmt: skip
        panels.append(Panel(heading=heading, svg=chart))
    caption = (
        f"Per-image means with {results.level} intervals. Whether two models differ is told by "
        "their paired difference below, not by whether these bars overlap."
    )
    return Charts(panels=tuple(panels), caption=caption, legend=legend(results.models))


def _paired_differences(results: Results) -> ForestPlot:
    lines = [
        (
            f"{label(row['model'])} minus {label(row['against'])}", METRIC_LABELS[row["metric"]],
            row, model_key(row["model"]).colour,
        )
        for row in rows_where(results.differences, benchmark=MEAN)
    ]  # fmt: skip
    caption = (
        f"Paired differences in points, mean over benchmarks, {results.level} intervals; "
        "verdicts after Holm's correction over these rows."
    )
    return forest_plot(lines, heading="Paired differences", caption=caption)


def galleries(results: Results) -> Iterator[Block]:
    """Show the images at both ends of the scores, not the ones that look best."""
    images, count = page_images.ranked(results), results.params.report.gallery
    subject, reference = label(results.subject), label(results.reference)
    for _, name, words, pick in page_images.GALLERIES:
        why = words.format(subject, reference)
        chosen = pick(images, count)
        if len(chosen):
            caption = f"{counted(len(chosen), 'mask')} {why}."
            cards = tuple(page_images.card(results, str(i), row) for i, row in chosen.iterrows())
            yield Gallery(name=name, caption=caption, cards=cards)
        else:
            yield Text(words=f"{name}: there is no mask {why}.")


def fine_structure(results: Results) -> Iterator[Block]:
    """Show the gain by boundary complexity and by thinness."""
    yield _fineness_charts(results)
    yield from (Text(words=words) for words in analyses.trend_sentences(results))


def _fineness_charts(results: Results) -> Charts:
    panels, rows = [], []
    subject = results.subject
    key = model_key(subject, name=f"{label(subject)} minus {label(results.reference)}")
    for measure in analyses.measures(results):
        table = analyses.gains(results, measure).table
        names = analyses.group_names(table, measure)
        chart = svg.dot_chart(
            [series_of(key, table, "difference", "low", "high")], names,
            title=f"{measure.heading}: gain in boundary IoU", y_label="points",
            x_label=measure.axis, zero=True,
        )  # fmt: skip
        panels.append(Panel(heading=measure.heading, svg=chart))
        for group, row in zip(names, table.to_dict("records"), strict=True):
            scores = f"{row['against_score']:.1f}", f"{row['score']:.1f}"
            rows.append((measure.key, group, str(row["n"]), *scores, gain_cell(row)))
    head = ("Measure", "Group", "n", label(results.reference), label(subject), "Gain")
    return Charts(
        panels=tuple(panels),
        caption=f"Paired gain in points of boundary IoU, {results.level} intervals.",
        legend=(key,),
        numbers=Grid(
            caption="Gain in boundary IoU by group", head=head, rows=tuple(rows), texts=(1,)
        ),
    )


def robustness(results: Results) -> Iterator[Block]:
    """Show the curves over prompts and corruptions, and who is ahead at their worst ends."""
    found = [str(name) for name in dict.fromkeys(results.curves["family"])]
    yield condition_charts(results, found)
    worst = {}
    for family in found:
        amounts = results.curves[results.curves["family"] == family]["amount"]
        worst[family] = float(amounts.min() if family == POINTS else amounts.max())
    pair = results.subject, results.reference
    rows = [difference_at(results, family, amount, pair) for family, amount in worst.items()]
    told = held_together(rows, results.bootstrap)
    for (family, amount), row in zip(worst.items(), told, strict=True):
        start = f"{CURVES.get(family, (family, ''))[0]}, at {amount:g} (n = {row['n']}): "
        yield Text(words=start + comparison_sentence(row, level=results.level))


def condition_charts(results: Results, chosen: Sequence[str]) -> Charts:
    """Draw one curve chart per family of conditions."""
    panels, models, rows = [], set(), []
    for family in chosen:
        points = results.curves[results.curves["family"] == family]
        names = ordered_models(points["model"])
        series = []
        for model in names:
            of_model = points[points["model"] == model]
            key = model_key(model, among=names)
            series.append(series_of(key, of_model, "mean", "low", "high", x="amount"))
        heading, axis = CURVES.get(family, (family, "strength"))
        chart = svg.line_chart(
            series, title=f"{heading}: mean boundary IoU by model", x_label=axis,
            y_label="boundary IoU, %",
        )  # fmt: skip
        panels.append(Panel(heading=heading, svg=chart))
        models |= set(names)
        for row in points.to_dict("records"):
            value = f"{row['mean']:.1f} [{row['low']:.1f}, {row['high']:.1f}]"
            rows.append((family, f"{row['amount']:g}", label(str(row["model"])), value))
    head = ("Condition", "Amount", "Model", "mBIoU")
    return Charts(
        panels=tuple(panels),
        caption=f"Mean boundary IoU over the benchmarks; bands are {results.level} intervals.",
        legend=legend(ordered_models(models)),
        numbers=Grid(caption="Robustness", head=head, rows=tuple(rows), texts=(2,)),
    )


def _precision_tables(results: Results, kind: str) -> Iterator[Block]:
    for benchmark, grid in tables.grids_of(results.precisions, kind).items():
        yield grid
        yield from (Text(words=words) for words in tables.box_sentences(results, benchmark))
    published = results.published.precisions
    base = results.params.base.size
    known = tables.published_precision_grid(published, results.precisions, kind, base=base)
    if known is not None:
        yield known.fold()


def ablations(results: Results) -> Iterator[Block]:
    """Show Table 4: every variant against the subject, with its cost."""
    variants = analyses.scored_variants(results)
    for group, heading in analyses.GROUP_NAMES.items():
        members = [variant for variant in variants if variant.group == group]
        if members:
            yield variant_plot(results, members, heading)
    yield tables.ablation_grid(results)
    yield Text(words=analyses.effects_sentence(results, variants))


def variant_plot(
    results: Results, variants: Sequence[analyses.Ablation], heading: str
) -> ForestPlot:
    """Draw variants' differences in boundary IoU, on one scale for all of the table."""
    table = results.ablation_differences
    means = rows_where(table, benchmark=MEAN, metric="mbiou")
    lines = [
        (v.words, v.name, analyses.gain_of(results, v.name), other_colour(0)) for v in variants
    ]
    caption = (
        f"Points of boundary IoU over {label(results.subject)}, {results.level} intervals, "
        "verdicts after Holm's correction over all variants."
    )
    return forest_plot(lines, heading=heading, caption=caption, scaled=means)


def training(results: Results) -> Iterator[Block]:
    """Show how every term of every loss fell."""
    columns = {name for h in results.histories.values() for name in curve_columns(h)}
    keys = {"loss": Key(name="loss (total)", colour="var(--ink)")}
    for place, term in enumerate(sorted(columns - {"loss"})):
        shape = _TERM_SHAPES[place // len(OTHERS) % len(_TERM_SHAPES)]
        keys[term] = Key(name=term, colour=other_colour(place), shape=shape)
    panels = []
    for model, history in results.histories.items():
        table = history.assign(epoch=history["epoch"] + 1)
        series = [series_of(keys[term], table, term, x="epoch") for term in curve_columns(history)]
        title = f"Losses of {label(model)} by epoch"
        chart = svg.line_chart(series, title=title, x_label="epoch", y_label="loss", zero=True)
        panels.append(Panel(heading=label(model), svg=chart))
    caption = (
        "Mean over each epoch; models train on losses of their own, so heights do not compare."
    )
    yield Charts(panels=tuple(panels), caption=caption, legend=tuple(keys.values()))


def repeat(results: Results) -> Iterator[Block]:
    """Tell how to make this page again."""
    yield Code(lines=COMMANDS)
    if results.about:
        yield Text(words=results.about, quiet=True)
    yield Text(
        words="Beside this page: tables as Markdown, LaTeX and CSV in the folder tables, all its "
        "numbers in report.json, and a card for every trained model in model_cards.",
        quiet=True,
    )


SECTIONS = (
    SectionRow(key="glance", title="At a glance", lead=glance_lead, build=glance),
    SectionRow(
        key="setting",
        title="Setup",
        lead=lambda results: "This run cannot show " + "; ".join(analyses.limits(results)) + ".",
        build=setup,
    ),
    SectionRow(
        key="table-1",
        title="Table 1: high-quality segmentation",
        lead=tables.READING,
        build=high_quality,
    ),
    SectionRow(
        key="galleries",
        title="Galleries",
        lead=lambda results: (
            "Chosen by score alone from all masks of all benchmarks. Each card: prompt and mined "
            f"points, ground truth, {', '.join(map(label, page_images.compared(results)))}, "
            "uncertainty map. Open one, then walk with the arrow keys."
        ),
        build=galleries,
    ),
    SectionRow(
        key="fine-structure",
        title="Gain by fineness of structure",
        lead=lambda results: (
            "All masks of "
            + listed(averaged(map(str, ordered_benchmarks(results.scores["benchmark"]))))
            + " in equally large groups, from coarse to fine."
        ),
        build=fine_structure,
    ),
    SectionRow(
        key="robustness",
        title="Robustness",
        lead="The same models, unchanged, with prompts and images that are worse than Table 1's.",
        needs=CONDITIONS,
        build=robustness,
    ),
    SectionRow(
        key="table-2",
        title="Table 2: COCO-style instance segmentation",
        lead="Every box of a detector becomes a mask; boxes may be off, missing or false, and "
        "their scores decide the order.",
        needs=_sets_of(tables.COCO_STYLE, f"a {tables.COCO_STYLE} set"),
        build=lambda results: _precision_tables(results, tables.COCO_STYLE),
    ),
    SectionRow(
        key="table-3",
        title="Table 3: SegInW-style open set",
        lead="Many small sets, each with boxes found by phrase; every set counts alike.",
        needs=_sets_of(tables.SEGINW_STYLE, f"{tables.SEGINW_STYLE} sets"),
        build=lambda results: _precision_tables(results, tables.SEGINW_STYLE),
    ),
    SectionRow(
        key="table-4",
        title="Table 4: ablations",
        lead="Variants of {subject}, trained from the same embeddings with the same seed; each "
        "states only what it changes. Differences are paired, in points of boundary IoU over "
        "{subject}.",
        needs=VARIANTS,
        build=ablations,
    ),
    # The ten questions stand here (see `publish.page_sections`).
    SectionRow(
        key="training",
        title="Training curves",
        lead="Every term of every loss, epoch by epoch.",
        build=training,
    ),
    SectionRow(
        key="repeat",
        title="How to repeat it",
        lead="Same commit, same params, same kind of processor: same page. Another kind rounds "
        "differently, and training lets that grow: between two processors the benchmarks' means of "
        "the default run differed by up to 0.06 points, so that conclusions repeat and last digits "
        "do not. Seeds: training {params.train.seed}, resamples of the intervals "
        "{params.report.seed}, synthetic images {params.data.generated.seed}.",
        build=repeat,
    ),
)
"""The sections in the order of the page."""
