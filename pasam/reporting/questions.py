"""The ten questions that readers of the paper ask, each answered from the numbers of a run.

Every answer is built by a function that yields sentences, which make one paragraph, and blocks,
which are shown below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from pasam.data.catalogue import PHOTOS
from pasam.evaluation.statistics import GAIN, LOSS, UNDECIDED, Difference, Interval
from pasam.reporting import analyses, page_images, tables
from pasam.reporting.blocks import Absent, Answer, Block, Charts, Grid, Key, Panel
from pasam.reporting.page_sections import CONDITIONS, VARIANTS, Need, condition_charts, variant_plot
from pasam.reporting.results import BASELINE, JITTER, ORACLE, POINTS, Results
from pasam.reporting.style import (
    MEAN,
    NOTHING,
    comparison_sentence,
    counted,
    gain_cell,
    gain_in_brackets,
    label,
    listed,
    of_weights,
    percent,
    points,
    signed,
    span,
)
from pasam.reporting.summary import rows_where
from pasam.reporting.svg import forest_plot, line_chart, model_key, other_colour, series_of

CHANCE = 0.5
"""Area under the ROC curve of an uncertainty that knows nothing, and rate of right random points:
as many foreground as background points are drawn, so the object's size cancels out."""
UNANSWERED = "This run does not answer it."

MINING_CURVES = {
    "mining.points": ("Number of points", "points of each sign"),
    "mining.temperature": ("Temperature", "temperature"),
    "mining.score_scale": ("Scale of the score", "factor of the score"),
}
"""Number that a variant changes -> heading of its curve and name of its axis."""

WAYS = {
    "gumbel": "Gumbel top-k", "top": "top points without noise", "random": "random points",
    "none": "no hard points",
}  # fmt: skip
"""How training chooses hard points -> what a heading calls it."""

Part = str | Block


@dataclass(frozen=True, kw_only=True)
class QuestionRow:
    """One question: what readers ask, the experiment that answers it, and how it is built."""

    short: str
    """As the table of contents calls it."""
    title: str
    experiment: str
    build: Callable[[Results], Iterator[Part]]
    on: Callable[[Results], Iterable[object]]
    """Names of the sets that it is answered on."""
    needs: Need | None = None
    partial: bool = False
    """Whether something can be said without what it needs."""

    def answer(self, number: int, results: Results) -> Answer:
        """Answer it from a run, or say what the run lacks for it."""
        met = self.needs is None or self.needs.met(results)
        parts = list(self.build(results)) if met or self.partial else []
        sentence = " ".join(part for part in parts if isinstance(part, str) and part)
        blocks = [part for part in parts if not isinstance(part, str)]
        answered = met and bool(sentence)
        if self.needs and not answered and not any(isinstance(b, Absent) for b in blocks):
            blocks.append(self.needs.block)
        return Answer(
            number=number,
            short=self.short,
            title=self.title,
            experiment=f"{self.experiment} {analyses.measured_on(results, self.on(results))}",
            sentence=sentence or UNANSWERED,
            blocks=tuple(blocks),
            answered=answered,
        )


def answers(results: Results) -> tuple[Answer, ...]:
    """Answer all of them from one run."""
    return tuple(row.answer(number, results) for number, row in enumerate(QUESTIONS, start=1))


def variants_of(group: str, absent: str) -> Need:
    """Need at least one scored variant of a group."""
    return Need(
        met=lambda results: any(v.group == group for v in analyses.scored_variants(results)),
        absent=absent,
        command=VARIANTS.command,
    )


def diagnostics_of(*columns: str) -> Need:
    """Need the subject's diagnostics with numbers in these columns."""
    return Need(
        met=lambda results: results.diagnosed(results.subject, *columns),
        absent="No diagnostics of this model were written.",
        command="dvc repro evaluate",
    )


COMPONENTS = variants_of("component", "No variant without a part of the adapter was trained.")
IMAGE_ADAPTER = variants_of("image", "No adapter of the image features was trained in this run.")
TRAINED_PARTS = variants_of("trained", "No variant that trains other parts was made in this run.")
CORRECTIONS = variants_of(
    "correction", "No variant that changes the reference's choices was trained in this run."
)
MINING_VARIANTS = Need(
    met=lambda results: bool(_compared_mining(results)),
    absent="No variant that chooses points in another way was trained in this run.",
    command=VARIANTS.command,
)
WEAKER_BOXES = Need(
    met=lambda results: bool(_prompt_curves(results)) or results.instances is not None,
    absent="Neither looser prompts nor a detector's boxes were measured.",
    command=f"{CONDITIONS.command} instances",
)


def components(results: Results) -> Iterator[Part]:
    """Question 1: how the adapter works, and what each of its parts brings."""
    yield from page_images.walk(results)
    variants = analyses.of_group(results, "component")
    if variants:
        yield variant_plot(results, variants, "Components, against the whole adapter")
        yield analyses.effects_sentence(results, variants)
    else:
        yield "This run shows how it works, below, but not what each part brings."


def prompt_or_image(results: Results) -> Iterator[Part]:
    """Question 2: PA-SAM against the adapter of image features."""
    variants = analyses.of_group(results, "image")
    rival, name = variants[0].name, "the adapter of image features"
    row = analyses.gain_of(results, rival)
    yield comparison_sentence(row, level=results.level, first=name[0].upper() + name[1:])
    yield analyses.kept_sentence(results, {results.subject: label(results.subject), rival: name})
    own, other = results.trainable(results.subject), results.trainable(rival)
    if own is not None and other is not None:
        yield f"It trains {other:,} parameters, {label(results.subject)} {own:,}."
    yield variant_plot(results, variants, "Image features, against prompt features")


def prompt_changes(results: Results) -> Iterator[Part]:
    """Question 3: the size of both changes, and each left out."""
    yield from page_images.prompt_changes(results)
    dense, sparse = (
        results.mean_inside(results.subject, f"{name}_change") for name in ("dense", "sparse")
    )
    change = results.difference_inside(results.subject, "dense_change", "sparse_change")
    larger = {
        GAIN: "the dense one is relatively larger",
        LOSS: "the sparse one is relatively larger",
    }
    found = larger.get(change.verdict, "which of the two is relatively larger is not shown")
    ends = " to ".join(signed(100 * end) for end in (change.low, change.high))
    yield (
        f"{label(results.subject)} adds to the image tokens a dense change of "
        f"{_relative(dense)} of their size, and to the prompt's tokens a sparse "
        f"change of {_relative(sparse)} of theirs ({results.level} intervals of these weights): "
        f"{found} (difference {signed(100 * change.mean)}, {ends} points)."
    )
    variants = [
        variant
        for variant in analyses.of_group(results, "component")
        if set(variant.changes) in ({"adapter.dense"}, {"adapter.sparse"})
    ]
    if variants:
        yield variant_plot(results, variants, "Each change left out")
        yield analyses.effects_sentence(results, variants)
    else:
        yield Absent(
            what="No variant without one of these changes was trained in this run.",
            command=VARIANTS.command,
        )


def tokens(results: Results) -> Iterator[Part]:
    """Question 4: the uncertainty against the coarse mask's errors."""
    yield from page_images.token_maps(results)
    name = label(results.subject)
    area = results.mean_inside(results.subject, "uncertainty_auroc")
    doubted = results.mean_inside(results.subject, "uncertain_share")
    ends = f"interval of these weights {percent(area.low):.1f} to {percent(area.high):.1f} %"
    found = f"the area under the ROC curve is {100 * area.mean:.1f} % ({results.level} {ends})"
    amount = f"It doubts {100 * doubted.mean:.0f} % of the pixels."
    if area.low > CHANCE:
        yield f"The uncertainty of {name} finds errors: {found}. {amount}"
    elif area.high < CHANCE:
        yield f"The uncertainty of {name} points away from errors: {found}."
    else:
        yield f"It is not shown that the uncertainty finds errors: {found}. {amount}"
    yield f"Taking the refined mask where it doubts {_effect_of_refining(results)}."
    photographs = results.seen_on(PHOTOS)
    if photographs is not None and photographs.diagnosed(
        results.subject, "uncertainty_auroc", "coarse_iou", "final_iou"
    ):
        area = photographs.mean_inside(results.subject, "uncertainty_auroc")
        effect = _effect_of_refining(photographs)
        yield f"On {PHOTOS} the area is {_percent(area)}, and taking the refined mask {effect}."


def _effect_of_refining(results: Results) -> str:
    change = results.difference_inside(results.subject, "final_iou", "coarse_iou")
    shown = {GAIN: "improves the coarse one", LOSS: "worsens the coarse one"}
    verdict = shown.get(change.verdict, "shows no difference")
    return f"{verdict}: {_points_of_iou(results, change)}"


def mining(results: Results) -> Iterator[Part]:
    """Question 5: ways to choose points."""
    compared, ways = _compared_mining(results), _ways_to_choose(results)
    if ways:
        own = analyses.flat(results.params.variants[results.subject].model_dump())
        chosen = WAYS.get(str(own.get("mining.method")), label(results.subject))
        yield variant_plot(results, ways, f"Ways to choose, against {chosen}")
    yield from mining_curves(results)
    names = {results.subject: label(results.subject)}
    names |= {way.name: way.words for way in ways if way.group == "mining"}
    told = {n: w for n, w in names.items() if results.diagnosed(n, "point_spread", "points_right")}
    clauses = [
        f"{words}: {_percent(results.mean_inside(name, 'point_spread'))} of the image's side "
        f"apart, {_right_points(results, name)}"
        for name, words in told.items()
    ]
    if clauses:
        of = f"({results.level} intervals of these weights)"
        yield f"Points that are chosen in prediction by {'; '.join(clauses)} {of}."
    yield band_sentence(results)
    photographs = results.seen_on(PHOTOS)
    if photographs is not None and photographs.diagnosed(results.subject, "points_right"):
        right = _right_points(photographs, results.subject).replace(" them", " its points")
        yield f"On {PHOTOS} {label(results.subject)} has {right}."
    if compared:
        yield analyses.effects_sentence(results, compared)


def _right_points(results: Results, name: str) -> str:
    """Compare how many points have the right sign with points at random, of which half have."""
    right = results.mean_inside(name, "points_right")
    side = "not shown to differ from"
    if right.low > CHANCE or right.high < CHANCE:
        side = "more than" if right.low > CHANCE else "fewer than"
    return f"{_percent(right)} of them of the right sign, {side} the 50 % of random points"


def band_sentence(results: Results) -> str:
    """Tell the subject's mined points apart by whether they lie where the refined mask is used."""
    name = results.subject
    columns = ("points_in_band", "points_right_in_band", "points_right_outside")
    if not results.diagnosed(name, *columns):
        return ""
    inside, right, outside = (results.mean_inside(name, column) for column in columns)
    return (
        f"{_percent(inside)} of {label(name)}'s points lie where the uncertainty is a half or "
        f"more, where the refined mask is trained and used: of these {_percent(right)} have the "
        f"right sign, of the others {_percent(outside)}."
    )


def _ways_to_choose(results: Results) -> list[analyses.Ablation]:
    both = analyses.of_group(results, "component", "mining")
    return [variant for variant in both if set(variant.changes) == {"mining.method"}]


def _compared_mining(results: Results) -> list[analyses.Ablation]:
    ways = _ways_to_choose(results)
    return ways + [v for v in analyses.of_group(results, "mining") if v not in ways]


def mining_curves(results: Results) -> Iterator[Charts]:
    """Draw the difference from the subject over numbers that a variant changes."""
    panels = []
    for name, (heading, _) in MINING_CURVES.items():
        members = [v for v in analyses.of_group(results, "mining") if set(v.changes) == {name}]
        if members:
            panels.append(Panel(heading=heading, svg=_curve(results, members, name)))
    if panels:
        caption = (
            f"Points of boundary IoU over {label(results.subject)}, {results.level} intervals; the "
            "places without an interval are PA-SAM's own choice."
        )
        yield Charts(panels=tuple(panels), caption=caption)


def _curve(results: Results, members: Sequence[analyses.Ablation], name: str) -> Markup:
    heading, axis = MINING_CURVES[name]
    own = analyses.flat(results.params.variants[results.subject].model_dump())[name]
    places = {float(own): (0.0, 0.0, 0.0)}
    for variant in members:
        row = analyses.gain_of(results, variant.name)
        places[float(variant.changes[name])] = (row["difference"], row["low"], row["high"])
    key, ends = Key(name="difference", colour=other_colour(0)), ["difference", "low", "high"]
    table = pd.DataFrame.from_dict(places, orient="index", columns=ends).sort_index()
    return line_chart(
        [series_of(key, table, *ends)],
        title=f"{heading}: difference in boundary IoU", x_label=axis, y_label="points",
        zero=True, names=[f"{x:g}" for x in table.index],
    )  # fmt: skip


def freezing(results: Results) -> Iterator[Part]:
    """Question 6: what is trained, what it gains, and what it does to SAM's best benchmark."""
    variants = analyses.of_group(results, "trained")
    learns = getattr(results.params.variants[results.subject], "trains", None)
    words = f" ({analyses.what_learns(learns)})" if learns else ""
    names = {results.subject: label(results.subject) + words}
    names |= {variant.name: variant.words for variant in variants}
    yield analyses.effects_sentence(results, variants)
    yield analyses.kept_sentence(results, names)
    yield frozen_sentence(results)
    yield _trained_grid(results, names)


def frozen_sentence(results: Results) -> str:
    """Say whether frozen weights are what they were, by the digests that training wrote."""
    facts = {} if results.ablations is None else results.ablations.facts
    known = [fact for fact in facts.values() if fact.get("frozen_before")]
    if not known:
        return ""
    same = sum(fact["frozen_before"] == fact["frozen_after"] for fact in known)
    return (
        f"In {same} of {len(known)} variants the frozen weights are bit for bit the same after "
        "training."
    )


def _trained_grid(results: Results, names: dict[str, str]) -> Grid:
    table = analyses.change_over_reference(results, list(names))
    best = analyses.best_benchmark(results, results.reference)
    lines = []
    for name, words in names.items():
        cells = []
        for benchmark in (MEAN, best):
            rows = rows_where(table, model=name, benchmark=benchmark)
            cells += [gain_cell(row) for row in rows] or [NOTHING]
        lines.append((words, *cells, tables.trainable_cell(results, name)))
    head = ("Trained", "All other benchmarks", best, "Trainable parameters")
    caption = f"Points of boundary IoU over {label(results.reference)}, {results.level} intervals"
    return Grid(caption=caption, head=head, rows=tuple(lines))


def fine_structure(results: Results) -> Iterator[Part]:
    """Question 7: the gain on coarse and on fine objects, and by benchmark."""
    yield from analyses.trend_sentences(results)
    pair = {"model": results.subject, "against": results.reference, "metric": "mbiou"}
    chosen = [r for r in rows_where(results.differences, **pair) if r["benchmark"] != MEAN]
    if not chosen:
        return
    complexity = results.by_image.groupby("benchmark")["complexity"].median()
    widths = pd.Series(results.widths).groupby(results.by_image["benchmark"]).median()
    lines = []
    for row in chosen:
        name, colour = row["benchmark"], model_key(results.subject).colour
        note = (
            f"median complexity {complexity[name]:.0f}, width {widths[name]:.1f} % of the diagonal"
        )
        lines.append((name, note, row, colour))
    caption = (
        f"{label(results.subject)} minus {label(results.reference)}, points of boundary IoU, "
        f"{results.level} intervals."
    )
    yield forest_plot(lines, heading="Gain by benchmark", caption=caption)


def detector_boxes(results: Results) -> Iterator[Part]:
    """Question 8: the gain over SAM from tight boxes to a detector's."""
    found = _prompt_curves(results)
    if JITTER in found:
        known = set(results.curves["model"]) - {results.reference}
        models = [m for m in dict.fromkeys((results.subject, BASELINE)) if m in known]
        yield from analyses.changes_of_gain(results, models)
    for benchmark in tables.benchmarks_of(results.precisions, tables.COCO_STYLE):
        yield from tables.box_sentences(results, benchmark)
    if found:
        yield condition_charts(results, found)


def _prompt_curves(results: Results) -> list[str]:
    return [name for name in (JITTER, POINTS) if name in set(results.curves["family"])]


def findings(results: Results) -> Iterator[Part]:
    """Question 9: all variants, sorted by what is shown of them."""
    variants = analyses.scored_variants(results)
    words = {variant.name: variant.words for variant in variants}
    found = analyses.by_verdict(results, words)
    better, worse, same = (found[verdict] for verdict in (GAIN, LOSS, UNDECIDED))
    name = label(results.subject)
    rows = [row for of_verdict in found.values() for row in of_verdict]
    yield (
        f"Of {counted(len(words), 'variant')}, {len(better)} are shown to be better than {name} in "
        f"boundary IoU, {len(worse)} worse, and for {len(same)} no difference is shown"
        + (" (one seed each: it is said of these weights)." if of_weights(rows) else ".")
    )
    for start, rows in (
        ("What is worth adopting, if more seeds confirm it", better),
        ("What costs most", worse[:3]),
    ):
        if rows:
            told = [f"{words[str(row['model'])]} {gain_in_brackets(row)}" for row in rows]
            yield f"{start}: {listed(told)}."
    own = results.trainable(results.subject) or 0
    cheaper = [words[r["model"]] for r in same if (results.trainable(r["model"]) or own) < own]
    if cheaper:
        yield f"With fewer trainable parameters, and no difference shown: {listed(cheaper)}."
    yield tables.ablation_grid(results).fold()


def limits(results: Results) -> Iterator[Part]:
    """Question 10: the reference's choices changed, the ceiling, and the best combination."""
    variants = analyses.of_group(results, "correction")
    if variants:
        yield variant_plot(results, variants, "The reference's choices, changed")
        yield analyses.effects_sentence(results, variants)
    else:
        yield CORRECTIONS.block
    yield ceiling_sentence(results)
    yield refined_sentence(results)
    yield best_sentence(results)


def ceiling_sentence(results: Results) -> str:
    """Say how far the subject is from what its mask resolution allows."""
    if ORACLE not in results.models:
        return ""
    means = results.summary[results.summary["benchmark"] == MEAN].set_index("model")["mbiou"]
    gap = float(means[ORACLE]) - float(means[results.subject])
    sentence = (
        f"The mask resolution allows {means[ORACLE]:.1f} % of boundary IoU, {abs(gap):.1f} points "
        f"{'below' if gap < 0 else 'above'} {label(results.subject)}"
    )
    corrections = analyses.of_group(results, "correction")
    finer = [v for v in corrections if set(v.changes) == {"adapter.maps"}]
    if not finer:
        return f"{sentence}; whether finer maps would bring it nearer was not tested in this run."
    row = analyses.gain_of(results, finer[0].name)
    says = {GAIN: "bring it nearer", LOSS: "take it farther away"}
    effect = says.get(row["verdict"], "are not shown to bring it nearer")
    return f"{sentence}; {finer[0].words} {effect} {gain_in_brackets(row)}."


def refined_sentence(results: Results) -> str:
    """Say whether the refined map is better than the coarse one by itself."""
    if not results.diagnosed(results.subject, "refined_iou", "coarse_iou"):
        return ""
    change = results.difference_inside(results.subject, "refined_iou", "coarse_iou")
    shown = {GAIN: "better than", LOSS: "worse than"}
    return (
        "The refined map alone, which learns only where the uncertainty tells it to, is "
        f"{shown.get(change.verdict, 'not shown to differ from')} the coarse one: "
        f"{_points_of_iou(results, change)}."
    )


def best_sentence(results: Results) -> str:
    """Say whether the best combination beats PA-SAM, and only if the interval does."""
    if tables.BEST not in results.models:
        return ""
    pair = {"model": tables.BEST, "against": results.subject, "benchmark": MEAN, "metric": "mbiou"}
    rows = rows_where(results.differences, **pair)
    return comparison_sentence(rows[0], level=results.level) if rows else ""


def _percent(found: Interval) -> str:
    """Write a mean of fractions with its interval."""
    return f"{percent(found.mean):.1f} % ({percent(found.low):.1f} to {percent(found.high):.1f})"


def _relative(found: Interval) -> str:
    """Write a mean ratio, which may be above one, with its interval."""
    mean, low, high = (100 * value for value in (found.mean, found.low, found.high))
    return f"{mean:.1f} % ({low:.1f} to {high:.1f} %)"


def _points_of_iou(results: Results, change: Difference) -> str:
    ends = span(points(change.low), points(change.high))
    of = f"{results.level} interval of these weights"
    return f"{signed(points(change.mean))} points of IoU ({of} {ends})"


QUESTIONS = (
    QuestionRow(
        short="The adapter's parts",
        title="How does the prompt adapter work, and what do adaptive detail enhancement and hard "
        "point mining each bring?",
        experiment="Each part left out, and each added to a bare mask head; and one forward pass "
        "with what happens inside.",
        needs=COMPONENTS,
        build=components,
        on=analyses.on_variants,
        partial=True,
    ),
    QuestionRow(
        short="Prompt or image features",
        title="Why adapt prompt features rather than image features?",
        experiment="An adapter of the image features with as many parameters, trained alike, on "
        "all benchmarks and on the one that SAM does best by itself.",
        needs=IMAGE_ADAPTER,
        build=prompt_or_image,
        on=analyses.on_variants,
    ),
    QuestionRow(
        short="Changes of the prompts",
        title="What changes in the sparse and dense prompts, and what does token-to-image "
        "attention do?",
        experiment="The size of both changes relative to what they change, per image; maps of the "
        "dense change and of the mask token's attention; and each change left out.",
        needs=diagnostics_of("dense_change", "sparse_change"),
        build=prompt_changes,
        on=analyses.on_diagnostics,
    ),
    QuestionRow(
        short="Refined and uncertain token",
        title="How are the refined and the uncertain token made and used?",
        experiment="Does the uncertainty find the coarse mask's errors (area under the ROC curve "
        "per image, 50 % being chance), and is the mask that it helps to choose better than the "
        "coarse one?",
        needs=diagnostics_of("uncertainty_auroc", "coarse_iou", "final_iou"),
        build=tokens,
        on=analyses.on_diagnostics,
    ),
    QuestionRow(
        short="Hard points",
        title="How does Gumbel top-k choose diverse hard points?",
        experiment="None, random, top and Gumbel top-k; the number of points, the temperature and "
        "the scale of the score as curves; and how far apart and how right the chosen points are.",
        needs=MINING_VARIANTS,
        build=mining,
        on=lambda results: {*analyses.on_diagnostics(results), *analyses.on_variants(results)},
        partial=True,
    ),
    QuestionRow(
        short="What is trained",
        title="Why train the adapter alone, and how is SAM's ability preserved?",
        experiment="Adapter alone, with the mask head (as the reference), whole decoder, all of "
        "SAM: gain on the other benchmarks against what happens on the one that SAM does best; "
        "frozen weights compared bit for bit.",
        needs=TRAINED_PARTS,
        build=freezing,
        on=analyses.on_variants,
    ),
    QuestionRow(
        short="Fine structure",
        title="Why is the gain so large on fine-structure sets?",
        experiment="Gain by quantile of boundary complexity and of thinness, all images pooled, "
        "and by benchmark; charts of the quantiles are above, under gain by fineness of structure.",
        build=fine_structure,
        on=analyses.on_table_1,
    ),
    QuestionRow(
        short="Detectors' boxes",
        title="Why do HQ-SAM and PA-SAM differ between detector-driven (COCO) and high-quality "
        "sets?",
        experiment="The gain over SAM as boxes get looser and points fewer, and on the boxes of a "
        "detector.",
        needs=WEAKER_BOXES,
        build=detector_boxes,
        on=analyses.on_weaker_boxes,
    ),
    QuestionRow(
        short="What follows",
        title="What did the ablations show, and which choices follow?",
        experiment="Every variant against PA-SAM: paired differences, Holm-adjusted, and the cost.",
        needs=VARIANTS,
        build=findings,
        on=analyses.on_variants,
    ),
    QuestionRow(
        short="Limits",
        title="What limits the adapter, and how can the intermediate masks be better?",
        experiment="The reference's choices, each changed by a switch; the ceiling of the mask "
        "resolution; and the best combination as a model of its own, pa_sam_plus.",
        needs=Need(
            met=lambda results: CORRECTIONS.met(results) or tables.BEST in results.models,
            absent=CORRECTIONS.absent,
            command=CORRECTIONS.command,
        ),
        build=limits,
        on=analyses.on_table_1,
        partial=True,
    ),
)
"""The questions in the order of the page."""
