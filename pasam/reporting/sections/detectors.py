"""Tables 2 and 3: instance segmentation from a detector's boxes, and open-set segmentation."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from pasam.reporting.blocks import Absent, Block, Section, Table, Text
from pasam.reporting.grid import Grid
from pasam.reporting.precision_tables import (
    COCO_STYLE,
    SEGINW_STYLE,
    box_difference,
    collection_grid,
    published_precision_grid,
    set_collections,
    single_set_grid,
    single_sets,
)
from pasam.reporting.results import BASELINE, Results
from pasam.reporting.wording import comparison

COMMAND = "dvc repro instances"


def coco_section(results: Results) -> Section:
    """Show Table 2."""
    return Section(
        key="table-2",
        title="Table 2: COCO-style instance segmentation",
        lead=(
            "Every box of a detector becomes a mask; boxes may be off, missing or false, and their "
            "scores decide the order."
        ),
        blocks=tuple(_blocks(results, single_sets, single_set_grid, COCO_STYLE)),
    )


def open_set_section(results: Results) -> Section:
    """Show Table 3."""
    return Section(
        key="table-3",
        title="Table 3: SegInW-style open set",
        lead="Many small sets, each with boxes found by phrase; every set counts alike.",
        blocks=tuple(_blocks(results, set_collections, collection_grid, SEGINW_STYLE)),
    )


def precision_grids(results: Results) -> dict[str, Grid]:
    """Give Tables 2 and 3 by the name of their file, as far as this run made them."""
    if results.precisions is None:
        return {}
    grids = {}
    for name, choose, lay_out in (
        ("table2", single_sets, single_set_grid), ("table3", set_collections, collection_grid),
    ):  # fmt: skip
        chosen = choose(results.precisions)
        for number, benchmark in enumerate(chosen):
            key = name if len(chosen) == 1 else f"{name}_{number + 1}"
            grids[key] = lay_out(results.precisions, benchmark)
    return grids


def _blocks(
    results: Results,
    choose: Callable[[pd.DataFrame], list[str]],
    lay_out: Callable[[pd.DataFrame, str], Grid],
    kind: str,
) -> list[Block]:
    chosen = [] if results.precisions is None else choose(results.precisions)
    if results.precisions is None or not chosen:
        return [Absent(what=f"No {kind} set was evaluated.", command=COMMAND)]
    blocks: list[Block] = []
    for benchmark in chosen:
        blocks.append(Table(grid=lay_out(results.precisions, benchmark)))
        blocks += [Text(words=words) for words in box_sentences(results, benchmark)]
    published = published_precision_grid(
        results.published_instances, results.precisions, kind, base=results.base.size
    )
    return [*blocks, *([] if published is None else [Table(grid=published, folded=True)])]


def box_sentences(results: Results, benchmark: str) -> list[str]:
    """Say how the subject's masks compare with the others' on the same boxes."""
    if results.instances is None:
        return []
    sentences = []
    for against in dict.fromkeys((results.reference, BASELINE)):
        pair = (results.subject, against)
        row = box_difference(results.instances, benchmark, pair, results.bootstrap)
        if row is not None and against != results.subject:
            words = comparison(row, level=results.level)
            sentences.append(f"On the same boxes of {benchmark}: {words}")
    return sentences
