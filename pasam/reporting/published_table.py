"""Published numbers beside this run's, with the difference where the protocol is the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pasam.reporting.grid import Grid
from pasam.reporting.names import label
from pasam.reporting.results import Results
from pasam.reporting.wording import signed

NONE_STATED = "none stated"


def published_grid(results: Results) -> Grid | None:
    """Lay published and own numbers side by side; None where nothing is published.

    Difference and tolerance are given only where the run repeats the published protocol; else the
    table says that its two columns cannot be compared.
    """
    rows = [
        {str(k): v for k, v in row.items()}
        for row in results.summary.to_dict("records")
        if pd.notna(row["published_miou"])
    ]
    if not rows:
        return None
    head: tuple[str, ...] = (
        "Model",
        "Published set",
        "Published mIoU / mBIoU",
        "Ours, on",
        "Ours mIoU / mBIoU",
    )
    lines: list[tuple[str, ...]] = [_pair(row) for row in rows]
    caption = "Published numbers (ViT-L, HQSeg-44K) beside this run: not comparable"
    note = (
        "Other weights, training data and images: this shows the size of the effect at full scale."
    )
    if results.comparable:
        head = (*head, "Difference", "Tolerance")
        lines = [(*line, *_judged(row, results)) for line, row in zip(lines, rows, strict=True)]
        caption = "Published numbers beside this run, which repeats their protocol"
        note = "Tolerance: of a full retraining, in points; where none is stated, none was agreed."
    return Grid(caption=caption, head=head, rows=tuple(lines), notes=(note,), texts=(1, 3))


def _pair(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        label(str(row["model"])),
        str(row["published_benchmark"]),
        f"{row['published_miou']:.1f} / {row['published_mbiou']:.1f}",
        str(row["benchmark"]),
        f"{row['miou']:.1f} / {row['mbiou']:.1f}",
    )


def _judged(row: Mapping[str, Any], results: Results) -> tuple[str, str]:
    gaps = [row[metric] - row[f"published_{metric}"] for metric in ("miou", "mbiou")]
    known = results.published.set_index(["model", "benchmark"])
    agreed = known["tolerance"].astype(float)[[(row["model"], row["benchmark"])]].iloc[0]
    shown = " / ".join(signed(gap) for gap in gaps)
    if np.isnan(agreed):
        return shown, NONE_STATED
    kept = all(abs(gap) <= agreed for gap in gaps)
    return shown, f"{agreed:g} ({'kept' if kept else 'exceeded'})"
