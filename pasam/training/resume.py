"""The way back after an interruption, and the history that a training writes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pasam.errors import DataError

# --- resume: The way back after an interruption: a training state that is only ever whole.
#
# A state lives outside the stage's outputs (DVC removes those before it runs a stage) under a name
# made from everything the training depends on, so that a changed parameter starts anew.


def state_key(**inputs: object) -> str:
    """Digest whatever decides the training's result.

    Args:
        inputs: JSON values, and `Path`s whose files' bytes count.

    Returns:
        Sixteen hexadecimal digits.

    Raises:
        DataError: A file is missing.
    """
    plain: dict[str, object] = {}
    for name, value in inputs.items():
        if isinstance(value, Path):
            if not value.is_file():
                raise DataError(f"{value} does not exist; make it with `dvc repro` first.")
            with value.open("rb") as file:
                plain[name] = hashlib.file_digest(file, "sha256").hexdigest()
        else:
            plain[name] = value
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


class Checkpointer:
    """Save, find and discard the state of one training.

    Args:
        folder: Where states are kept; it is made at the first save.
        key: What the training depends on, from `state_key`.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder / key
        self.path = self.folder / "state.pt"

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the saved state; a crash leaves the old one or the new one, never half of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".part")
        with draft.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)

    def load(self) -> dict[str, Any] | None:
        """Return the saved state on the CPU, or None where there is none."""
        if not self.path.is_file():
            return None
        state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        return state

    def clear(self) -> None:
        """Forget the state: the training is done."""
        shutil.rmtree(self.folder, ignore_errors=True)


# --- sink: Where training says how it goes: one JSON line per epoch, written whole and atomically.

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
