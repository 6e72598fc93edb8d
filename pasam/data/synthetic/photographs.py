"""Crops of the photographs that lie inside the scikit-image package, never downloaded."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

from pasam.data.synthetic.randomness import Draws
from pasam.errors import DataError

# All are lossless PNG files, which every decoder reads alike.
TRAINING_PHOTOGRAPHS = ("astronaut.png", "motorcycle_left.png", "ihc.png")
HELD_OUT_PHOTOGRAPHS = ("coffee.png", "chelsea.png")
TRAINING_GREYS = ("brick.png", "grass.png", "camera.png")
HELD_OUT_GREYS = ("gravel.png", "coins.png")


@lru_cache(maxsize=16)
def photograph(name: str, *, grey: bool) -> NDArray[np.uint8]:
    """Read a packaged photograph, (H, W, 3) RGB or (H, W) if grey.

    Raises:
        DataError: The file is not in the installed scikit-image package.
    """
    path = Path(skimage.data.__file__).parent / name
    flag = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR
    picture = cv2.imread(str(path), flag) if path.is_file() else None
    if picture is None:
        raise DataError(f"No readable photograph at {path}. Reinstall scikit-image.")
    picture = picture if grey else picture[:, :, ::-1]
    return np.ascontiguousarray(picture, dtype=np.uint8)


def crop(
    picture: NDArray[np.uint8], draws: Draws, *, height: int, width: int, zoom: tuple[float, float]
) -> NDArray[np.uint8]:
    """Cut a random window, flip it at random, and bring it to (height, width).

    Args:
        picture: Source, (H, W) or (H, W, 3).
        draws: Where to cut.
        height: Height of the result in pixels.
        width: Width of the result in pixels.
        zoom: Range of the window's longer side as a share of the source's shorter side.

    Returns:
        The window, resampled without floating point.
    """
    share = draws.free(*zoom) * min(picture.shape[:2]) / max(height, width)
    rows, columns = max(2, int(height * share)), max(2, int(width * share))
    top = draws.index(picture.shape[0] - rows + 1)
    left = draws.index(picture.shape[1] - columns + 1)
    window = picture[top : top + rows, left : left + columns]
    if draws.chance(0.5):
        window = window[:, ::-1]
    window = np.ascontiguousarray(window)
    return cv2.resize(window, (width, height), interpolation=cv2.INTER_LINEAR_EXACT).astype(
        np.uint8
    )


def photograph_crop(draws: Draws, *, height: int, width: int) -> NDArray[np.uint8]:
    """Return a recoloured crop of a photograph, (height, width, 3)."""
    names = HELD_OUT_PHOTOGRAPHS if draws.held_out else TRAINING_PHOTOGRAPHS
    source = photograph(draws.pick(names), grey=False)
    window = crop(source, draws, height=height, width=width, zoom=(0.5, 0.98))
    order = draws.pick(((0, 1, 2), (0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)))
    tables = []
    for _ in range(3):
        gain, lift = draws.free(0.6, 1.05), draws.free(0.0, 45.0)
        tables.append(np.clip(np.rint(np.arange(256) * gain + lift), 0, 255).astype(np.uint8))
    channels = cv2.split(window)
    recoloured = [cv2.LUT(channels[order[i]], tables[i]) for i in range(3)]
    return cv2.merge(recoloured).astype(np.uint8, copy=False)
