"""Question 1: how the adapter works, and what each of its parts brings."""

from __future__ import annotations

from pasam.reporting.ablations import of_group
from pasam.reporting.blocks import Absent, Block
from pasam.reporting.effects import effects_sentence
from pasam.reporting.inner_pictures import walk
from pasam.reporting.questions.answer import ABLATION_COMMAND, Answer, Question
from pasam.reporting.results import Results
from pasam.reporting.sections.ablations import variant_strips

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
