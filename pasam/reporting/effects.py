"""Sentences about several variants at once: what helped, what hurt, and what shows nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pasam.metrics.bootstrap import GAIN, LOSS, UNDECIDED
from pasam.reporting.ablations import Ablation, by_verdict, row_of
from pasam.reporting.names import label
from pasam.reporting.wording import LONG_METRICS, listed, signed, span


def effects_sentence(
    ablations: Sequence[Ablation],
    table: pd.DataFrame,
    *,
    subject: str,
    level: str,
    metric: str = "mbiou",
) -> str:
    """Say how variants compare with the subject.

    Args:
        ablations: The variants.
        table: `Results.ablation_differences`.
        subject: Key of the model they are variants of.
        level: Level of the intervals, in words.
        metric: `miou` or `mbiou`.

    Returns:
        At most three clauses: what gains, what loses, and what shows no difference.
    """
    words = {ablation.name: ablation.words for ablation in ablations}
    found = by_verdict([row_of(table, name, metric) for name in words])
    clauses = []
    for verdict, says in ((LOSS, "loses"), (GAIN, "gains")):
        if verdict in found:
            rows = found[verdict]
            verb = says if len(rows) == 1 else says.removesuffix("s")
            clauses.append(f"{listed([_with_numbers(r, words) for r in rows])} {verb}")
    name = label(subject)
    sentence = ""
    if clauses:
        sentence = f"Against {name}, in points of {LONG_METRICS[metric]}: {'; '.join(clauses)}. "
    if UNDECIDED in found:
        rows = found[UNDECIDED]
        open_ones = listed([_with_numbers(row, words) for row in rows])
        sentence += f"No difference from {name} is shown for {open_ones}."
    return f"{sentence.strip()} ({level} intervals, Holm-adjusted.)"


def _with_numbers(row: Mapping[str, Any], words: Mapping[str, str]) -> str:
    name = words[str(row["model"])]
    return f"\N{LEFT DOUBLE QUOTATION MARK}{name}\N{RIGHT DOUBLE QUOTATION MARK} {numbers(row)}"


def numbers(row: Mapping[str, Any]) -> str:
    """Write a difference with its interval, for brackets in a sentence."""
    return f"({signed(row['difference'])}, {span(row['low'], row['high'])})"
