"""The state that a training goes on from after an interruption, and the history that it writes.

A state lives outside the stage's outputs (DVC removes those before it runs a stage) under a name
made from everything the training depends on, so that a changed parameter, or changed code, starts
anew: weights that two versions of the code have made a part of each could never be made again.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch

from pasam.errors import DataError
from pasam.files import file_sha256, sha256_of, write_bytes, write_json_lines

Echo = Callable[[Mapping[str, float]], None]
"""Somebody who wants to hear every row too, and returns at once."""


PACKAGE = Path(__file__).resolve().parents[1]
CODE = ("data", "masks", "models", "synthetic", "training")
"""Rooms whose code decides what is trained."""


def state_key(**inputs: object) -> str:
    """Digest whatever decides the training's result, this package's code included.

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
            plain[name] = file_sha256(value)
        else:
            plain[name] = value
    code = [path for room in CODE for path in sorted((PACKAGE / room).rglob("*.py"))]
    plain["code"] = [[path.relative_to(PACKAGE).as_posix(), file_sha256(path)] for path in code]
    return sha256_of(json.dumps(plain, sort_keys=True))[:16]


DIGITS = 64
"""Characters of the sha256 that a state ends with."""
_DONE = "done"


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
        file = io.BytesIO()
        torch.save(dict(state), file)
        content = file.getvalue()
        # torch checks no sum when it reads: a flipped bit would be trained on in silence.
        write_bytes(self.path, content + sha256_of(content).encode(), durable=True)

    def load(self) -> dict[str, Any] | None:
        """Return the saved state on the CPU, or None where there is none.

        Raises:
            DataError: Its bytes are not those that were saved.
        """
        if not self.path.is_file():
            return None
        whole = self.path.read_bytes()
        content, digest = whole[:-DIGITS], whole[-DIGITS:]
        if sha256_of(content).encode() != digest:
            raise DataError(
                f"{self.path} is damaged: its bytes are not those that were saved. Remove it; the "
                "training then begins anew, and gives the same."
            )
        return cast(
            dict[str, Any],
            torch.load(io.BytesIO(content), map_location="cpu", weights_only=True),
        )

    def clear(self, *, note: bool = False) -> None:
        """Forget the state: the training is done.

        Args:
            note: Whether to leave a note of that, for models that would take this one along.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        if note:
            write_bytes(self.folder / _DONE, b"")

    @property
    def is_done(self) -> bool:
        """Whether a note says that the training is done."""
        return (self.folder / _DONE).is_file()


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
        if self.path is not None:
            write_json_lines(self.path, self.rows)

    def _tell(self, row: Mapping[str, float]) -> None:
        if self.echo is not None:
            self.echo(row)
