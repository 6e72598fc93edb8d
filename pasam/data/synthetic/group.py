"""Draw one generated picture with several objects of named kinds, small ones among them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pasam.data.synthetic.composition import SHAPES, Target, compose
from pasam.data.synthetic.photometry import expose
from pasam.data.synthetic.randomness import Draws
from pasam.data.synthetic.scene import draw_canvas
from pasam.errors import DataError

KINDS = {shape.__name__: family for family, shapes in SHAPES.items() for shape in shapes}
"""Kind of object ("wheel", "bird", ...) -> its family."""
_SHAPES = {shape.__name__: shape for shapes in SHAPES.values() for shape in shapes}
_EXTENT = (0.4, 0.95)  # of a single object; of n, each is smaller by the root of n
_LEAST_AREA = 0.002
_ATTEMPTS = 200


@dataclass(frozen=True)
class Group:
    """A picture and the objects in it.

    Attributes:
        image: RGB picture, (H, W, 3) uint8.
        masks: Visible part of each object, (H, W) uint8 each, 0..255 with soft edges.
        kinds: Kind of each object.
    """

    image: NDArray[np.uint8]
    masks: tuple[NDArray[np.uint8], ...]
    kinds: tuple[str, ...]


def draw_group(
    *, entropy: tuple[int, ...], side: int, kinds: Sequence[str], objects: tuple[int, int]
) -> Group:
    """Draw several held-out objects; the same arguments give the same bytes everywhere.

    Args:
        entropy: Numbers >= 0 that name the picture.
        side: Nominal side in pixels; height and width vary round it by a quarter.
        kinds: Kinds (of `KINDS`) that may appear, each object's drawn from them.
        objects: Fewest and most objects.

    Raises:
        DataError: A kind is unknown, or nothing fit came out.
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown or not kinds:
        raise DataError(f"Unknown kinds of objects {unknown}. Choose among {sorted(KINDS)}.")
    for attempt in range(_ATTEMPTS):
        draws = Draws(*entropy, side, attempt, held_out=True)
        canvas = draw_canvas(draws, side=side)
        count = objects[0] + draws.index(objects[1] - objects[0] + 1)
        low, high = (share / math.sqrt(count) for share in _EXTENT)
        chosen = tuple(draws.pick(kinds) for _ in range(count))
        targets = tuple(Target(KINDS[kind], (low, high), _SHAPES[kind]) for kind in chosen)
        composed = compose(canvas, draws, targets=targets, least_area=_LEAST_AREA)
        if composed is not None:
            picture, masks = composed
            return Group(image=expose(picture, draws), masks=masks, kinds=chosen)
    raise DataError(
        f"No fit picture of {list(kinds)} came out of {entropy} in {_ATTEMPTS} attempts at side "
        f"{side}. Choose another seed."
    )
