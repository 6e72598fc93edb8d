"""Arrange targets, distractors and occluders in one picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pasam.data.synthetic import dichotomous, outlines, rims, thin
from pasam.data.synthetic.painting import paint
from pasam.data.synthetic.randomness import Draws
from pasam.data.synthetic.raster import Layer, rasterise
from pasam.data.synthetic.strokes import NOMINAL_SIDE, Drawing
from pasam.data.synthetic.surfaces import Picture, ground

Shape = Callable[[Draws, float], Drawing]

SHAPES: dict[str, tuple[Shape, ...]] = {
    "dis": dichotomous.SHAPES,
    "coift": outlines.SHAPES,
    "hrsod": rims.SHAPES,
    "thin": thin.SHAPES,
}
# Longer extent of a target as a share of the picture's shorter side, by the number of targets.
_VARIED = {1: (0.5, 0.95), 2: (0.4, 0.72), 3: (0.34, 0.58)}
_LARGE = {1: (0.72, 1.0), 2: (0.5, 0.8), 3: (0.4, 0.62)}
_EXTENTS = {"dis": _VARIED, "coift": _LARGE, "hrsod": _LARGE, "thin": _VARIED}
_LEANING = {"dis": 0.3, "coift": 0.6, "hrsod": 0.25, "thin": 3.14}
LEAST_AREA, MOST_AREA = 0.01, 0.75
"""Share of the picture that a visible mask usually covers."""
LEAST_VISIBLE = 0.6
"""Share of a target that nothing may hide."""
_WHOLE = 0.9
"""Share of a target that its largest piece must make up."""
_LEAST_WINDOW = 8
"""Pixels below which a distractor that juts into the picture is left out."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """How much else there is in a picture.

    Attributes:
        fewest: Least number of distractors behind the targets; there are up to two more.
        occluded: Chance of a distractor in front.
    """

    fewest: int
    occluded: float


_CROWDED = Crowd(fewest=1, occluded=0.55)
_QUIET = Crowd(fewest=0, occluded=0.15)
"""COIFT's pictures show one animal or thing each, with little round it."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """A picture's size.

    Attributes:
        side: Nominal side in pixels, which sets the scale of all drawing.
        height: Height in pixels.
        width: Width in pixels.
    """

    side: int
    height: int
    width: int

    @property
    def unit(self) -> float:
        """Pixels per unit."""
        return self.side / NOMINAL_SIDE


@dataclass(frozen=True, slots=True)
class Target:
    """An object that is to be segmented.

    Attributes:
        family: Its family.
        extent: Range of its longer extent as a share of the picture's shorter side.
        shape: Which object of the family; None for any.
    """

    family: str
    extent: tuple[float, float]
    shape: Shape | None = None


def usual_targets(families: Sequence[str]) -> tuple[Target, ...]:
    """Make up to three targets as large as is usual for their families."""
    return tuple(Target(family, _EXTENTS[family][len(families)]) for family in families)


def compose(
    canvas: Canvas, draws: Draws, *, targets: tuple[Target, ...], least_area: float = LEAST_AREA
) -> tuple[Picture, tuple[NDArray[np.uint8], ...]] | None:
    """Paint a picture with the given targets.

    Args:
        canvas: Size of the picture.
        draws: All that is random.
        targets: What is to be segmented, back to front.
        least_area: Share of the picture that a visible mask must cover.

    Returns:
        The picture (H, W, 3) before exposure and the visible part (H, W) of each target, or None
        if a target came out too small, too large, in pieces or too much hidden.
    """
    families = tuple(target.family for target in targets)
    placed = []
    for target in targets:
        extent = draws.free(*target.extent)
        placed.append(
            _placed(canvas, draws, family=target.family, extent=extent, shape=target.shape)
        )
    layers = [(layer, True) for layer in placed]
    crowd = _QUIET if set(families) == {"coift"} else _CROWDED
    for _ in range(crowd.fewest + draws.index(3)):
        layers.insert(0, (_distractor(canvas, draws, families, placed), False))
    if draws.chance(crowd.occluded):
        layers.append((_distractor(canvas, draws, families, placed), False))
    layers = [pair for pair in layers if pair[1] or min(pair[0].coverage.shape) >= _LEAST_WINDOW]
    masks = _visible(canvas, layers, least_area=least_area)
    if masks is None:
        return None
    picture = ground(draws, height=canvas.height, width=canvas.width)
    for layer, _ in layers:
        paint(picture, layer, draws, unit=canvas.unit)
    return picture, masks


def _placed(
    canvas: Canvas,
    draws: Draws,
    *,
    family: str,
    extent: float,
    centre: tuple[float, float] | None = None,
    shape: Shape | None = None,
) -> Layer:
    """Draw an object somewhere; without a centre in pixels it stays inside the picture.

    Args:
        canvas: Size of the picture.
        draws: Which object, and where.
        family: Family of the object.
        extent: Longer extent as a share of the picture's shorter side.
        centre: x, y of the middle of its box in pixels.
        shape: Which object of the family; None draws one.
    """
    shorter = min(canvas.height, canvas.width) / canvas.unit
    chosen = draws.pick(SHAPES[family]) if shape is None else shape
    drawing = chosen(draws, extent * shorter)
    lean = _LEANING[family]
    drawing = drawing.turned(
        angle=draws.free(-lean, lean), mirrored=draws.chance(0.5), stretch=draws.free(0.85, 1.15)
    )
    left, top, right, bottom = drawing.bounds()
    wide, tall = canvas.width / canvas.unit, canvas.height / canvas.unit
    shrink = min(1.0, 0.98 * wide / (right - left), 0.98 * tall / (bottom - top))
    if centre is None:
        x = draws.free(0, 1) * (wide - (right - left) * shrink) - left * shrink
        y = draws.free(0, 1) * (tall - (bottom - top) * shrink) - top * shrink
    else:
        x = centre[0] / canvas.unit - (left + right) / 2 * shrink
        y = centre[1] / canvas.unit - (top + bottom) / 2 * shrink
    drawing = drawing.mapped(np.eye(2) * shrink, np.array([x, y]))
    return rasterise(drawing, side=canvas.side, height=canvas.height, width=canvas.width)


def _distractor(
    canvas: Canvas, draws: Draws, families: tuple[str, ...], targets: list[Layer]
) -> Layer:
    """Draw a smaller object of the same families in or at the box of a target."""
    family = draws.pick(families) if draws.chance(0.7) else draws.pick(tuple(SHAPES))
    target = draws.pick(targets)
    height, width = target.coverage.shape
    reach = 0.4 if draws.chance(0.3) else 0.75
    centre = (
        target.left + width * (0.5 + draws.free(-reach, reach)),
        target.top + height * (0.5 + draws.free(-reach, reach)),
    )
    return _placed(canvas, draws, family=family, extent=draws.free(0.2, 0.6), centre=centre)


def _visible(
    canvas: Canvas, layers: list[tuple[Layer, bool]], *, least_area: float
) -> tuple[NDArray[np.uint8], ...] | None:
    """Return what is seen of each target, (H, W) each, or None if one is unfit."""
    hidden = np.zeros((canvas.height, canvas.width), np.uint8)
    masks = []
    for layer, is_target in reversed(layers):
        if is_target:
            whole = np.zeros_like(hidden)
            whole[layer.window] = layer.coverage
            clear = 255 - hidden.astype(np.uint16)
            seen = ((whole * clear + 127) // 255).astype(np.uint8)
            if not _fit(whole, seen, least_area=least_area):
                return None
            masks.append(seen)
        covered = hidden[layer.window]
        np.maximum(covered, layer.coverage, out=covered)
    return tuple(reversed(masks))


def _fit(whole: NDArray[np.uint8], seen: NDArray[np.uint8], *, least_area: float) -> bool:
    """Say whether a target is of one piece, of a fair size, and hidden by little."""
    inside, area = int(np.count_nonzero(whole > 128)), int(np.count_nonzero(seen > 128))
    if not least_area <= area / whole.size <= MOST_AREA or area < LEAST_VISIBLE * inside:
        return False
    solid = (whole > 128).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    return bool(stats[1:, cv2.CC_STAT_AREA].max() >= _WHOLE * inside)
