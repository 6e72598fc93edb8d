"""Draw one synthetic image with exact masks from its seed: one family, or a group of objects.

Targets, distractors and occluders are arranged in it; a whole set can have a look (another camera,
light or film), and a simulated detector gives it boxes: loose ones, misses, duplicates, mistaken
classes, false alarms, each with a score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pasam.errors import DataError
from pasam.synthetic import dichotomous, rims, thin
from pasam.synthetic.randomness import Draws
from pasam.synthetic.strokes import NOMINAL_SIDE, Drawing, Layer, rasterise
from pasam.synthetic.surfaces import Picture, expose, ground, paint

Shape = Callable[[Draws, float], Drawing]

SHAPES: dict[str, tuple[Shape, ...]] = {
    "dis": dichotomous.SHAPES,
    "coift": rims.SMOOTH,
    "hrsod": rims.FRAYED,
    "thin": thin.SHAPES,
}
FAMILIES = tuple(SHAPES)
"""Kinds of objects: stand-ins of DIS5K, COIFT, HRSOD and ThinObject5K."""
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


_CROWDED = (1, 0.55)
"""Least number of distractors behind the targets (there are up to two more), and the chance of one
in front."""
_QUIET = (0, 0.15)
"""The same of COIFT's pictures, which show one animal or thing each, with little round it."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """A picture's size in pixels."""

    side: int
    """Nominal side, which sets the scale of all drawing."""
    height: int
    width: int

    @property
    def unit(self) -> float:
        """Pixels per unit."""
        return self.side / NOMINAL_SIDE


@dataclass(frozen=True, slots=True)
class Target:
    """An object that is to be segmented."""

    family: str
    extent: tuple[float, float]
    """Range of its longer extent as a share of the picture's shorter side."""
    shape: Shape | None = None
    """Which object of the family; None for any."""


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
    placed = [
        _placed(
            canvas, draws, family=target.family, extent=draws.free(*target.extent),
            shape=target.shape,
        )
        for target in targets
    ]  # fmt: skip
    layers = [(layer, True) for layer in placed]
    fewest, occluded = _QUIET if set(families) == {"coift"} else _CROWDED
    for _ in range(fewest + draws.index(3)):
        layers.insert(0, (_distractor(canvas, draws, families, placed), False))
    if draws.chance(occluded):
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
    family = draws.pick(families) if draws.chance(0.7) else draws.pick(FAMILIES)
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


MIXED = "mixed"
"""Family under which every target is of a family of its own."""
MOST_OBJECTS = 3
_SCENE_ATTEMPTS = 60


@dataclass(frozen=True)
class Scene:
    """A picture and what is to be segmented in it."""

    image: NDArray[np.uint8]
    """RGB picture, (H, W, 3)."""
    masks: tuple[NDArray[np.uint8], ...]
    """Visible part of each target, (H, W) each, 0..255 with soft edges; the target is where the
    value exceeds 128."""
    kinds: tuple[str, ...] = ()
    """Kind of each target, where kinds were asked for."""


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

    def targets(draws: Draws) -> tuple[tuple[Target, ...], tuple[str, ...]]:
        chosen = [draws.pick(FAMILIES) if family == MIXED else family for _ in range(objects)]
        return usual_targets(chosen), ()

    entropy = (seed, code, side, int(held_out), objects)
    scene = _first_fit(entropy, targets, side=side, held_out=held_out, attempts=_SCENE_ATTEMPTS)
    if scene is not None:
        return scene
    raise DataError(
        f"No fit scene of family {family!r} came out of seed {seed} in {_SCENE_ATTEMPTS} attempts "
        f"at side {side} with {objects} objects. Choose another seed."
    )


def _first_fit(
    entropy: tuple[int, ...],
    targets: Callable[[Draws], tuple[tuple[Target, ...], tuple[str, ...]]],
    *,
    side: int,
    held_out: bool,
    attempts: int,
    least_area: float = LEAST_AREA,
) -> Scene | None:
    """Draw targets and their kinds, attempt after attempt, until a picture of them is fit."""
    for attempt in range(attempts):
        draws = Draws(*entropy, attempt, held_out=held_out)
        canvas = draw_canvas(draws, side=side)
        chosen, kinds = targets(draws)
        composed = compose(canvas, draws, targets=chosen, least_area=least_area)
        if composed is not None:
            picture, masks = composed
            return Scene(image=expose(picture, draws), masks=masks, kinds=kinds)
    return None


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


KINDS = {shape.__name__: family for family, shapes in SHAPES.items() for shape in shapes}
"""Kind of object ("wheel", "bird", ...) -> its family."""
_SHAPES = {shape.__name__: shape for shapes in SHAPES.values() for shape in shapes}
_EXTENT = (0.4, 0.95)  # of a single object; of n, each is smaller by the root of n
_LEAST_AREA = 0.002
_GROUP_ATTEMPTS = 200


def draw_group(
    *, entropy: tuple[int, ...], side: int, kinds: Sequence[str], objects: tuple[int, int]
) -> Scene:
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

    def targets(draws: Draws) -> tuple[tuple[Target, ...], tuple[str, ...]]:
        count = objects[0] + draws.index(objects[1] - objects[0] + 1)
        low, high = (share / math.sqrt(count) for share in _EXTENT)
        chosen = tuple(draws.pick(kinds) for _ in range(count))
        return tuple(Target(KINDS[kind], (low, high), _SHAPES[kind]) for kind in chosen), chosen

    scene = _first_fit(
        (*entropy, side), targets, side=side, held_out=True, attempts=_GROUP_ATTEMPTS,
        least_area=_LEAST_AREA,
    )  # fmt: skip
    if scene is not None:
        return scene
    raise DataError(
        f"No fit picture of {list(kinds)} came out of {entropy} in {_GROUP_ATTEMPTS} attempts at "
        f"side {side}. Choose another seed."
    )


LOOKS = ("plain", "grey", "night", "faded", "negative", "warm")
_LUMINANCE = (77, 150, 29)  # of 256
_TINTS = {"night": (70, 80, 110), "warm": (255, 215, 150)}  # of 255


def with_look(image: NDArray[np.uint8], look: str) -> NDArray[np.uint8]:
    """Give an RGB image (H, W, 3) a look, in whole numbers, so that every machine agrees.

    Args:
        image: The picture.
        look: One of `LOOKS`: as it is, without colours, dark and bluish, of low contrast,
            inverted, or reddish.

    Raises:
        DataError: There is no such look.
    """
    if look == "plain":
        return image
    if look == "negative":
        return 255 - image
    wide = image.astype(np.uint16)
    if look == "faded":
        return (wide // 2 + 100).astype(np.uint8)
    if look == "grey":
        grey = (wide @ np.array(_LUMINANCE, np.uint16)) >> 8
        return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)
    if look in _TINTS:
        return (wide * np.array(_TINTS[look], np.uint16) // 255).astype(np.uint8)
    raise DataError(f"Unknown look {look!r}. Choose one of {list(LOOKS)}.")


Box = tuple[float, float, float, float]
"""x, y, width, height in pixels, as COCO writes it."""

_MISSES = 0.1
_DOUBLES = 0.15
_MISTAKES = 0.06
_LOOSENESS = (0.01, 0.13)  # shares of the box's extent by which each of its sides may be off
_MOST_ALARMS = 2
_LEAST_SIDE = 4.0


@dataclass(frozen=True, slots=True)
class SimulatedDetection:
    """A box, the number of its category among the known ones, and a score in [0, 1]."""

    box: Box
    category: int
    score: float


def simulate_detections(
    draws: Draws,
    boxes: Sequence[Box],
    categories: Sequence[int],
    *,
    size: tuple[int, int],
    known: int,
) -> list[SimulatedDetection]:
    """Say what a fair detector might have found in a picture.

    Args:
        draws: All that is random.
        boxes: True boxes.
        categories: Their categories, 0 .. known - 1.
        size: Height and width of the picture.
        known: Number of categories.

    Returns:
        Detections in the order of the objects, false alarms last. A tighter box scores higher,
        a false alarm mostly lower than a hit.
    """
    found = []
    for box, category in zip(boxes, categories, strict=True):
        if draws.chance(_MISSES):
            continue
        for _ in range(2 if draws.chance(_DOUBLES) else 1):
            seen = draws.index(known) if draws.chance(_MISTAKES) else category
            found.append(_loose(draws, box, seen, size))
    for _ in range(draws.index(_MOST_ALARMS + 1)):
        found.append(_alarm(draws, size, known))
    return found


def _loose(draws: Draws, box: Box, category: int, size: tuple[int, int]) -> SimulatedDetection:
    x, y, wide, tall = box
    off = draws.free(*_LOOSENESS)
    left, right = x + wide * draws.free(-off, off), x + wide * (1 + draws.free(-off, off))
    top, bottom = y + tall * draws.free(-off, off), y + tall * (1 + draws.free(-off, off))
    score = 0.95 - 3.0 * off + draws.free(-0.15, 0.05)
    return SimulatedDetection(_inside((left, top, right, bottom), size), category, _rounded(score))


def _alarm(draws: Draws, size: tuple[int, int], known: int) -> SimulatedDetection:
    height, width = size
    wide, tall = width * draws.free(0.1, 0.5), height * draws.free(0.1, 0.5)
    left, top = draws.free(0, width - wide), draws.free(0, height - tall)
    box = _inside((left, top, left + wide, top + tall), size)
    return SimulatedDetection(box, draws.index(known), _rounded(draws.free(0.05, 0.55)))


def _inside(corners: Box, size: tuple[int, int]) -> Box:
    """Cut a box x0, y0, x1, y1 off at the picture's border and write it as COCO does."""
    height, width = size
    left = min(max(corners[0], 0.0), width - _LEAST_SIDE)
    top = min(max(corners[1], 0.0), height - _LEAST_SIDE)
    right = min(max(corners[2], left + _LEAST_SIDE), float(width))
    bottom = min(max(corners[3], top + _LEAST_SIDE), float(height))
    x, y = round(left, 2), round(top, 2)
    return (x, y, round(right - x, 2), round(bottom - y, 2))


def _rounded(score: float) -> float:
    return round(min(max(score, 0.01), 0.99), 4)
