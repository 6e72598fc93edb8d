"""Runs every parity test on every recorded file of a folder: ours, or that of `--fixtures`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PATTERNS = {
    "pa_file": "pa_*.safetensors",
    "hq_file": "hq_*.safetensors",
    "encoder_file": "vit_t_*.safetensors",
    "metrics_file": "metrics*.npz",
}

if str(HERE) not in sys.path:  # so that the tests find the modules beside them
    sys.path.insert(0, str(HERE))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test every file of its kind."""
    folder = metafunc.config.getoption("fixtures") or HERE / "fixtures"
    if not any(file for pattern in PATTERNS.values() for file in folder.glob(pattern)):
        wanted = ", ".join(PATTERNS.values())
        raise pytest.UsageError(f"--fixtures: {folder} holds none of {wanted}")
    for name, pattern in PATTERNS.items():
        if name in metafunc.fixturenames:
            files = sorted(folder.glob(pattern))
            metafunc.parametrize(name, files, ids=[f.stem for f in files], scope="session")
