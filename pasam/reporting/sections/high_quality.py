"""Table 1: the high-quality sets, its chart, and the paired differences."""

from __future__ import annotations

import pandas as pd

from pasam.reporting.blocks import (
    Block,
    Charts,
    Key,
    Panel,
    Section,
    StripRow,
    Strips,
    Table,
    Text,
)
from pasam.reporting.cost import cost_grid
from pasam.reporting.names import MEAN, label, mean_label
from pasam.reporting.published_table import published_grid
from pasam.reporting.results import Results
from pasam.reporting.svg.dots import dot_chart
from pasam.reporting.svg.series import SHAPES, Series, model_colour, model_series
from pasam.reporting.svg.strips import strip, strip_scale
from pasam.reporting.table1 import (
    METRIC_LABELS,
    READING,
    details,
    overview,
    pairs,
    table_notes,
    verdict_text,
)
from pasam.reporting.wording import signed, span


def high_quality_section(results: Results) -> Section:
    """Show Table 1."""
    blocks: list[Block] = [Table(grid=overview(_own(results.summary))), _charts(results)]
    if len(results.differences):
        blocks += [_strips(results), Table(grid=pairs(results.differences, level=results.level),
                                           folded=True)]  # fmt: skip
    published = published_grid(results)
    if published is not None:
        blocks.append(Table(grid=published, folded=not results.comparable))
    cost = cost_grid(results)
    blocks += [] if cost is None else [Table(grid=cost)]
    own = details(_own(results.summary), level=results.level)
    blocks.append(Table(grid=own, folded=True))
    blocks += [
        Text(words=note, quiet=True) for note in table_notes(results.summary, results.bootstrap)
    ]
    return Section(
        key="table-1",
        title="Table 1: high-quality segmentation",
        lead=READING,
        blocks=tuple(blocks),
    )


def legend(models: list[str]) -> tuple[Key, ...]:
    """One entry per model of Table 1."""
    others = [model for model in models if model not in SHAPES]
    series = [model_series(model, [], [], others=others) for model in models]
    return tuple(Key(name=one.name, colour=one.colour, shape=one.shape) for one in series)


def _own(summary: pd.DataFrame) -> pd.DataFrame:
    """A summary without the published numbers, which have a table of their own."""
    return summary.assign(published_miou=None, published_mbiou=None)


def _charts(results: Results) -> Charts:
    summary = results.summary
    benchmarks = [str(name) for name in dict.fromkeys(summary["benchmark"])]
    names = [mean_label(len(benchmarks) - 1) if b == MEAN else b for b in benchmarks]
    panels = []
    for metric, heading in (("mbiou", "Boundary IoU"), ("miou", "IoU")):
        series = [_series(summary, results, model, metric) for model in results.models]
        svg = dot_chart(
            series, names, title=f"{heading} by benchmark and model", y_label="per cent",
            shaded=len(names) - 1 if len(names) > 2 else None,
        )  # fmt: skip
        panels.append(Panel(heading=heading, svg=svg))
    caption = (
        f"Per-image means with {results.level} intervals. Whether two models differ is told by "
        "their paired difference below, not by whether these bars overlap."
    )
    return Charts(panels=tuple(panels), caption=caption, legend=legend(results.models))


def _series(summary: pd.DataFrame, results: Results, model: str, metric: str) -> Series:
    rows = summary[summary["model"] == model]
    others = [name for name in results.models if name not in SHAPES]
    ends = [rows[f"{metric}_{end}"].tolist() for end in ("low", "high")]
    return model_series(model, range(len(rows)), rows[metric].tolist(), *ends, others=others)


def _strips(results: Results) -> Strips:
    table = results.differences[results.differences["benchmark"] == MEAN]
    scale = strip_scale([*table["low"], *table["high"]])
    rows = [
        StripRow(
            name=f"{label(str(row['model']))} minus {label(str(row['against']))}",
            note=METRIC_LABELS[str(row["metric"])],
            strip=strip(
                scale, row["difference"], row["low"], row["high"],
                colour=model_colour(str(row["model"])) if row["model"] in SHAPES
                else "var(--other-0)",
            ),
            value=f"{signed(row['difference'])} ({span(row['low'], row['high'])})",
            verdict=verdict_text(row),
        )
        for row in table.to_dict("records")
    ]  # fmt: skip
    caption = (
        f"Paired differences in points, mean over benchmarks, {results.level} intervals; p after "
        "Holm's correction over these rows."
    )
    return Strips(heading="Paired differences", rows=tuple(rows), caption=caption)
