"""The ten questions that readers of the paper ask, each answered from the numbers of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
from markupsafe import Markup

from pasam.evaluation.statistics import GAIN, LOSS, UNDECIDED, Interval
from pasam.reporting.analyses import METRIC as FINE_STRUCTURE_METRIC
from pasam.reporting.analyses import (
    best_benchmark,
    change_over_reference,
    complexity_measure,
    difference_inside,
    has,
    kept_sentence,
    mean_inside,
    thinness_measure,
    trend_sentence,
)
from pasam.reporting.blocks import (
    ABLATION_COMMAND,
    NOTHING,
    Absent,
    Answer,
    Block,
    Charts,
    Grid,
    Panel,
    Question,
    StripRow,
    Strips,
    Table,
)
from pasam.reporting.pictures import prompt_changes, token_maps, walk
from pasam.reporting.results import BASELINE, JITTER, ORACLE, POINTS, Results, difference_at
from pasam.reporting.sections import COMMAND as DETECTOR_COMMAND
from pasam.reporting.sections import (
    METRIC,
    NO_ABLATION,
    ROBUSTNESS_COMMAND,
    ablation_grid,
    box_sentences,
    condition_charts,
    variant_strips,
)
from pasam.reporting.style import MEAN, label, percent, points
from pasam.reporting.summary import difference
from pasam.reporting.svg import SHAPES, Series, line_chart, model_colour, strip, strip_scale
from pasam.reporting.tables import single_sets, verdict_text
from pasam.reporting.variants import (
    Ablation,
    ablation_names,
    by_verdict,
    effects_sentence,
    numbers,
    of_group,
    row_of,
)
from pasam.reporting.wording import comparison, counted, listed, signed, span

# --- components: Question 1: how the adapter works, and what each of its parts brings.

LACKING = "No variant without a part of the adapter was trained in this run."

QUESTION = Question(
    number=1,
    short="The adapter's parts",
    title=(
        "How does the prompt adapter work, and what do adaptive detail enhancement and hard point "
        "mining each bring?"
    ),
    experiment=(
        "Each part left out, and each added to a bare mask head; and one forward pass with what "
        "happens inside."
    ),
)


def answer(results: Results) -> Answer:
    """Compare PA-SAM with itself less a part."""
    variants = of_group(results, "component")
    pictures = walk(results)
    blocks: list[Block] = [] if pictures is None else [pictures]
    if not variants:
        blocks.append(Absent(what=LACKING, command=ABLATION_COMMAND))
        sentence = "This run shows how it works, below, but not what each part brings."
        return QUESTION.answer(sentence, *blocks, answered=False)
    blocks.append(variant_strips(results, variants, "Components, against the whole adapter"))
    sentence = effects_sentence(
        variants, results.ablation_differences, subject=results.subject, level=results.level
    )
    return QUESTION.answer(sentence, *blocks)


# --- detector_boxes: Question 8: why models differ between detector-driven and high-quality sets.

DETECTOR_BOXES_QUESTION = Question(
    number=8,
    short="Detectors' boxes",
    title=("Why do HQ-SAM and PA-SAM differ between detector-driven (COCO) and high-quality sets?"),
    experiment=(
        "The gain over SAM as boxes get looser and points fewer, and on the boxes of a detector."
    ),
)


def detector_boxes_answer(results: Results) -> Answer:
    """Follow the gain over SAM from tight boxes to a detector's."""
    found = [name for name in (JITTER, POINTS) if name in set(results.curves["family"])]
    sentences = (
        [loss_of_gain(results, model) for model in _models(results)] if JITTER in found else []
    )
    if results.precisions is not None:
        for benchmark in single_sets(results.precisions):
            sentences += box_sentences(results, benchmark)
    if not found and not sentences:
        what = "Neither looser prompts nor a detector's boxes were measured."
        return DETECTOR_BOXES_QUESTION.unanswered(
            what, f"{ROBUSTNESS_COMMAND} {DETECTOR_COMMAND.split()[-1]}"
        )
    blocks: tuple[Block, ...] = (condition_charts(results, found),) if found else ()
    return DETECTOR_BOXES_QUESTION.answer(" ".join(sentences), *blocks)


def loss_of_gain(results: Results, model: str) -> str:
    """Compare a model's gain over the reference on the loosest boxes with that on tight ones."""
    amounts = results.curves[results.curves["family"] == JITTER]["amount"]
    pair = (model, results.reference)
    tight, loose = (
        difference_at(results.conditions, JITTER, amount, pair, METRIC, results.bootstrap)
        for amount in (float(amounts.min()), float(amounts.max()))
    )
    how = "shrinks" if loose["difference"] < tight["difference"] else "grows"
    kept = "and is still shown" if loose["low"] > 0 else "where it is no longer shown"
    return (
        f"{label(model)}'s gain over {label(results.reference)} {how} from "
        f"{signed(tight['difference'])} points of boundary IoU "
        f"({span(tight['low'], tight['high'])}) with tight boxes to {signed(loose['difference'])} "
        f"({span(loose['low'], loose['high'])}) with boxes off by {amounts.max():g} of their "
        f"sides, {kept}."
    )


def _models(results: Results) -> list[str]:
    scored = set(results.curves["model"])
    wanted = dict.fromkeys((results.subject, BASELINE))
    return [m for m in wanted if m in scored and m != results.reference]


# --- findings: Question 9: what the ablations showed, and which choices follow.

FINDINGS_QUESTION = Question(
    number=9,
    short="What follows",
    title="What did the ablations show, and which choices follow?",
    experiment="Every variant against PA-SAM: paired differences, Holm-adjusted, and the cost.",
)


def findings_answer(results: Results) -> Answer:
    """Sort all variants by what is shown of them."""
    variants = ablation_names(results)
    if not variants:
        return FINDINGS_QUESTION.unanswered(NO_ABLATION, ABLATION_COMMAND)
    words = {variant.name: variant.words for variant in variants}
    found = by_verdict([row_of(results.ablation_differences, name) for name in words])
    name = label(results.subject)
    better, worse, same = (found.get(verdict, []) for verdict in (GAIN, LOSS, UNDECIDED))
    sentences = [
        f"Of {counted(len(words), 'variant')}, {len(better)} are shown to be better than {name} in "
        f"boundary IoU, {len(worse)} worse, and for {len(same)} no difference is shown."
    ]
    if better:
        rows = [f"{words[str(row['model'])]} {numbers(row)}" for row in better]
        sentences.append(f"What to adopt, by these numbers: {listed(rows)}.")
    if worse:
        rows = [f"{words[str(row['model'])]} {numbers(row)}" for row in worse[:3]]
        sentences.append(f"What costs most: {listed(rows)}.")
    cheaper = _cheaper(results, [str(row["model"]) for row in same])
    if cheaper:
        listed_words = listed([words[variant] for variant in cheaper])
        sentences.append(f"With fewer numbers, and no difference shown: {listed_words}.")
    blocks = (Table(grid=ablation_grid(results), folded=True),)
    return FINDINGS_QUESTION.answer(" ".join(sentences), *blocks)


def _cheaper(results: Results, names: list[str]) -> list[str]:
    """Variants that train fewer numbers than the subject."""
    own = results.trained(results.subject)
    if own is None:
        return []
    counts = {name: results.trained(name) for name in names}
    return [name for name, count in counts.items() if count is not None and count < own]


# --- fine_structure: Question 7: why the gain is so large on sets of fine structure.

FINE_STRUCTURE_QUESTION = Question(
    number=7,
    short="Fine structure",
    title="Why is the gain so large on fine-structure sets?",
    experiment=(
        "Gain by quantile of boundary complexity and of thinness, all images pooled, and by "
        "benchmark; charts of the quantiles are above, under gain by fineness of structure."
    ),
)


def fine_structure_answer(results: Results) -> Answer:
    """Compare the gain on coarse and on fine objects."""
    measures = [complexity_measure(results), thinness_measure(results)]
    sentence = " ".join(trend_sentence(results, measure) for measure in measures)
    strips = benchmark_strips(results)
    return FINE_STRUCTURE_QUESTION.answer(sentence, *([] if strips is None else [strips]))


def benchmark_strips(results: Results) -> Strips | None:
    """Show the gain on each benchmark, with how fine its objects are."""
    table = results.differences
    chosen = table[
        (table["model"] == results.subject)
        & (table["against"] == results.reference)
        & (table["metric"] == FINE_STRUCTURE_METRIC)
        & (table["benchmark"] != MEAN)
    ]
    if chosen.empty:
        return None
    scale = strip_scale([*chosen["low"], *chosen["high"]])
    complexity = results.by_image.groupby("benchmark")["complexity"].median()
    widths = pd.Series(results.widths).groupby(results.by_image["benchmark"]).median()
    colour = model_colour(results.subject) if results.subject in SHAPES else "var(--other-0)"
    rows = [
        StripRow(
            name=str(row["benchmark"]),
            note=(
                f"median complexity {complexity[row['benchmark']]:.0f}, width "
                f"{widths[row['benchmark']]:.1f} % of the diagonal"
            ),
            strip=strip(scale, row["difference"], row["low"], row["high"], colour=colour),
            value=f"{signed(row['difference'])} ({span(row['low'], row['high'])})",
            verdict=verdict_text(row),
        )
        for row in chosen.to_dict("records")
    ]
    names = f"{label(results.subject)} minus {label(results.reference)}"
    caption = f"{names}, points of boundary IoU, {results.level} intervals."
    return Strips(heading="Gain by benchmark", rows=tuple(rows), caption=caption)


# --- freezing: Question 6: why the adapter alone is trained, and how SAM's ability is preserved.

FREEZING_LACKING = "No variant that trains other parts was made in this run."

FREEZING_QUESTION = Question(
    number=6,
    short="What is trained",
    title="Why train the adapter alone, and how is SAM's ability preserved?",
    experiment=(
        "Adapter alone, with the mask head (as the reference), whole decoder, all of SAM: gain on "
        "the other benchmarks against what happens on the one that SAM does best; frozen weights "
        "compared bit for bit."
    ),
)


def freezing_answer(results: Results) -> Answer:
    """Compare what is trained."""
    variants = of_group(results, "trained")
    if not variants:
        return FREEZING_QUESTION.unanswered(FREEZING_LACKING, ABLATION_COMMAND)
    names = {results.subject: f"{label(results.subject)} (adapter and mask head)"}
    names |= {variant.name: variant.words for variant in variants}
    sentences = [
        effects_sentence(
            variants, results.ablation_differences, subject=results.subject, level=results.level
        ),
        kept_sentence(results, names),
        frozen_sentence(results),
    ]
    sentence = " ".join(words for words in sentences if words)
    return FREEZING_QUESTION.answer(sentence, Table(grid=_grid(results, names)))


def frozen_sentence(results: Results) -> str:
    """Say whether frozen weights are what they were, by the digests that training wrote."""
    facts = [fact for fact in results.ablation_facts.values() if fact.get("frozen_before")]
    if not facts:
        return ""
    same = sum(fact["frozen_before"] == fact["frozen_after"] for fact in facts)
    return (
        f"In {same} of {len(facts)} variants the frozen weights are bit for bit the same after "
        "training."
    )


def _grid(results: Results, words: dict[str, str]) -> Grid:
    table = change_over_reference(results, list(words))
    best = best_benchmark(results, results.reference)
    lines = []
    for name, said in words.items():
        cells = []
        for benchmark in (MEAN, best):
            row = table[(table["model"] == name) & (table["benchmark"] == benchmark)]
            cells += [
                f"{r['difference']:+.1f} [{r['low']:+.1f}, {r['high']:+.1f}]"
                for r in row.to_dict("records")
            ] or ["-"]
        count = results.trained(name)
        lines.append((said, *cells, "-" if count is None else f"{count:,}"))
    head = ("Trained", "All other benchmarks", best, "Numbers trained")
    caption = f"Points of boundary IoU over {label(results.reference)}, {results.level} intervals"
    return Grid(caption=caption, head=head, rows=tuple(lines))


# --- limits: Question 10: what limits the adapter, and what makes its intermediate masks better.

BEST = "pa_sam_plus"

LIMITS_LACKING = "No variant that changes the reference's choices was trained in this run."

LIMITS_QUESTION = Question(
    number=10,
    short="Limits",
    title="What limits the adapter, and how can the intermediate masks be better?",
    experiment=(
        "The reference's choices, each changed by a switch; the ceiling of the mask resolution; "
        "and the best combination as a model of its own, pa_sam_plus."
    ),
)


def limits_answer(results: Results) -> Answer:
    """Compare the reference's choices with their changes."""
    variants = of_group(results, "correction")
    sentences = [ceiling_sentence(results), refined_sentence(results), best_sentence(results)]
    blocks: list[Block] = []
    if variants:
        blocks.append(variant_strips(results, variants, "The reference's choices, changed"))
        sentences.insert(
            0,
            effects_sentence(
                variants, results.ablation_differences, subject=results.subject, level=results.level
            ),
        )
    sentence = " ".join(words for words in sentences if words)
    if variants:
        return LIMITS_QUESTION.answer(sentence, *blocks)
    absent = Absent(what=LIMITS_LACKING, command=ABLATION_COMMAND)
    return LIMITS_QUESTION.answer(sentence or NOTHING, absent, answered=BEST in results.models)


def ceiling_sentence(results: Results) -> str:
    """Say how far the subject is from what its mask resolution allows."""
    if ORACLE not in results.models:
        return ""
    means = results.summary[results.summary["benchmark"] == MEAN].set_index("model")["mbiou"]
    gap = float(means[ORACLE]) - float(means[results.subject])
    return (
        f"The mask resolution allows {means[ORACLE]:.1f} % of boundary IoU, {gap:.1f} points above "
        f"{label(results.subject)}: resolution is {'not what' if gap > 2 else 'what'} limits it."
    )


def refined_sentence(results: Results) -> str:
    """Say whether the refined map is better than the coarse one by itself."""
    if not has(results, results.subject, "refined_iou", "coarse_iou"):
        return ""
    change = difference_inside(results, results.subject, "refined_iou", "coarse_iou")
    verdict = "not shown to differ from"
    if change.low > 0 or change.high < 0:
        verdict = "better than" if change.low > 0 else "worse than"
    by = f"{signed(points(change.mean))} points of IoU"
    ends = f"{results.level} interval {span(points(change.low), points(change.high))}"
    return (
        f"The refined map alone, which learns only where the uncertainty tells it to, is {verdict} "
        f"the coarse one: {by} ({ends})."
    )


def best_sentence(results: Results) -> str:
    """Say whether the best combination beats PA-SAM, and only if the interval does."""
    if BEST not in results.models:
        return ""
    row = difference(results.scores, BEST, results.subject, "mbiou", results.bootstrap)
    named = {"model": BEST, "against": results.subject, "metric": "mbiou", **row}
    return comparison(named, level=results.level)


# --- mining: Question 5: how Gumbel top-k chooses diverse hard points.

MINING_LACKING = "No variant that chooses points in another way was trained in this run."

MINING_QUESTION = Question(
    number=5,
    short="Hard points",
    title="How does Gumbel top-k choose diverse hard points?",
    experiment=(
        "None, random, top and Gumbel top-k; the number of points, the temperature and the scale "
        "of the score as curves; and how far apart and how right the chosen points are."
    ),
)

CURVES = {
    "mining.points": ("Number of points", "points of each sign"),
    "mining.temperature": ("Temperature", "temperature"),
    "mining.score_scale": ("Scale of the score", "factor of the score"),
}


def mining_answer(results: Results) -> Answer:
    """Compare ways to choose points."""
    left_out = [a for a in of_group(results, "component") if set(a.changes) == {"mining.method"}]
    ways = [a for a in of_group(results, "mining") if set(a.changes) == {"mining.method"}]
    variants = left_out + ways
    charts = curves(results)
    blocks: list[Block] = []
    if variants:
        blocks.append(variant_strips(results, variants, "Ways to choose, against Gumbel top-k"))
    blocks += [] if charts is None else [charts]
    sentences = [spread_sentence(results)]
    compared = variants + [a for a in of_group(results, "mining") if a not in ways]
    if compared:
        table = results.ablation_differences
        sentences.append(
            effects_sentence(compared, table, subject=results.subject, level=results.level)
        )
    else:
        blocks.append(Absent(what=MINING_LACKING, command=ABLATION_COMMAND))
    sentence = " ".join(words for words in sentences if words)
    return MINING_QUESTION.answer(sentence or NOTHING, *blocks, answered=bool(compared))


def spread_sentence(results: Results) -> str:
    """Say how far apart and how right the points are, for the subject and other ways to choose."""
    clauses = []
    others = [a for a in of_group(results, "mining") if set(a.changes) == {"mining.method"}]
    for name, words in (
        (results.subject, label(results.subject)),
        *((a.name, a.words) for a in others),
    ):
        if has(results, name, "point_spread", "points_right"):
            spread, right = (
                mean_inside(results, name, column) for column in ("point_spread", "points_right")
            )
            clauses.append(
                f"{words}: {_per_cent(spread)} of the image's side apart, {_per_cent(right)} of "
                "them of the right sign"
            )
    return f"Points that are chosen in prediction by {'; '.join(clauses)}." if clauses else ""


def _per_cent(found: Interval) -> str:
    ends = f"{percent(found.low):.1f} to {percent(found.high):.1f}"
    return f"{percent(found.mean):.1f} % ({ends})"


def curves(results: Results) -> Charts | None:
    """Draw the difference from the subject over numbers that a variant changes."""
    panels = []
    for key, (heading, axis) in CURVES.items():
        members = [a for a in of_group(results, "mining") if set(a.changes) == {key}]
        if members:
            panels.append(Panel(heading=heading, svg=_curve(results, members, key, heading, axis)))
    if not panels:
        return None
    caption = (
        f"Points of boundary IoU over {label(results.subject)}, {results.level} intervals; the "
        "places without an interval are PA-SAM's own choice."
    )
    return Charts(panels=tuple(panels), caption=caption)


def _curve(
    results: Results, members: Sequence[Ablation], key: str, heading: str, axis: str
) -> Markup:
    own = _own_value(results, key)
    places = {own: (0.0, 0.0, 0.0)}
    for ablation in members:
        row = row_of(results.ablation_differences, ablation.name)
        places[float(ablation.changes[key])] = (row["difference"], row["low"], row["high"])
    xs = sorted(places)
    columns = [tuple(places[x][i] for x in xs) for i in range(3)]
    series = Series(
        name="difference", colour="var(--other-0)", shape="circle",
        x=tuple(float(i) for i in range(len(xs))), y=columns[0], low=columns[1], high=columns[2],
    )  # fmt: skip
    return line_chart(
        [series], title=f"{heading}: difference in boundary IoU", x_label=axis, y_label="points",
        zero=True, names=[f"{x:g}" for x in xs],
    )  # fmt: skip


def _own_value(results: Results, key: str) -> float:
    value: object = results.variants[results.subject]
    for part in key.split("."):
        value = getattr(value, part)
    assert isinstance(value, int | float)
    return float(value)


# --- prompt_changes: Question 3: what changes in the sparse and dense prompts, and what the
# attention does.

PROMPT_CHANGES_LACKING = "No variant without one of these changes was trained in this run."

PROMPT_CHANGES_QUESTION = Question(
    number=3,
    short="Changes of the prompts",
    title=(
        "What changes in the sparse and dense prompts, and what does token-to-image attention do?"
    ),
    experiment=(
        "The size of both changes relative to what they change, per image; maps of the dense "
        "change and of the mask token's attention; and each change left out."
    ),
)


def prompt_changes_answer(results: Results) -> Answer:
    """Measure both changes, and leave each out."""
    if not has(results, results.subject, "dense_change", "sparse_change"):
        what = "No diagnostics of this model were written."
        return PROMPT_CHANGES_QUESTION.unanswered(what, "dvc repro evaluate")
    pictures = prompt_changes(results)
    blocks: list[Block] = [] if pictures is None else [pictures]
    sentence = sizes_sentence(results)
    variants = [
        variant
        for variant in of_group(results, "component")
        if set(variant.changes) in ({"adapter.dense"}, {"adapter.sparse"})
    ]
    if variants:
        blocks.append(variant_strips(results, variants, "Each change left out"))
        sentence += " " + effects_sentence(
            variants, results.ablation_differences, subject=results.subject, level=results.level
        )
    else:
        blocks.append(Absent(what=PROMPT_CHANGES_LACKING, command=ABLATION_COMMAND))
    return PROMPT_CHANGES_QUESTION.answer(sentence, *blocks)


def sizes_sentence(results: Results) -> str:
    """Say how large both changes are."""
    dense, sparse = (
        mean_inside(results, results.subject, f"{name}_change") for name in ("dense", "sparse")
    )
    larger = "dense" if dense.mean > sparse.mean else "sparse"
    return (
        f"{label(results.subject)} adds to the image tokens a dense change of "
        f"{_percent(dense)} of their size, and to the prompt's tokens a sparse change of "
        f"{_percent(sparse)} of theirs ({results.level} intervals): the {larger} one is relatively "
        "larger."
    )


def _percent(found: Interval) -> str:
    low, high = 100 * found.low, 100 * found.high
    return f"{100 * found.mean:.1f} % ({low:.1f} to {high:.1f} %)"


# --- prompt_or_image: Question 2: why prompt features are adapted rather than image features.

PROMPT_OR_IMAGE_LACKING = "No adapter of the image features was trained in this run."

PROMPT_OR_IMAGE_QUESTION = Question(
    number=2,
    short="Prompt or image features",
    title="Why adapt prompt features rather than image features?",
    experiment=(
        "An adapter of the image features with as many numbers, trained alike, on all benchmarks "
        "and on the one that SAM does best by itself."
    ),
)


def prompt_or_image_answer(results: Results) -> Answer:
    """Compare PA-SAM with the adapter of image features."""
    variants = of_group(results, "image")
    if not variants:
        return PROMPT_OR_IMAGE_QUESTION.unanswered(PROMPT_OR_IMAGE_LACKING, ABLATION_COMMAND)
    row = row_of(results.ablation_differences, variants[0].name)
    name = "the adapter of image features"
    sentences = [
        comparison(row, level=results.level, first=name[0].upper() + name[1:]),
        kept_sentence(results, {results.subject: label(results.subject), variants[0].name: name}),
        _cost(results, variants[0].name),
    ]
    blocks = (variant_strips(results, variants, "Image features, against prompt features"),)
    return PROMPT_OR_IMAGE_QUESTION.answer(" ".join(s for s in sentences if s), *blocks)


def _cost(results: Results, variant: str) -> str:
    own = results.trained(results.subject)
    other = results.trained(variant)
    if own is None or other is None:
        return ""
    return f"It trains {other:,} numbers, {label(results.subject)} {own:,}."


# --- tokens: Question 4: how the refined and the uncertain token are made and used.

TOKENS_QUESTION = Question(
    number=4,
    short="Refined and uncertain token",
    title="How are the refined and the uncertain token made and used?",
    experiment=(
        "Does the uncertainty find the coarse mask's errors (area under the ROC curve per image, "
        "50 % being chance), and is the mask that it helps to choose better than the coarse one?"
    ),
)

CHANCE = 0.5


def tokens_answer(results: Results) -> Answer:
    """Judge the uncertainty by the coarse mask's errors."""
    if not has(results, results.subject, "uncertainty_auroc", "coarse_iou", "final_iou"):
        what = "No diagnostics of this model were written."
        return TOKENS_QUESTION.unanswered(what, "dvc repro evaluate")
    pictures = token_maps(results)
    blocks: tuple[Block, ...] = () if pictures is None else (pictures,)
    sentence = f"{auroc_sentence(results)} {final_sentence(results)}"
    return TOKENS_QUESTION.answer(sentence, *blocks)


def auroc_sentence(results: Results) -> str:
    """Say whether the uncertainty finds errors."""
    area = mean_inside(results, results.subject, "uncertainty_auroc")
    share = mean_inside(results, results.subject, "uncertain_share")
    ends = f"{results.level} interval {percent(area.low):.1f} to {percent(area.high):.1f} %"
    found = f"the area under the ROC curve is {100 * area.mean:.1f} % ({ends})"
    spread = f"It doubts {100 * share.mean:.0f} % of the pixels."
    if area.low > CHANCE:
        return f"The uncertainty of {label(results.subject)} finds errors: {found}. {spread}"
    if area.high < CHANCE:
        return f"The uncertainty of {label(results.subject)} points away from errors: {found}."
    return f"It is not shown that the uncertainty finds errors: {found}. {spread}"


def final_sentence(results: Results) -> str:
    """Say whether the final mask of the grid is better than the coarse one."""
    change = difference_inside(results, results.subject, "final_iou", "coarse_iou")
    ends = f"{results.level} interval {span(points(change.low), points(change.high))}"
    by = f"{signed(points(change.mean))} points of IoU ({ends})"
    if change.low > 0:
        return f"Taking the refined mask where it doubts improves the coarse one: {by}."
    if change.high < 0:
        return f"Taking the refined mask where it doubts worsens the coarse one: {by}."
    return f"Taking the refined mask where it doubts shows no difference: {by}."


# --- ten: The ten questions in their order.

QUESTIONS: tuple[Callable[[Results], Answer], ...] = (
    answer,
    prompt_or_image_answer,
    prompt_changes_answer,
    tokens_answer,
    mining_answer,
    freezing_answer,
    fine_structure_answer,
    detector_boxes_answer,
    findings_answer,
    limits_answer,
)


def answers(results: Results) -> tuple[Answer, ...]:
    """Answer all of them from one run."""
    return tuple(question(results) for question in QUESTIONS)
