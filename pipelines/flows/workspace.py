"""What flows keep between runs: their folder, DVC with its log and lock, and unfinished work."""

from __future__ import annotations

from pathlib import Path

from pasam.tracking.dvc_lock import read_lock
from pipelines.dvc_cli import Dvc
from pipelines.flows.engine import say

STATE = Path(".flows")
"""Logs, the lock and Prefect's own files; neither git nor DVC looks at it."""

UNFINISHED = "unfinished"


def dvc(hours: float) -> Dvc:
    """DVC in the current folder, which is the project's root.

    Args:
        hours: Longest time of one command, and of waiting for another flow.
    """
    seconds = hours * 3600
    return Dvc(project=Path.cwd(), state=STATE, on_line=say, timeout=seconds, patience=seconds)


def results(suffix: str) -> list[Path]:
    """List the stages' outputs whose path ends so and which are there."""
    lock = read_lock(Path())
    found = [Path(entry.path) for _, entry in lock.makers(suffix)]
    return [path for path in found if path.exists()]


def outputs(stage: str) -> list[Path]:
    """List the files and folders that a stage has made, if it is in the lock."""
    record = read_lock(Path()).stages.get(stage)
    return [] if record is None else [Path(path) for path in record.outs if Path(path).exists()]


def begin() -> None:
    """Note that new work has begun, so that it goes on after whatever may happen to it."""
    STATE.mkdir(exist_ok=True)
    (STATE / UNFINISHED).touch()


def finish() -> None:
    """Note that the work that `begin` began is done."""
    (STATE / UNFINISHED).unlink(missing_ok=True)


def is_unfinished() -> bool:
    """Say whether earlier work was begun and not finished."""
    return (STATE / UNFINISHED).exists()
