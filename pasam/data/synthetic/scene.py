"""Draw one generated picture with exact masks from its seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pasam.data.synthetic.composition import Canvas, compose, usual_targets
from pasam.data.synthetic.photometry import expose
from pasam.data.synthetic.randomness import Draws
from pasam.errors import DataError

FAMILIES = ("dis", "coift", "hrsod", "thin")
"""Kinds of objects: stand-ins of DIS5K, COIFT, HRSOD and ThinObject5K."""
MIXED = "mixed"
"""Family under which every target is of a family of its own."""
MOST_OBJECTS = 3
_ATTEMPTS = 60


@dataclass(frozen=True)
class Scene:
    """A picture and what is to be segmented in it.

    Attributes:
        image: RGB picture, (H, W, 3) uint8.
        masks: Visible part of each target, (H, W) uint8 each, 0..255 with soft edges; the target
            is where the value exceeds 128.
    """

    image: NDArray[np.uint8]
    masks: tuple[NDArray[np.uint8], ...]


def draw_scene(*, family: str, seed: int, side: int, held_out: bool, objects: int = 1) -> Scene:
    """Draw a scene; the same arguments give the same bytes on every machine.

    Args:
        family: One of `FAMILIES`, or "mixed" for targets of any family.
        seed: Number >= 0 that names the scene.
        side: Nominal side in pixels. Training scenes are square; held-out ones vary by a quarter
            in height and width.
        held_out: Whether shapes and colours come from the values reserved for benchmarks.
        objects: Number of targets, 1 to 3.

    Returns:
        The scene with `objects` masks.

    Raises:
        DataError: An argument is out of its range.
    """
    _check(family, side, objects)
    code = (*FAMILIES, MIXED).index(family)
    for attempt in range(_ATTEMPTS):
        entropy = (seed, code, side, int(held_out), objects, attempt)
        draws = Draws(*entropy, held_out=held_out)
        canvas = draw_canvas(draws, side=side)
        chosen = tuple(draws.pick(FAMILIES) if family == MIXED else family for _ in range(objects))
        composed = compose(canvas, draws, targets=usual_targets(chosen))
        if composed is not None:
            picture, masks = composed
            return Scene(image=expose(picture, draws), masks=masks)
    raise DataError(
        f"No fit scene of family {family!r} came out of seed {seed} in {_ATTEMPTS} attempts at "
        f"side {side} with {objects} objects. Choose another seed."
    )


def draw_canvas(draws: Draws, *, side: int) -> Canvas:
    """Return a square canvas, or one of varied size if the scene is held out."""
    if not draws.held_out:
        return Canvas(side=side, height=side, width=side)
    height, width = (round(side * draws.free(0.75, 1.25)) for _ in range(2))
    return Canvas(side=side, height=height, width=width)


def _check(family: str, side: int, objects: int) -> None:
    """Refuse arguments out of range."""
    if family not in (*FAMILIES, MIXED):
        raise DataError(f"Unknown family {family!r}. Choose one of {(*FAMILIES, MIXED)}.")
    if not 64 <= side <= 4096:
        raise DataError(f"The side of a scene is {side} pixels; it must lie in 64..4096.")
    if not 1 <= objects <= MOST_OBJECTS:
        raise DataError(f"A scene has {objects} objects; it must have 1 to {MOST_OBJECTS}.")
