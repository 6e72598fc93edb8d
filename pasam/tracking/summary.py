"""What a person meets first on MLflow's pages: where a run is from, and what came of it."""

from __future__ import annotations

from pathlib import Path

from pasam.tracking.contents import Point, metrics_of, unready
from pasam.tracking.dvc_lock import DvcLock

SOURCE_COMMIT = "mlflow.source.git.commit"

METRICS, TABLE = "metrics.json", "table1.md"
"""Ends of the outputs that sum up a reproduction."""

_LONGEST_NOTE = 8000  # MLflow's limit for a tag


def source_tags(stage: str = "") -> dict[str, str]:
    """Name the command that makes a run's results again, where MLflow shows a run's source."""
    return {"mlflow.source.name": f"dvc repro {stage}".strip(), "mlflow.source.type": "LOCAL"}


def headline(project: Path, lock: DvcLock) -> list[Point]:
    """Read the metrics that sum up a reproduction, so that reproductions can be compared."""
    makers = (stage for stage, _ in lock.makers(METRICS))
    return [
        point for stage in makers if not unready(project, stage)
        for point in metrics_of(project, stage)
    ]  # fmt: skip


def note(project: Path, lock: DvcLock) -> str | None:
    """Read the table that sums up a reproduction, as Markdown."""
    for stage, entry in lock.makers(TABLE):
        if not unready(project, stage):
            text = (project / entry.path).read_text(encoding="utf-8")
            return text if len(text) <= _LONGEST_NOTE else _whole_paragraphs(text)
    return None


def _whole_paragraphs(text: str) -> str:
    """Leave out what MLflow would not take, from a blank line on: half a table is none."""
    return text[:_LONGEST_NOTE].rpartition("\n\n")[0]
