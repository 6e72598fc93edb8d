"""An empty project folder, and what the doctor needs to know of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pasam.cli.resources import Places


@pytest.fixture
def places() -> Places:
    """Where things lie in the current folder."""
    return Places(
        catalogue=Path("data/catalogue"),
        archives=Path("data/archives"),
        lock=Path("catalogue.lock"),
    )


@pytest.fixture
def project(in_empty_folder: Path, root: Path) -> Path:
    """The sizes, the base and an empty folder of one's own data."""
    shutil.copytree(root / "params", "params")
    shutil.copy(root / "params" / "default.yaml", "params.yaml")
    Path("data/own").mkdir(parents=True)
    Path("pasam/packaged").mkdir(parents=True)
    shutil.copy(root / "pasam/packaged/tiny.safetensors", "pasam/packaged")
    return in_empty_folder
