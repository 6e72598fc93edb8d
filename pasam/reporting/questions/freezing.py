"""Question 6: why the adapter alone is trained, and how SAM's ability is preserved."""

from __future__ import annotations

from pasam.reporting.ablations import of_group
from pasam.reporting.blocks import Table
from pasam.reporting.effects import effects_sentence
from pasam.reporting.grid import Grid
from pasam.reporting.kept_ability import best_benchmark, change_over_reference, kept_sentence
from pasam.reporting.names import MEAN, label
from pasam.reporting.questions.answer import ABLATION_COMMAND, Answer, Question
from pasam.reporting.results import Results

LACKING = "No variant that trains other parts was made in this run."

QUESTION = Question(
    number=6,
    short="What is trained",
    title="Why train the adapter alone, and how is SAM's ability preserved?",
    experiment=(
        "Adapter alone, with the mask head (as the reference), whole decoder, all of SAM: gain on "
        "the other benchmarks against what happens on the one that SAM does best; frozen weights "
        "compared bit for bit."
    ),
)


def answer(results: Results) -> Answer:
    """Compare what is trained."""
    variants = of_group(results, "trained")
    if not variants:
        return QUESTION.unanswered(LACKING, ABLATION_COMMAND)
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
    return QUESTION.answer(sentence, Table(grid=_grid(results, names)))


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
