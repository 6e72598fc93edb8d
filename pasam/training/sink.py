"""Where training says how it goes: one JSON line per epoch, written whole and atomically."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Echo = Callable[[Mapping[str, float]], None]
"""Somebody who wants to hear every row too, and returns at once."""


class JsonlSink:
    """Collect rows of numbers and keep a JSON-lines file in step with them.

    Rows are rounded to seven digits, sorted by key and free of time, so that equal trainings give
    equal bytes.

    Args:
        path: The file; its folder is made if need be. None only collects.
        echo: Hears every row, restored ones too.
    """

    def __init__(self, path: Path | None, *, echo: Echo | None = None) -> None:
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
        if self.path is None:
            return
        write_rows(self.path, self.rows)

    def _tell(self, row: Mapping[str, float]) -> None:
        if self.echo is not None:
            self.echo(row)


def write_rows(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Replace a JSON-lines file, or leave it as it was if anything goes wrong."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(dict(row), sort_keys=True) + "\n" for row in rows)
    draft = path.with_name(path.name + ".part")
    draft.write_text(lines, encoding="utf-8")
    draft.replace(path)
