"""Table 1 for people (Markdown), for programs (CSV) and for `dvc metrics` (JSON)."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from pasam.reporting import table1
from pasam.reporting.grid import Grid
from pasam.reporting.grid import markdown as grid_markdown
from pasam.reporting.summary import METRICS, Bootstrap


def write_tables(
    summary: pd.DataFrame,
    differences: pd.DataFrame,
    folder: Path,
    *,
    setting: str,
    bootstrap: Bootstrap,
) -> None:
    """Write `table1.md`, `table1.csv`, `differences.csv` and `metrics.json` into a folder.

    Args:
        summary: From `summarise`.
        differences: From `compare`.
        folder: Where the four files go.
        setting: What the run was made on: data, model size, seeds; stands above the table.
        bootstrap: Settings of the intervals.
    """
    text = markdown(summary, differences, setting=setting, bootstrap=bootstrap)
    write_text(folder / "table1.md", text)
    write_text(folder / "table1.csv", csv_text(summary))
    write_text(folder / "differences.csv", csv_text(differences))
    write_text(folder / "metrics.json", json.dumps(metrics(summary), indent=2) + "\n")


def metrics(summary: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Nest a summary as model -> benchmark -> mIoU and mBIoU, per cent with four decimals."""
    nested: dict[str, dict[str, dict[str, float]]] = {}
    for row in summary.to_dict("records"):
        scores = {name: round(float(row[name]), 4) for name in METRICS}
        nested.setdefault(str(row["model"]), {})[str(row["benchmark"])] = scores
    return nested


def markdown(
    summary: pd.DataFrame, differences: pd.DataFrame, *, setting: str, bootstrap: Bootstrap
) -> str:
    """Compose the report's text.

    Args:
        summary: From `summarise`.
        differences: From `compare`.
        setting: What the run was made on.
        bootstrap: Settings of the intervals.
    """
    level = f"{100 * bootstrap.confidence:g} %"
    parts = ["# Table 1", f"{setting.strip()}\n\n{table1.READING}"]
    parts.append(grid_markdown(table1.overview(summary)))
    if len(differences):
        parts += _titled(table1.pairs(differences, level=level))
    parts += _titled(table1.details(summary, level=level))
    notes = table1.table_notes(summary, bootstrap)
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]) + "\n"


def _titled(grid: Grid) -> list[str]:
    return [f"## {grid.caption}", grid_markdown(grid)]


def csv_text(frame: pd.DataFrame) -> str:
    """Write a table as CSV with four decimals."""
    return frame.to_csv(index=False, float_format="%.4f", lineterminator="\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(text, encoding="utf-8", newline="\n")
    draft.replace(path)
