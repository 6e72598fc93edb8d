"""Put objects into a picture: material, relief, outline, shadow."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pasam.data.synthetic.randomness import Draws
from pasam.data.synthetic.raster import Layer
from pasam.data.synthetic.surfaces import Picture, blend, material

_STEP = 36
"""Difference in grey levels, in any channel, at which two colours are told apart."""
_DISTINCT = 0.85
"""Share of an object that must differ so from what it covers and borders on."""
_ATTEMPTS = 4


def paint(picture: Picture, layer: Layer, draws: Draws, *, unit: float) -> None:
    """Paint an object over a picture in place, in colours that stand out from what it covers.

    Args:
        picture: Picture so far, (H, W, 3).
        layer: The object's coverage.
        draws: Which material, light and shadow.
        unit: Pixels per unit.
    """
    # Compared with the ground as it is beside the object, where no shadow falls.
    ground = picture[layer.window].copy()
    if draws.chance(0.4):
        _shade(picture, layer, draws, unit=unit)
    near = cv2.dilate(layer.coverage, np.ones((7, 7), np.uint8)) > 128
    best, most = ground, -1.0
    for _ in range(_ATTEMPTS):
        surface = _surface(layer, draws)
        share = _distinct_share(surface, ground, near)
        if share > most:
            best, most = surface, share
        if share >= _DISTINCT:
            break
    if most < _DISTINCT:
        best = _pushed(best, ground)
    lit = _relief(best, layer.coverage, draws, unit=unit)
    if most < _DISTINCT or draws.chance(0.3):
        lit = _outlined(lit, layer.coverage, draws)
    blend(picture[layer.window], lit, layer.coverage)


def _distinct_share(surface: Picture, ground: Picture, near: NDArray[np.bool_]) -> float:
    """Return the share of the pixels near an object where its surface differs from the ground."""
    red, green, blue = cv2.split(cv2.absdiff(surface, ground))
    told = cv2.max(cv2.max(red, green), blue) > _STEP
    return int(np.count_nonzero(told & near)) / max(int(np.count_nonzero(near)), 1)


def _pushed(surface: Picture, ground: Picture) -> Picture:
    """Darken a surface on light ground, lighten it on dark ground."""
    if sum(cv2.mean(ground)[:3]) / 3 > 124:
        return (surface // 3).astype(np.uint8)
    return (surface // 3 + 170).astype(np.uint8)


def _surface(layer: Layer, draws: Draws) -> Picture:
    """Return the materials of all parts on the layer's window, (h, w, 3)."""
    height, width = layer.coverage.shape
    surface = material(draws, height=height, width=width).copy()
    for part in layer.parts[1:]:
        if draws.chance(0.65):
            blend(surface, material(draws, height=height, width=width), part)
    return surface


def _relief(surface: Picture, coverage: NDArray[np.uint8], draws: Draws, *, unit: float) -> Picture:
    """Light the object from one side as if its edges were rounded."""
    reach = max(1, round(draws.free(1.0, 4.0) * unit))
    soft = cv2.blur(coverage, (2 * reach + 1, 2 * reach + 1)).astype(np.int16)
    dx, dy = draws.pick(((1, 1), (-1, 1), (0, 1), (1, 0)))
    slope = np.roll(soft, (reach * dy, reach * dx), (0, 1)) - soft
    light = slope * round(draws.free(6, 34)) // 64
    return np.clip(surface + light[:, :, None], 0, 255).astype(np.uint8)


def _outlined(surface: Picture, coverage: NDArray[np.uint8], draws: Draws) -> Picture:
    """Darken or brighten the rim of the object."""
    inner = cv2.blur(coverage, (3, 3))
    rim = cv2.bitwise_and(cv2.subtract(np.full_like(inner, 255), inner), coverage)
    level = draws.pick((15, 25, 235))
    outlined = surface.copy()
    strength = np.minimum(rim.astype(np.uint16) * 2, 215).astype(np.uint8)
    blend(outlined, np.full_like(surface, level), strength)
    return outlined


def _shade(picture: Picture, layer: Layer, draws: Draws, *, unit: float) -> None:
    """Darken the ground where the object's shadow falls."""
    reach = 2 * max(1, round(draws.free(2, 7) * unit)) + 1
    down, aside = round(draws.free(1, 10) * unit), round(draws.free(-9, 9) * unit)
    height, width = picture.shape[:2]
    margin = round(10 * unit) + 1
    shadow = np.zeros((height + 2 * margin, width + 2 * margin), np.uint8)
    top, left = layer.top + margin + down, layer.left + margin + aside
    shadow[top : top + layer.coverage.shape[0], left : left + layer.coverage.shape[1]] = (
        layer.coverage
    )
    shadow = shadow[margin : margin + height, margin : margin + width]
    rows = slice(layer.top, None)
    soft = cv2.blur(shadow[rows], (reach, reach)).astype(np.uint16) * round(draws.free(60, 150))
    weight = (255 - soft // 255)[:, :, None]
    picture[rows] = (picture[rows] * weight // 255).astype(np.uint8)
