"""Question 8: why models differ between detector-driven and high-quality sets."""

from __future__ import annotations

from pasam.reporting.blocks import Block
from pasam.reporting.conditions import JITTER, POINTS, difference_at
from pasam.reporting.names import label
from pasam.reporting.precision_tables import single_sets
from pasam.reporting.questions.answer import Answer, Question
from pasam.reporting.results import BASELINE, Results
from pasam.reporting.sections.detectors import COMMAND as DETECTOR_COMMAND
from pasam.reporting.sections.detectors import box_sentences
from pasam.reporting.sections.robustness import COMMAND, METRIC, condition_charts
from pasam.reporting.wording import signed, span

QUESTION = Question(
    number=8,
    short="Detectors' boxes",
    title=("Why do HQ-SAM and PA-SAM differ between detector-driven (COCO) and high-quality sets?"),
    experiment=(
        "The gain over SAM as boxes get looser and points fewer, and on the boxes of a detector."
    ),
)


def answer(results: Results) -> Answer:
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
        return QUESTION.unanswered(what, f"{COMMAND} {DETECTOR_COMMAND.split()[-1]}")
    blocks: tuple[Block, ...] = (condition_charts(results, found),) if found else ()
    return QUESTION.answer(" ".join(sentences), *blocks)


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
