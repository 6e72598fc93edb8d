"""Question 9: what the ablations showed, and which choices follow."""

from __future__ import annotations

from pasam.metrics.bootstrap import GAIN, LOSS, UNDECIDED
from pasam.reporting.ablations import ablation_names, by_verdict, row_of
from pasam.reporting.blocks import Table
from pasam.reporting.effects import numbers
from pasam.reporting.names import label
from pasam.reporting.questions.answer import ABLATION_COMMAND, Answer, Question
from pasam.reporting.results import Results
from pasam.reporting.sections.ablations import NO_ABLATION, ablation_grid
from pasam.reporting.wording import counted, listed

QUESTION = Question(
    number=9,
    short="What follows",
    title="What did the ablations show, and which choices follow?",
    experiment="Every variant against PA-SAM: paired differences, Holm-adjusted, and the cost.",
)


def answer(results: Results) -> Answer:
    """Sort all variants by what is shown of them."""
    variants = ablation_names(results)
    if not variants:
        return QUESTION.unanswered(NO_ABLATION, ABLATION_COMMAND)
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
    return QUESTION.answer(" ".join(sentences), *blocks)


def _cheaper(results: Results, names: list[str]) -> list[str]:
    """Variants that train fewer numbers than the subject."""
    own = results.trained(results.subject)
    if own is None:
        return []
    counts = {name: results.trained(name) for name in names}
    return [name for name, count in counts.items() if count is not None and count < own]
