"""Table 4: every variant against PA-SAM, with its cost."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pasam.reporting.ablations import (
    GROUP_NAMES,
    Ablation,
    ablation_names,
    row_of,
)
from pasam.reporting.blocks import Absent, Block, Section, StripRow, Strips, Table, Text
from pasam.reporting.effects import effects_sentence
from pasam.reporting.grid import Grid
from pasam.reporting.names import MEAN, label
from pasam.reporting.questions.answer import ABLATION_COMMAND
from pasam.reporting.results import Results
from pasam.reporting.score_matrix import score_matrix
from pasam.reporting.svg.strips import strip, strip_scale
from pasam.reporting.table1 import p_text, verdict_text
from pasam.reporting.wording import counted, signed, span

NO_ABLATION = "No variant was trained in this run."


def ablations_section(results: Results) -> Section:
    """Show Table 4."""
    variants = ablation_names(results)
    blocks: list[Block] = [Absent(what=NO_ABLATION, command=ABLATION_COMMAND)]
    if variants:
        blocks = []
        for group, heading in GROUP_NAMES.items():
            members = [variant for variant in variants if variant.group == group]
            if members:
                blocks.append(variant_strips(results, members, heading))
        blocks.append(Table(grid=ablation_grid(results)))
        words = effects_sentence(
            variants, results.ablation_differences, subject=results.subject, level=results.level
        )
        blocks.append(Text(words=words))
    name = label(results.subject)
    return Section(
        key="table-4",
        title="Table 4: ablations",
        lead=(
            f"Variants of {name}, trained from the same embeddings with the same seed; each states "
            f"only what it changes. Differences are paired, in points of boundary IoU over {name}."
        ),
        blocks=tuple(blocks),
    )


def variant_strips(results: Results, variants: Sequence[Ablation], heading: str) -> Strips:
    """Draw variants' differences in boundary IoU, on one scale for all of the table."""
    table = results.ablation_differences
    means = table[(table["benchmark"] == MEAN) & (table["metric"] == "mbiou")]
    scale = strip_scale([*means["low"], *means["high"]])
    rows = []
    for variant in variants:
        row = row_of(table, variant.name)
        drawn = strip(scale, row["difference"], row["low"], row["high"], colour="var(--other-0)")
        rows.append(
            StripRow(
                name=variant.words,
                note=variant.name,
                strip=drawn,
                value=f"{signed(row['difference'])} ({span(row['low'], row['high'])})",
                verdict=verdict_text(row),
            )
        )
    name = label(results.subject)
    caption = f"Points of boundary IoU over {name}, {results.level} intervals, Holm-adjusted p."
    return Strips(heading=heading, rows=tuple(rows), caption=caption)


def ablation_grid(results: Results) -> Grid:
    """Lay out all variants: means, difference, cost."""
    table = results.ablation_differences
    lines = [
        (label(results.subject), "", *_means(results, results.subject), "", "", _cost(results))
    ]
    for variant in ablation_names(results):
        row = row_of(table, variant.name)
        points = f"{row['difference']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]"
        cells = (points, p_text(row["p_holm"]), _cost(results, variant.name))
        lines.append((variant.name, variant.words, *_means(results, variant.name), *cells))
    head = ("Variant", "Change", "mIoU", "mBIoU", "Points of mBIoU", "p (Holm)", "Trained numbers")
    notes = (
        f"Holm's correction over {counted(len(lines) - 1, 'variant')} and both metrics. Same data, "
        f"views and seed ({results.train.seed}) for all; one seed, so that the intervals cover "
        "test images only.",
    )
    return Grid(caption="Ablations", head=head, rows=tuple(lines), notes=notes, texts=(1,))


def _means(results: Results, model: str) -> tuple[str, str]:
    found = []
    for column in ("iou", "boundary_iou"):
        scored = score_matrix(results.ablation_scores, model, column)
        by_benchmark = pd.Series(scored.per_image).groupby(scored.strata).mean()
        found.append(f"{100 * by_benchmark.mean():.1f}")
    return found[0], found[1]


def _cost(results: Results, variant: str | None = None) -> str:
    count = results.trained(variant or results.subject)
    return "" if count is None else f"{count:,}"
