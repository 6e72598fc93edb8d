"""Question 7: why the gain is so large on sets of fine structure."""

from __future__ import annotations

import pandas as pd

from pasam.reporting.blocks import StripRow, Strips
from pasam.reporting.difficulty import (
    METRIC,
    complexity_measure,
    thinness_measure,
    trend_sentence,
)
from pasam.reporting.names import MEAN, label
from pasam.reporting.questions.answer import Answer, Question
from pasam.reporting.results import Results
from pasam.reporting.svg.series import SHAPES, model_colour
from pasam.reporting.svg.strips import strip, strip_scale
from pasam.reporting.table1 import verdict_text
from pasam.reporting.wording import signed, span

QUESTION = Question(
    number=7,
    short="Fine structure",
    title="Why is the gain so large on fine-structure sets?",
    experiment=(
        "Gain by quantile of boundary complexity and of thinness, all images pooled, and by "
        "benchmark; charts of the quantiles are above, under gain by fineness of structure."
    ),
)


def answer(results: Results) -> Answer:
    """Compare the gain on coarse and on fine objects."""
    measures = [complexity_measure(results), thinness_measure(results)]
    sentence = " ".join(trend_sentence(results, measure) for measure in measures)
    strips = benchmark_strips(results)
    return QUESTION.answer(sentence, *([] if strips is None else [strips]))


def benchmark_strips(results: Results) -> Strips | None:
    """Show the gain on each benchmark, with how fine its objects are."""
    table = results.differences
    chosen = table[
        (table["model"] == results.subject)
        & (table["against"] == results.reference)
        & (table["metric"] == METRIC)
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
