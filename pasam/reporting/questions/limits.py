"""Question 10: what limits the adapter, and what makes its intermediate masks better."""

from __future__ import annotations

from pasam.reporting.ablations import of_group
from pasam.reporting.blocks import Absent, Block
from pasam.reporting.effects import effects_sentence
from pasam.reporting.inside import difference_inside, has
from pasam.reporting.names import MEAN, label
from pasam.reporting.questions.answer import ABLATION_COMMAND, NOTHING, Answer, Question
from pasam.reporting.results import ORACLE, Results
from pasam.reporting.sections.ablations import variant_strips
from pasam.reporting.summary import difference
from pasam.reporting.units import points
from pasam.reporting.wording import comparison, signed, span

BEST = "pa_sam_plus"

LACKING = "No variant that changes the reference's choices was trained in this run."

QUESTION = Question(
    number=10,
    short="Limits",
    title="What limits the adapter, and how can the intermediate masks be better?",
    experiment=(
        "The reference's choices, each changed by a switch; the ceiling of the mask resolution; "
        "and the best combination as a model of its own, pa_sam_plus."
    ),
)


def answer(results: Results) -> Answer:
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
        return QUESTION.answer(sentence, *blocks)
    absent = Absent(what=LACKING, command=ABLATION_COMMAND)
    return QUESTION.answer(sentence or NOTHING, absent, answered=BEST in results.models)


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
