"""Question 2: why prompt features are adapted rather than image features."""

from __future__ import annotations

from pasam.reporting.ablations import of_group, row_of
from pasam.reporting.kept_ability import kept_sentence
from pasam.reporting.names import label
from pasam.reporting.questions.answer import ABLATION_COMMAND, Answer, Question
from pasam.reporting.results import Results
from pasam.reporting.sections.ablations import variant_strips
from pasam.reporting.wording import comparison

LACKING = "No adapter of the image features was trained in this run."

QUESTION = Question(
    number=2,
    short="Prompt or image features",
    title="Why adapt prompt features rather than image features?",
    experiment=(
        "An adapter of the image features with as many numbers, trained alike, on all benchmarks "
        "and on the one that SAM does best by itself."
    ),
)


def answer(results: Results) -> Answer:
    """Compare PA-SAM with the adapter of image features."""
    variants = of_group(results, "image")
    if not variants:
        return QUESTION.unanswered(LACKING, ABLATION_COMMAND)
    row = row_of(results.ablation_differences, variants[0].name)
    name = "the adapter of image features"
    sentences = [
        comparison(row, level=results.level, first=name[0].upper() + name[1:]),
        kept_sentence(results, {results.subject: label(results.subject), variants[0].name: name}),
        _cost(results, variants[0].name),
    ]
    blocks = (variant_strips(results, variants, "Image features, against prompt features"),)
    return QUESTION.answer(" ".join(s for s in sentences if s), *blocks)


def _cost(results: Results, variant: str) -> str:
    own = results.trained(results.subject)
    other = results.trained(variant)
    if own is None or other is None:
        return ""
    return f"It trains {other:,} numbers, {label(results.subject)} {own:,}."
