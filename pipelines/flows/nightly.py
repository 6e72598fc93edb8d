"""Flow `nightly`: validate the data, and measure the champion on what is new in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.flows.engine import Outcome, show_table, task
from pipelines.flows.notify import tell
from pipelines.flows.reproduce import repro
from pipelines.flows.workspace import dvc, results

Rows = Sequence[Mapping[str, Any]]


@task("how far has the data drifted?", timeout=600)
def drifted() -> Rows:
    """List the quantities whose distribution left that of the accepted data."""
    rows = [
        row
        for path in results("findings.json")
        for row in json.loads(path.read_text(encoding="utf-8")).get("drift", [])
        if row["drifted"]
    ]
    show_table("drift", rows, "Distributions that have left those of the accepted data")
    return rows


@task("measure the champion", timeout=3 * 3600)
def champion_on_new() -> str:
    """Measure the champion on today's data, and tell what is new from what it was judged on."""
    from pasam.registry.evidence import watch_champion

    watched = watch_champion(Path())
    if watched is None:
        return "There is no champion yet."
    show_table("champion", [row.shown() for row in watched.rows], watched.message)
    return watched.message


def nightly(*, hours: float = 12.0, notify: str | None = None) -> Outcome:
    """Bring the data's stages up to date, and report drift and the champion's scores.

    Nothing is trained and nothing promoted.

    Args:
        hours: Longest time of one DVC command, and of waiting for another flow.
        notify: Who is told of drift or a failure: a webhook, or a Prefect block.
    """
    with dvc(hours).alone():
        repro("data", hours)
        rows = drifted()
        message = champion_on_new()
    if rows:
        moved = ", ".join(f"{row['dataset']} ({row['quantity']})" for row in rows)
        message = f"The data has drifted: {moved}. {message}"
        tell(notify, "pasam sees drift", message)
    return Outcome("drifted" if rows else "watched", message)


if __name__ == "__main__":
    from pipelines.flows.command_line import run

    run(nightly)
