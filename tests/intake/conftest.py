"""A folder of photographs and a folder of masks, small and all different."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pasam.masks.images import write_png

SIDE = 12


def draw_set(folder: Path, count: int = 10) -> tuple[Path, Path]:
    """Write `count` images and one mask each; return the two folders."""
    rng = np.random.default_rng(0)
    for number in range(count):
        write_png(
            folder / "photos" / f"{number:02d}.png", rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        )
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[2 : 4 + number % 8, 2:9] = 255
        write_png(folder / "masks" / f"{number:02d}.png", mask)
    return folder / "photos", folder / "masks"


@pytest.fixture
def two_folders(tmp_path: Path) -> tuple[Path, Path]:
    """Ten photographs and their masks."""
    return draw_set(tmp_path / "source")


@pytest.fixture
def draw() -> Callable[..., tuple[Path, Path]]:
    """Write photographs and masks to a folder."""
    return draw_set
