"""The stages of the lock with their runs, at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pasam.tracking.dvc_lock import read_lock
from pasam.tracking.runs import find_run
from pasam.tracking.store import open_store, translated

HEADLINES = ("miou", "mbiou", "loss", "iou")
"""Last parts of the names of metrics that are worth a glance."""

_MOST = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One stage."""

    stage: str
    run: str | None
    """Id of its run; None if it is not recorded."""
    headline: Mapping[str, float]
    """A few of its metrics."""


def overview(project: Path) -> list[Row]:
    """List the stages of `dvc.lock` in their order.

    Raises:
        DataError: Nothing has run yet.
        TrackingError: MLflow cannot be reached.
    """
    lock = read_lock(project)
    store = open_store(project)
    rows = []
    with translated(store.tracking_uri):
        for stage in lock.stages.values():
            run = find_run(store, stage.digest)
            metrics = {} if run is None else run.data.metrics
            names = [n for n in sorted(metrics) if n.rpartition("/")[2] in HEADLINES][:_MOST]
            rows.append(
                Row(
                    stage=stage.name,
                    run=None if run is None else run.info.run_id,
                    headline={name: metrics[name] for name in names},
                )
            )
    return rows
