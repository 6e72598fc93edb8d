"""Looks of whole picture sets: what another camera, light or film makes of the same things."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pasam.errors import DataError

LOOKS = ("plain", "grey", "night", "faded", "negative", "warm")
_LUMINANCE = (77, 150, 29)  # of 256


def with_look(image: NDArray[np.uint8], look: str) -> NDArray[np.uint8]:
    """Give an RGB image (H, W, 3) a look, in whole numbers, so that every machine agrees.

    Args:
        image: The picture.
        look: One of `LOOKS`: as it is, without colours, dark and bluish, of low contrast,
            inverted, or reddish.

    Raises:
        DataError: There is no such look.
    """
    wide = image.astype(np.uint16)
    if look == "plain":
        return image
    if look == "grey":
        grey = (wide @ np.array(_LUMINANCE, np.uint16)) >> 8
        return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)
    if look == "night":
        return (wide * np.array([70, 80, 110], np.uint16) // 255).astype(np.uint8)
    if look == "faded":
        return (wide // 2 + 100).astype(np.uint8)
    if look == "negative":
        return 255 - image
    if look == "warm":
        return (wide * np.array([255, 215, 150], np.uint16) // 255).astype(np.uint8)
    raise DataError(f"Unknown look {look!r}. Choose one of {list(LOOKS)}.")
