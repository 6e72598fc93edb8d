"""Synthetic images to try the page on, drawn when they are asked for and then kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from pasam.errors import RefusedError
from pasam.masks.images import encode_png, foreground
from pasam.masks.run_lengths import bounding_box, encode
from pasam.synthetic.scene import draw_scene

SIDE = 448


@dataclass(frozen=True, slots=True)
class _Recipe:
    title: str
    family: str
    seed: int


_RECIPES = (
    _Recipe("thin object", "thin", 3),
    _Recipe("intricate object", "dis", 11),
    _Recipe("large object with hair", "hrsod", 5),
    _Recipe("smooth object", "coift", 2),
)
COUNT = len(_RECIPES)


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """An image that nobody trained on, and the box of its object."""

    title: str
    png: bytes
    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 in pixels."""


@lru_cache(maxsize=COUNT)
def example(number: int) -> Example:
    """Draw an example; equal numbers give equal bytes.

    Args:
        number: 0 up to `COUNT`.

    Raises:
        RefusedError: There is no such example.
    """
    if not 0 <= number < COUNT:
        raise RefusedError(f"there is no example {number}; there are 0 to {COUNT - 1}.", status=404)
    recipe = _RECIPES[number]
    scene = draw_scene(family=recipe.family, seed=recipe.seed, side=SIDE, held_out=True)
    x, y, wide, tall = bounding_box(encode(foreground(scene.masks[0])))
    return Example(recipe.title, encode_png(scene.image), (x, y, x + wide, y + tall))
