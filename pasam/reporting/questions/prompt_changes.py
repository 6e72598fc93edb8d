"""Question 3: what changes in the sparse and dense prompts, and what the attention does."""

from __future__ import annotations

from pasam.metrics.bootstrap import Interval
from pasam.reporting.ablations import of_group
from pasam.reporting.blocks import Absent, Block
from pasam.reporting.effects import effects_sentence
from pasam.reporting.inner_pictures import prompt_changes
from pasam.reporting.inside import has, mean_inside
from pasam.reporting.names import label
from pasam.reporting.questions.answer import ABLATION_COMMAND, Answer, Question
from pasam.reporting.results import Results
from pasam.reporting.sections.ablations import variant_strips

LACKING = "No variant without one of these changes was trained in this run."

QUESTION = Question(
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


def answer(results: Results) -> Answer:
    """Measure both changes, and leave each out."""
    if not has(results, results.subject, "dense_change", "sparse_change"):
        what = "No diagnostics of this model were written."
        return QUESTION.unanswered(what, "dvc repro evaluate")
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
        blocks.append(Absent(what=LACKING, command=ABLATION_COMMAND))
    return QUESTION.answer(sentence, *blocks)


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
