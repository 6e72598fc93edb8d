"""The way back after an interruption: a training state that is only ever whole.

A state lives outside the stage's outputs (DVC removes those before it runs a stage) under a name
made from everything the training depends on, so that a changed parameter starts anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pasam.errors import DataError


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
