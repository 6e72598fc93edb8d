"""Question 4: how the refined and the uncertain token are made and used."""

from __future__ import annotations

from pasam.reporting.blocks import Block
from pasam.reporting.inner_pictures import token_maps
from pasam.reporting.inside import difference_inside, has, mean_inside
from pasam.reporting.names import label
from pasam.reporting.questions.answer import Answer, Question
from pasam.reporting.results import Results
from pasam.reporting.units import percent, points
from pasam.reporting.wording import signed, span

QUESTION = Question(
    number=4,
    short="Refined and uncertain token",
    title="How are the refined and the uncertain token made and used?",
    experiment=(
        "Does the uncertainty find the coarse mask's errors (area under the ROC curve per image, "
        "50 % being chance), and is the mask that it helps to choose better than the coarse one?"
    ),
)

CHANCE = 0.5


def answer(results: Results) -> Answer:
    """Judge the uncertainty by the coarse mask's errors."""
    if not has(results, results.subject, "uncertainty_auroc", "coarse_iou", "final_iou"):
        what = "No diagnostics of this model were written."
        return QUESTION.unanswered(what, "dvc repro evaluate")
    pictures = token_maps(results)
    blocks: tuple[Block, ...] = () if pictures is None else (pictures,)
    sentence = f"{auroc_sentence(results)} {final_sentence(results)}"
    return QUESTION.answer(sentence, *blocks)


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
