"""Coloured surfaces: the ground of a picture and the material of an object."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pasam.data.synthetic.palettes import colour_table
from pasam.data.synthetic.photographs import crop, photograph_crop
from pasam.data.synthetic.randomness import Draws
from pasam.data.synthetic.textures import KINDS, VARIANTS, tile

Picture = NDArray[np.uint8]


def texture(
    draws: Draws,
    *,
    height: int,
    width: int,
    zoom: tuple[float, float],
    contrast: tuple[float, float],
) -> Picture:
    """Return a coloured window of a random texture, (height, width, 3)."""
    grey = tile(draws.pick(KINDS), draws.index(VARIANTS), held_out=draws.held_out)
    if draws.chance(0.5):
        grey = grey.T
    window = crop(grey, draws, height=height, width=width, zoom=zoom)
    table = colour_table(draws, contrast=contrast)
    return cv2.applyColorMap(window, table[:, None, :]).astype(np.uint8, copy=False)


def material(draws: Draws, *, height: int, width: int) -> Picture:
    """Return an object's surface, (height, width, 3): mostly calm, at times patterned."""
    if draws.chance(0.03):
        return photograph_crop(draws, height=height, width=width)
    contrast = (0.05, 0.2) if draws.chance(0.6) else (0.2, 0.55)
    return texture(draws, height=height, width=width, zoom=(0.15, 0.7), contrast=contrast)


def ground(draws: Draws, *, height: int, width: int) -> Picture:
    """Return what a picture's objects stand in front of, (height, width, 3).

    A wall, often a floor before it, and patches of other surfaces as clutter.
    """
    picture = _surface(draws, height=height, width=width)
    if draws.chance(0.45):
        horizon = draws.free(0.4, 0.85) * height
        tilt = draws.free(-0.12, 0.12) * height
        corners = [(0, horizon - tilt), (width, horizon + tilt), (width, height), (0, height)]
        _lay(picture, np.array(corners), _surface(draws, height=height, width=width))
    for _ in range(draws.index(5)):
        _lay(
            picture,
            _patch(draws, height=height, width=width),
            _surface(draws, height=height, width=width),
        )
    return picture


def _surface(draws: Draws, *, height: int, width: int) -> Picture:
    """Return a photograph's crop or a texture, (height, width, 3)."""
    if draws.chance(0.3):
        return photograph_crop(draws, height=height, width=width)
    contrast = (0.08, 0.5)
    return texture(draws, height=height, width=width, zoom=(0.3, 0.95), contrast=contrast)


def _patch(draws: Draws, *, height: int, width: int) -> NDArray[np.float64]:
    """Return the corners of a random band or irregular polygon, (n, 2) in pixels."""
    centre = np.array([draws.free(0, width), draws.free(0, height)])
    count = 4 + draws.index(5)
    angles = (np.arange(count) + draws.many(-0.3, 0.3, count)) * 2 * np.pi / count
    radii = draws.free(0.08, 0.3) * min(height, width) * draws.many(0.7, 1.2, count)
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]
    corners *= np.array([1.0, draws.free(0.2, 1.0)])
    turn = draws.free(0, np.pi)
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.asarray(corners @ linear.T + centre)


def _lay(picture: Picture, corners: NDArray[np.float64], surface: Picture) -> None:
    """Lay a surface into a polygon of the picture, in place, with a soft edge."""
    cover = np.zeros(picture.shape[:2], np.uint8)
    fixed = np.rint(corners * 16).astype(np.int32)
    cv2.fillPoly(cover, [fixed], 255, lineType=cv2.LINE_AA, shift=4)
    rows, columns = np.nonzero(cover.any(axis=1))[0], np.nonzero(cover.any(axis=0))[0]
    if not len(rows):
        return
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    blend(picture[window], surface[window], cover[window])


def blend(picture: Picture, surface: Picture, coverage: NDArray[np.uint8]) -> None:
    """Lay a surface over a picture in place; coverage (h, w) says how much of it shows."""
    weight = coverage.astype(np.uint16)[:, :, None]
    mixed = picture * (255 - weight) + surface * weight + 127
    picture[:] = (mixed // 255).astype(np.uint8)
