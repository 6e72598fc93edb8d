"""Question 7: why the gain is so large on sets of fine structure."""

from __future__ import annotations

from pasam.reporting.difficulty import complexity_measure, thinness_measure, trend_sentence
from pasam.reporting.questions.answer import Answer
from pasam.reporting.results import Results
from pasam.reporting.sections.fine_structure import fineness_charts


def answer(results: Results) -> Answer:
    """Compare the gain on coarse and on fine objects."""
    measures = [complexity_measure(results), thinness_measure(results)]
    return Answer(
        number=7,
        short="Fine structure",
        title="Why is the gain so large on fine-structure sets?",
        experiment="Gain by quantile of boundary complexity and of thinness, all images pooled.",
        sentence=" ".join(trend_sentence(results, measure) for measure in measures),
        blocks=(fineness_charts(results, measures),),
    )
