"""Surfaces of synthetic images: colours and textures, objects painted with them, and photometry.

Grey procedural textures (clouds, wood, bricks, stripes, grass, pebbles and more) and crops of the
photographs inside the scikit-image package, never downloaded, become coloured grounds and
materials. An object is put in with material, relief, outline and shadow; at last light and camera
act on the finished image: uneven light, slight blur, sensor noise.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

from pasam.errors import DataError
from pasam.synthetic.randomness import Draws
from pasam.synthetic.strokes import Layer, rotation

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


# All are lossless PNG files, which every decoder reads alike.
TRAINING_PHOTOGRAPHS = ("astronaut.png", "motorcycle_left.png", "ihc.png")
HELD_OUT_PHOTOGRAPHS = ("coffee.png", "chelsea.png")
TRAINING_GREYS = ("brick.png", "grass.png", "camera.png")
HELD_OUT_GREYS = ("gravel.png", "coins.png")


@lru_cache(maxsize=16)
def photograph(name: str, *, grey: bool) -> NDArray[np.uint8]:
    """Read a packaged photograph, (H, W, 3) RGB or (H, W) if grey.

    Raises:
        DataError: The file is not in the installed scikit-image package.
    """
    path = Path(skimage.data.__file__).parent / name
    flag = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR
    picture = cv2.imread(str(path), flag) if path.is_file() else None
    if picture is None:
        raise DataError(f"No readable photograph at {path}. Reinstall scikit-image.")
    picture = picture if grey else picture[:, :, ::-1]
    return np.ascontiguousarray(picture, dtype=np.uint8)


def crop(
    picture: NDArray[np.uint8], draws: Draws, *, height: int, width: int, zoom: tuple[float, float]
) -> NDArray[np.uint8]:
    """Cut a random window, flip it at random, and bring it to (height, width).

    Args:
        picture: Source, (H, W) or (H, W, 3).
        draws: Where to cut.
        height: Height of the result in pixels.
        width: Width of the result in pixels.
        zoom: Range of the window's longer side as a share of the source's shorter side.

    Returns:
        The window, resampled without floating point.
    """
    share = draws.free(*zoom) * min(picture.shape[:2]) / max(height, width)
    rows, columns = max(2, int(height * share)), max(2, int(width * share))
    top = draws.index(picture.shape[0] - rows + 1)
    left = draws.index(picture.shape[1] - columns + 1)
    window = picture[top : top + rows, left : left + columns]
    if draws.chance(0.5):
        window = window[:, ::-1]
    window = np.ascontiguousarray(window)
    return cv2.resize(window, (width, height), interpolation=cv2.INTER_LINEAR_EXACT).astype(
        np.uint8
    )


def photograph_crop(draws: Draws, *, height: int, width: int) -> NDArray[np.uint8]:
    """Return a recoloured crop of a photograph, (height, width, 3)."""
    names = HELD_OUT_PHOTOGRAPHS if draws.held_out else TRAINING_PHOTOGRAPHS
    source = photograph(draws.pick(names), grey=False)
    window = crop(source, draws, height=height, width=width, zoom=(0.5, 0.98))
    order = draws.pick(((0, 1, 2), (0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)))
    tables = []
    for _ in range(3):
        gain, lift = draws.free(0.6, 1.05), draws.free(0.0, 45.0)
        tables.append(np.clip(np.rint(np.arange(256) * gain + lift), 0, 255).astype(np.uint8))
    channels = cv2.split(window)
    recoloured = [cv2.LUT(channels[order[i]], tables[i]) for i in range(3)]
    return cv2.merge(recoloured).astype(np.uint8, copy=False)


Grey = NDArray[np.uint8]

TILE = 512
"""Side of a texture tile in pixels; windows of it are cut and scaled."""
VARIANTS = 3
"""Tiles of each kind on either side of the split."""


def _clouds(draws: Draws) -> Grey:
    """Sum noise of doubling fineness."""
    total = np.zeros((TILE, TILE), np.uint16)
    cells, weight = draws.whole(2, 6), 8
    for _ in range(5):
        coarse = draws.levels(0, 255, (cells + 1, cells + 1))
        octave = cv2.resize(coarse, (TILE, TILE), interpolation=cv2.INTER_LINEAR_EXACT)
        total += octave.astype(np.uint16) * weight
        cells, weight = min(cells * 2, TILE // 2), max(weight // 2, 1)
    return _spread((total // 16).astype(np.uint8))


def _spread(grey: Grey) -> Grey:
    """Stretch the grey levels over the full range."""
    low, high = int(grey.min()), int(grey.max())
    return ((grey.astype(np.uint16) - low) * 255 // max(high - low, 1)).astype(np.uint8)


def _waves(phase: NDArray[np.int64]) -> Grey:
    """Fold phases, 512 to a period, into grey levels."""
    folded = np.abs(phase % 512 - 256)
    return np.minimum(folded, 255).astype(np.uint8)


def _wood(draws: Draws) -> Grey:
    """Bend stripes by noise, as grain does."""
    columns = np.arange(TILE)[None, :] * draws.whole(8, 24)
    bend = _clouds(draws).astype(np.int64) * draws.whole(3, 12)
    specks = draws.levels(0, 40, (TILE // 8, TILE))
    fine = cv2.resize(specks, (TILE, TILE), interpolation=cv2.INTER_LINEAR_EXACT)
    return cv2.add(_waves(columns + bend) // 4 * 3, fine.T.copy()).astype(np.uint8)


def _stripes(draws: Draws) -> Grey:
    """Draw straight slanted stripes."""
    rows, columns = np.mgrid[0:TILE, 0:TILE]
    phase = rows * draws.whole(0, 20) + columns * draws.whole(6, 24)
    hard = np.clip(_waves(phase).astype(np.int64) * 3 - 256, 0, 255)
    return np.asarray(hard, dtype=np.uint8)


def _checks(draws: Draws) -> Grey:
    """Cross two sets of stripes, as a tablecloth does."""
    rows, columns = np.mgrid[0:TILE, 0:TILE]
    pace = draws.whole(6, 20)
    one, two = (
        np.clip(_waves(axis * pace).astype(int) * 3 - 256, 0, 255) for axis in (rows, columns)
    )
    return np.asarray((one + two) // 2, dtype=np.uint8)


def _bricks(draws: Draws) -> Grey:
    """Lay rows of bricks with mortar between them."""
    grey = np.full((TILE, TILE), draws.whole(10, 60), np.uint8)
    high, wide = draws.whole(22, 44), draws.whole(50, 90)
    for row in range(TILE // high + 1):
        shift = (row % 2) * wide // 2
        for column in range(-1, TILE // wide + 1):
            x, y, level = column * wide + shift, row * high, int(draws.free(110, 240))
            cv2.rectangle(grey, (x, y), (x + wide - 5, y + high - 5), level, -1)
    rough = draws.levels(0, 40, (TILE, TILE))
    return cv2.subtract(cv2.GaussianBlur(grey, (3, 3), 0), rough).astype(np.uint8)


def _grass(draws: Draws) -> Grey:
    """Scatter blades."""
    grey = np.full((TILE, TILE), 60, np.uint8)
    lean, length = draws.shape(-9, 9), draws.shape(14, 34)
    for x, y, tilt, level in zip(
        draws.many(0, TILE, 2600), draws.many(0, TILE + 30, 2600),
        draws.many(-8, 8, 2600), draws.many(20, 255, 2600), strict=True,
    ):  # fmt: skip
        tip = (round(x + lean + tilt), round(y - length))
        cv2.line(grey, (round(x), round(y)), tip, round(level), 2)
    return cv2.GaussianBlur(grey, (3, 3), 0).astype(np.uint8)


def _pebbles(draws: Draws) -> Grey:
    """Heap up shaded discs."""
    grey = np.full((TILE, TILE), 30, np.uint8)
    small, large = draws.shape(6, 10), draws.shape(14, 26)
    for x, y, size, level in zip(
        draws.many(0, TILE, 1500), draws.many(0, TILE, 1500),
        draws.many(0, 1, 1500), draws.many(60, 210, 1500), strict=True,
    ):  # fmt: skip
        radius, centre = round(small + (large - small) * size), (round(x), round(y))
        cv2.circle(grey, centre, radius, round(level) // 3, -1)
        cv2.circle(grey, centre, radius - 2, round(level), -1)
        cv2.circle(grey, (centre[0] - 2, centre[1] - 2), radius // 2, round(level) + 40, -1)
    return cv2.GaussianBlur(grey, (3, 3), 0).astype(np.uint8)


def _spots(draws: Draws) -> Grey:
    """Spatter a plain ground."""
    grey = np.full((TILE, TILE), 200, np.uint8)
    for x, y, size in zip(
        draws.many(0, TILE, 260), draws.many(0, TILE, 260), draws.many(4, 15, 260), strict=True
    ):
        cv2.circle(grey, (round(x), round(y)), round(size), 40, -1)
    return cv2.GaussianBlur(grey, (3, 3), 0).astype(np.uint8)


def _slope(draws: Draws) -> Grey:
    """Blend from one corner to the other, with a little grain."""
    corners = draws.levels(0, 215, (2, 2))
    grey = cv2.resize(corners, (TILE, TILE), interpolation=cv2.INTER_LINEAR_EXACT)
    return cv2.add(grey, draws.levels(0, 24, (TILE, TILE))).astype(np.uint8)


def _photographed(draws: Draws) -> Grey:
    """Take the grey levels of a packaged photograph."""
    names = HELD_OUT_GREYS if draws.held_out else TRAINING_GREYS
    source = photograph(draws.pick(names), grey=True)
    return _spread(crop(source, draws, height=TILE, width=TILE, zoom=(0.9, 1.0)))


_KINDS: dict[str, Callable[[Draws], Grey]] = {
    "clouds": _clouds,
    "wood": _wood,
    "stripes": _stripes,
    "checks": _checks,
    "bricks": _bricks,
    "grass": _grass,
    "pebbles": _pebbles,
    "spots": _spots,
    "slope": _slope,
    "photographed": _photographed,
}
KINDS = tuple(_KINDS)


@lru_cache(maxsize=len(_KINDS) * VARIANTS * 2)
def tile(kind: str, variant: int, *, held_out: bool) -> Grey:
    """Return a texture tile (TILE, TILE), drawn once and then remembered."""
    draws = Draws(KINDS.index(kind), variant, int(held_out), held_out=held_out)
    made = _KINDS[kind](draws)
    made.setflags(write=False)
    return made


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
    picture = _plain_surface(draws, height=height, width=width)
    if draws.chance(0.45):
        horizon = draws.free(0.4, 0.85) * height
        tilt = draws.free(-0.12, 0.12) * height
        corners = [(0, horizon - tilt), (width, horizon + tilt), (width, height), (0, height)]
        _lay(picture, np.array(corners), _plain_surface(draws, height=height, width=width))
    for _ in range(draws.index(5)):
        _lay(
            picture,
            _patch(draws, height=height, width=width),
            _plain_surface(draws, height=height, width=width),
        )
    return picture


def _plain_surface(draws: Draws, *, height: int, width: int) -> Picture:
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
    return np.asarray(corners @ rotation(draws.free(0, np.pi)).T + centre)


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
        surface = _material(layer, draws)
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


def _material(layer: Layer, draws: Draws) -> Picture:
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


_NOISE_SIDE = 701


@lru_cache(maxsize=1)
def _noise() -> NDArray[np.int16]:
    """Return bell-shaped noise with a deviation of about 64, (701, 701, 3)."""
    draws = Draws(0, held_out=False)
    rolls = draws.levels(0, 111, (4, _NOISE_SIDE, _NOISE_SIDE, 3)).astype(np.int16)
    return np.asarray(rolls.sum(axis=0, dtype=np.int16) - 222)


def expose(picture: Picture, draws: Draws) -> Picture:
    """Return the picture as a camera would have taken it, (H, W, 3).

    Args:
        picture: Scene as painted, (H, W, 3).
        draws: How much of each fault.
    """
    height, width = picture.shape[:2]
    gains = draws.levels(105, 150, (2, 2))
    light = cv2.resize(gains, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    lit = np.minimum(picture * light.astype(np.uint16)[:, :, None] // 128, 255)
    exposed = np.asarray(lit, dtype=np.uint8)
    if draws.chance(0.5):
        exposed = cv2.GaussianBlur(exposed, (3, 3), draws.pick((0.4, 0.55, 0.7))).astype(np.uint8)
    rows = (np.arange(height) + draws.index(_NOISE_SIDE)) % _NOISE_SIDE
    columns = (np.arange(width) + draws.index(_NOISE_SIDE)) % _NOISE_SIDE
    grain = _noise()[rows][:, columns] * round(draws.free(1, 6)) // 64
    return np.asarray(np.clip(exposed + grain, 0, 255), dtype=np.uint8)
