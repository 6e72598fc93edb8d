"""Small pictures for the page, inside its text: an image with its mask outlined, or a bare file."""

# Shapes: H, W of an image.

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pasam.data.images import FOREGROUND, read_image, read_mask
from pasam.errors import DataError

SIDE = 168
"""Longest side of a thumbnail in pixels."""

_OUTLINE = (213, 94, 0)  # vermilion of Okabe and Ito's palette, RGB
_SMALL = 0.01  # share of the image below which a mask gets a box round it
_QUALITY = 82


def picture(path: str | None) -> str | None:
    """Show an image file as it is.

    Returns:
        A data URI of a JPEG; None when there is no file, or none that can be decoded.
    """
    image = _read(path)
    return None if image is None else _encoded(_shrunk(image))


def mask_picture(path: str | None) -> str | None:
    """Show a mask file's own values, stretched so that 0/1 masks and label maps can be seen."""
    image = _read(path)
    if image is None:
        return None
    top = max(1, int(image.max()))
    return _encoded(_shrunk((image.astype(np.float32) * 255 / top).astype(np.uint8)))


def outlined(image_path: str, mask_path: str) -> str | None:
    """Show an image with the outline of a fit mask; a small mask gets a box round it."""
    image = _read(image_path)
    if image is None:
        return None
    try:
        label = read_mask(Path(mask_path))
    except DataError:
        return _encoded(_shrunk(image))
    small = _shrunk(image)
    size = (small.shape[1], small.shape[0])
    inside = (label > FOREGROUND).astype(np.uint8)
    share = cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    edges, _ = cv2.findContours((share > 0).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(small, edges, -1, _OUTLINE, 1)
    if inside.mean() < _SMALL:
        x, y, w, h = cv2.boundingRect((share > 0).astype(np.uint8))
        cv2.rectangle(small, (x - 6, y - 6), (x + w + 5, y + h + 5), _OUTLINE, 1)
    return _encoded(small)


def _read(path: str | None) -> NDArray[np.uint8] | None:
    if path is None:
        return None
    try:
        return read_image(Path(path))
    except DataError:
        return None


def _shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fit an image (H, W, 3) into the side of a thumbnail; a small one is enlarged by pixels."""
    scale = SIDE / max(image.shape[:2])
    size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(image, size, interpolation=how), dtype=np.uint8)


def _encoded(image: NDArray[np.uint8]) -> str:
    _, jpeg = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")
