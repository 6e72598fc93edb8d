"""Colour tables that turn grey textures into coloured surfaces."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from pasam.data.synthetic.randomness import Draws

Table = NDArray[np.uint8]
"""Colours (256, 3) of the grey levels."""


def colour_table(draws: Draws, *, contrast: tuple[float, float]) -> Table:
    """Blend from one colour to a related one.

    Args:
        draws: Which colours.
        contrast: Range of the difference in value between both ends, in [0, 1].

    Returns:
        The table, (256, 3).
    """
    # The split lies within each sixth of the colour circle, so both sides know every colour.
    hue = (draws.index(6) + draws.shape(0.0, 1.0)) / 6
    saturation = _saturation(draws)
    value, difference = draws.free(0.2, 0.95), draws.free(*contrast)
    other = value - difference if value > 0.5 else value + difference
    turn = draws.free(-0.12, 0.12) if draws.chance(0.75) else draws.free(-0.5, 0.5)
    ends = [
        colorsys.hsv_to_rgb(hue % 1.0, saturation, value),
        colorsys.hsv_to_rgb((hue + turn) % 1.0, _saturation(draws), min(max(other, 0.03), 1.0)),
    ]
    ramp = np.linspace(0.0, 1.0, 256)[:, None]
    colours = 255 * (np.array(ends[0]) * (1 - ramp) + np.array(ends[1]) * ramp)
    return np.rint(colours).astype(np.uint8)


def _saturation(draws: Draws) -> float:
    """Return a saturation in [0.04, 0.84), mostly a modest one."""
    return 0.04 + 0.8 * float(draws.free(0.0, 1.0) ** 1.7)
