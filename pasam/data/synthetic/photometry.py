"""What light and camera do to a finished picture: uneven light, slight blur, sensor noise."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pasam.data.synthetic.randomness import Draws
from pasam.data.synthetic.surfaces import Picture

_NOISE_SIDE = 701


@lru_cache(maxsize=1)
def _noise() -> NDArray[np.int16]:
    """Return bell-shaped noise with a deviation of about 64, (701, 701, 3)."""
    draws = Draws(0, held_out=False)
    rolls = draws.levels(0, 111, (4, _NOISE_SIDE, _NOISE_SIDE, 3)).astype(np.int16)
    return np.asarray(rolls.sum(axis=0, dtype=np.int16) - 222)


def expose(picture: Picture, draws: Draws) -> Picture:
    """Return the picture as a camera would have taken it, (H, W, 3).

    Args:
        picture: Scene as painted, (H, W, 3).
        draws: How much of each fault.
    """
    height, width = picture.shape[:2]
    gains = draws.levels(105, 150, (2, 2))
    light = cv2.resize(gains, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    lit = np.minimum(picture * light.astype(np.uint16)[:, :, None] // 128, 255)
    exposed = np.asarray(lit, dtype=np.uint8)
    if draws.chance(0.5):
        exposed = cv2.GaussianBlur(exposed, (3, 3), draws.pick((0.4, 0.55, 0.7))).astype(np.uint8)
    rows = (np.arange(height) + draws.index(_NOISE_SIDE)) % _NOISE_SIDE
    columns = (np.arange(width) + draws.index(_NOISE_SIDE)) % _NOISE_SIDE
    grain = _noise()[rows][:, columns] * round(draws.free(1, 6)) // 64
    return np.asarray(np.clip(exposed + grain, 0, 255), dtype=np.uint8)
