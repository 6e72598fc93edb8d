"""Where the gain comes from: by how intricate and how thin the objects are."""

from __future__ import annotations

from pasam.reporting.blocks import Charts, Key, Panel, Section, Text
from pasam.reporting.difficulty import (
    Measure,
    complexity_measure,
    gains,
    group_names,
    thinness_measure,
    trend_sentence,
)
from pasam.reporting.grid import Grid
from pasam.reporting.names import label
from pasam.reporting.results import Results
from pasam.reporting.svg.dots import dot_chart
from pasam.reporting.svg.series import SHAPES, model_series


def fine_structure_section(results: Results) -> Section:
    """Show the gain by boundary complexity and by thinness."""
    measures = [complexity_measure(results), thinness_measure(results)]
    sentences = [Text(words=trend_sentence(results, measure)) for measure in measures]
    return Section(
        key="fine-structure",
        title="Gain by fineness of structure",
        lead=(
            "All images in equally large groups, from coarse to fine, whatever benchmark they "
            "belong to."
        ),
        blocks=(fineness_charts(results, measures), *sentences),
    )


def fineness_charts(results: Results, measures: list[Measure]) -> Charts:
    """Draw the gain over the groups, one chart per measure."""
    panels, rows = [], []
    subject = results.subject
    others = [] if subject in SHAPES else [subject]
    name = f"{label(subject)} minus {label(results.reference)}"
    for measure in measures:
        table = gains(results, measure)
        names = group_names(table, measure)
        values = [table[column].tolist() for column in ("difference", "low", "high")]
        one = model_series(subject, range(len(table)), *values, others=others, name=name)
        svg = dot_chart(
            [one], names, title=f"{measure.heading}: gain in boundary IoU", y_label="points",
            x_label=measure.axis, zero=True,
        )  # fmt: skip
        panels.append(Panel(heading=measure.heading, svg=svg))
        for group, row in zip(names, table.to_dict("records"), strict=True):
            gain = f"{row['difference']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]"
            scores = f"{row['against_score']:.1f}", f"{row['score']:.1f}"
            rows.append((measure.key, group, str(row["n"]), *scores, gain))
    head = ("Measure", "Group", "n", label(results.reference), label(subject), "Gain")
    numbers = Grid(caption="Gain in boundary IoU by group", head=head, rows=tuple(rows), texts=(1,))
    caption = f"Paired gain in points of boundary IoU, {results.level} intervals."
    key = Key(name=name, colour=one.colour, shape=one.shape)
    return Charts(panels=tuple(panels), caption=caption, legend=(key,), numbers=numbers)
