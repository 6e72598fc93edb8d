"""Where training says how it goes: one JSON line per epoch, written whole and atomically."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

Echo = Callable[[Mapping[str, float]], None]
"""Somebody who wants to hear every row too, and returns at once."""


class JsonlSink:
    """Collect rows of numbers and keep a JSON-lines file in step with them.

    Rows are rounded to seven digits, sorted by key and free of time, so that equal trainings give
    equal bytes.

    Args:
        path: The file; its folder is made if need be.
        echo: Hears every row, restored ones too.
    """

    def __init__(self, path: Path, *, echo: Echo | None = None) -> None:
        self.path = path
        self.echo = echo
        self.rows: list[dict[str, float]] = []

    def append(self, row: Mapping[str, float]) -> None:
        """Add a row and write the file."""
        self.rows.append({key: float(f"{value:.7g}") for key, value in row.items()})
        self.write()
        self._tell(self.rows[-1])

    def restore(self, rows: list[dict[str, float]]) -> None:
        """Take over the rows of an interrupted run."""
        self.rows = [dict(row) for row in rows]
        self.write()
        for row in self.rows:
            self._tell(row)

    def write(self) -> None:
        """Replace the file by the rows so far."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(row, sort_keys=True) + "\n" for row in self.rows)
        draft = self.path.with_name(self.path.name + ".part")
        draft.write_text(lines, encoding="utf-8")
        draft.replace(self.path)

    def _tell(self, row: Mapping[str, float]) -> None:
        if self.echo is not None:
            self.echo(row)
