"""What all tests share: options, the project's root, and an empty current folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Two test processes on two cores must not fight for them; read when torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `--fixtures` name the recordings; pytest's own option keeps its name `--funcargs`."""
    group = parser.getgroup("parity", "agreement with the reference implementations")
    group._arggroup.conflict_handler = "resolve"
    group.addoption(
        "--fixtures",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="Recordings of the reference implementations, for tests/parity.",
    )


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root."""
    return ROOT


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, so that relative paths touch nothing real."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
