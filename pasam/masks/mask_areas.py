"""What the values of a mask look like: areas, soft edges, blends of resizing, cut-out photographs.

`mask_files` asks here and decides; nothing here knows of files.
"""

# Shapes: H, W of a mask.

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_OVERSHOOT = 0.25
"""How far beyond the values of two areas a cubic or Lanczos filter goes, in their difference."""
_PER_BLEND = 2
"""Most pixels beyond the areas' values that a filter leaves for each one between them."""
_STEP = 3 / 16
"""Brightness, of the brightest, that the border of a cut-out has and a soft edge begins below."""


def flat_areas(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Find the pixels, (H, W), whose eight neighbours are all like themselves."""
    is_short = pixels.dtype in (np.uint8, np.uint16)  # OpenCV takes these several times as fast
    square = np.ones((3, 3), np.uint8)
    kept = np.ascontiguousarray(pixels, None if is_short else np.float32)
    same = np.equal(cv2.erode(kept, square), cv2.dilate(kept, square))
    return np.asarray(same.all(axis=2) if same.ndim == 3 else same)


def is_soft(values: NDArray[Any], top: int) -> bool:
    """Tell whether three in four pixels that are neither black nor white touch another value.

    Dark values alone are numbers beside a void of 255: an edge goes through all greys.
    """
    flat = flat_areas(values)
    between = (values > 0) & (values < top)
    if between.any() and int(values[between].max()) <= top // 4:
        return False
    middle = between & (values > top // 16) & (values < top - top // 16)
    between = middle if middle.any() else between
    return bool(4 * np.count_nonzero(between & flat) <= np.count_nonzero(between))


def in_patches(values: NDArray[Any], top: int) -> bool:
    """Tell whether most pixels between black and the top have their value beside and below, too."""
    beside, below = np.zeros(values.shape, np.bool_), np.zeros(values.shape, np.bool_)
    same = values[:, 1:] == values[:, :-1]
    beside[:, 1:] |= same
    beside[:, :-1] |= same
    same = values[1:] == values[:-1]
    below[1:] |= same
    below[:-1] |= same
    between = (values > 0) & (values < top)
    return bool(2 * np.count_nonzero(between & beside & below) > np.count_nonzero(between))


def are_small_cells(pixels: NDArray[Any]) -> bool:
    """Tell numbers of more than 8 bits in runs, as of small cells, from a photograph's shades."""
    runs = [np.mean(pixels[1:] == pixels[:-1]), np.mean(pixels[:, 1:] == pixels[:, :-1])]
    return pixels.ndim == 2 and pixels.dtype.itemsize > 1 and bool(min(runs) > 0.5)


def unblended(
    pixels: NDArray[Any],
    labels: NDArray[Any],
    numbers: NDArray[Any],
    counts: NDArray[Any],
    flat: NDArray[np.bool_],
) -> tuple[NDArray[Any], int, int]:
    """Give the pixels of blended edges to the areas that they lie between.

    A pixel is blended whose value fills no area anywhere and lies between those of areas beside
    it. Where resizing has blended, it may have gone beyond the areas' values too, as cubic and
    Lanczos filters do; elsewhere what lies beyond them is a value of its own.

    Args:
        pixels: Numbers, (H, W), or colours, (H, W, 3).
        labels: One number for each value, (H, W).
        numbers: The place of each pixel's value among all values, (H, W).
        counts: Pixels of each value.
        flat: Where areas are, (H, W), as `flat_areas` finds them.

    Returns:
        The labels without blended pixels; how many there were; and how many values are left that
        fill no area, where they are more than the areas and yet less than was blended.
    """
    inside = np.bincount(numbers[flat], minlength=len(counts)) > counts / 10
    rest = ~inside[numbers]
    if not rest.any() or not inside.any():
        return labels, 0, 0
    layers = pixels.reshape(*numbers.shape, -1).astype(np.float32)
    low, high = _ranges(layers, rest)

    def within(reach: float) -> NDArray[np.bool_]:
        more = reach * (high - low).max(axis=2, keepdims=True)
        between = rest & ((layers >= low - more) & (layers <= high + more)).all(axis=2)
        # A value of its own, as of a thin wire, lies now and then between others by chance.
        share = np.bincount(numbers[between], minlength=len(counts)) / counts
        return np.asarray(between & (share[numbers] > 0.8))

    blends = within(0)
    beyond = within(_OVERSHOOT) & ~blends
    if 0 < np.count_nonzero(beyond) <= _PER_BLEND * np.count_nonzero(blends):
        labels = _nearest_value(layers, labels, beyond, numbers, inside)
    else:
        beyond = np.zeros_like(blends)
    if blends.any():
        labels = _nearest(labels, blends)
    blended = int(np.count_nonzero(blends | beyond))
    rims = numbers[rest & ~blends & ~beyond]
    left = len(np.unique(rims)) if len(rims) < blended else 0
    return labels, blended, left if left > np.count_nonzero(inside) else 0


def _ranges(
    layers: NDArray[np.float32], rest: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Find the lowest and highest values of the areas beside each pixel, (H, W, C) each."""
    lows, highs, window = [], [], np.ones((15, 15), np.uint8)
    most = np.float32(np.finfo(np.float32).max / 4)  # where no area is near, nothing lies between
    for layer in np.moveaxis(layers, 2, 0):
        lows.append(cv2.erode(np.where(rest, most, layer), window))
        highs.append(cv2.dilate(np.where(rest, -most, layer), window))
    return np.dstack(lows), np.dstack(highs)


def _nearest_value(
    layers: NDArray[np.float32],
    labels: NDArray[Any],
    these: NDArray[np.bool_],
    numbers: NDArray[Any],
    inside: NDArray[np.bool_],
) -> NDArray[Any]:
    """Give these pixels, (H, W), the label of the area whose value is most like theirs."""
    _, places = np.unique(numbers, return_index=True)
    areas = places[inside]
    colours, own = layers.reshape(-1, layers.shape[2])[areas], layers[these]
    best, which = np.full(len(own), np.inf, np.float32), np.zeros(len(own), np.intp)
    for number, colour in enumerate(colours):
        distance = ((own - colour) ** 2).sum(axis=1)
        which[distance < best] = number
        best = np.minimum(best, distance)
    found = labels.copy()
    found[these] = labels.ravel()[areas][which]
    return found


def _nearest(labels: NDArray[Any], blends: NDArray[np.bool_]) -> NDArray[Any]:
    """Give blended pixels the label of the nearest other one; both are (H, W)."""
    _, places = cv2.distanceTransformWithLabels(
        blends.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_place = np.zeros(int(places.max()) + 1, labels.dtype)
    of_place[places[~blends]] = labels[~blends]
    return np.asarray(of_place[places])


def is_cut_out(values: NDArray[Any], between: NDArray[np.bool_], share: float) -> bool:
    """Tell a photograph that was cut out on black from objects with soft edges, however wide.

    Within what is not black the photograph is shades all over, and its border is a step; a soft
    edge begins dark.

    Args:
        values: Brightness, (H, W), from 0.
        between: Which pixels are shades, (H, W).
        share: Fraction of the inside, two pixels from the border, beyond which it is shades.
    """
    top = int(values.max())
    lit = (values > top // 16).astype(np.uint8)  # JPEG makes 1 of black
    inner, window = cv2.erode(lit, np.ones((3, 3), np.uint8)), np.ones((5, 5), np.uint8)
    border, deep = (lit > 0) & (inner == 0), cv2.erode(lit, window) > 0
    is_thin = 4 * np.count_nonzero(deep) < np.count_nonzero(lit)  # as hairs, whose edges are all
    if is_thin or not border.any() or between[deep].mean() <= share:
        return False
    return bool(values[border].mean() > _STEP * top)


def share_alike(pixels: NDArray[Any]) -> float:
    """Measure how many pixels that are not black are like the next one that is not, in [0, 1].

    Down or across, whichever are fewer; 1 where none has such a neighbour.
    """
    lit = (pixels if pixels.ndim == 2 else pixels.max(axis=2)) > int(pixels.max()) // 16
    shares = []
    for first, second in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        pairs = lit[first] & lit[second]
        like = np.equal(pixels[first], pixels[second])
        same: NDArray[np.bool_] = np.asarray(like.all(axis=2) if like.ndim == 3 else like)
        shares.append(float(same[pairs].mean()) if pairs.any() else 1.0)
    return min(shares)


def scattered_values(
    pixels: NDArray[Any],
    numbers: NDArray[Any],
    counts: NDArray[Any],
    flat: NDArray[np.bool_],
    kept: NDArray[np.bool_],
) -> int:
    """Count the values that lie scattered, pixel by pixel, as noise does and no object.

    Those are values that fill no area. Either they are many, and most of their pixels lie among
    pixels of others of them; or each of them is in many places, of a pixel or two.

    Args:
        pixels: Numbers, (H, W), or colours, (H, W, 3).
        numbers: The place of each pixel's value among all values, (H, W).
        counts: Pixels of each value.
        flat: Where areas are, (H, W), as `flat_areas` finds them.
        kept: Which pixels count; not those that were blended, (H, W).

    Returns:
        How many there are; 0 where it is a single one, which may be a kind of specks, unless
        something was blended, and it is next to the number of an area while those are far apart.
    """
    inside = np.bincount(numbers[flat], minlength=len(counts)) > counts / 10
    rest = ~inside[numbers] & kept
    if not rest.any() or not inside.any():
        return 0
    padded = np.pad(np.where(rest, numbers, -1).astype(np.int32), 1, constant_values=-1)
    here = padded[1:-1, 1:-1]
    goes_on, others = np.zeros(rest.shape, np.bool_), np.zeros(rest.shape, np.uint8)
    for place in range(9):
        down, across = divmod(place, 3)
        beside = padded[down : down + rest.shape[0], across : across + rest.shape[1]]
        goes_on |= (beside == here) if place < 4 else False  # above, or before
        others += (beside >= 0) & (beside != here)
    of_value = np.bincount(numbers[rest], minlength=len(counts))
    places = np.bincount(numbers[rest & ~goes_on], minlength=len(counts))
    is_small = (of_value > 0) & (of_value <= _DUST * places)
    small, count = rest & is_small[numbers], int(np.count_nonzero(is_small))
    if count > _MANY and 2 * np.count_nonzero(small & (others >= _AMONG)) > np.count_nonzero(small):
        return count
    is_dust = is_small & (places >= _PLACES)
    dust = int(np.count_nonzero(is_dust))
    if dust < 2 and pixels.ndim == 2 and not kept.all():
        levels = np.zeros(len(counts))
        levels[numbers.ravel()] = pixels.ravel()
        apart = np.diff(levels[inside]).min(initial=np.inf)
        gaps = np.abs(levels[of_value > 0][:, None] - levels[inside][None]).min(axis=1)
        return int(np.count_nonzero(_NEXT * gaps <= apart)) if apart < np.inf else 0
    return dust if dust > 1 else 0


_NEXT = 16  # times nearer to an area's number than another area's
_MANY = 16  # values
_AMONG = 2  # neighbours, of eight
_PLACES = 8
_DUST = 2  # pixels of a place, on average


def are_plateaus(values: NDArray[Any], greys: NDArray[np.bool_]) -> bool:
    """Tell areas of a grey that a lossy form has blurred from edges that are grey.

    Such a form keeps the middle of areas as one value.

    Args:
        values: The mask, (H, W), 0..255.
        greys: Which of its pixels are neither black nor white, (H, W).
    """
    is_flat = greys.any() and float(flat_areas(values)[greys].mean()) > _PLATEAU
    return bool(is_flat) or are_one_grey(values, greys)


def are_one_grey(values: NDArray[Any], greys: NDArray[np.bool_]) -> bool:
    """Tell the border of a trimap, however blurred, from edges.

    It is wider than an edge, and most greys are nearly one, far from both black and white.

    Args:
        values: The mask, (H, W), 0..255.
        greys: Which of its pixels are neither black nor white, (H, W).
    """
    if not greys.any():
        return False
    counts = np.bincount(values[greys])
    near = np.convolve(counts, np.ones(2 * _ABOUT + 1, counts.dtype), "same")
    middle = np.arange(len(near))[_MIDDLE]  # beside black and white JPEG makes greys of any edge
    if not len(middle):
        return False
    level = int(middle[near[middle].argmax()])
    alike = greys & (np.abs(values.astype(np.int64) - level) <= _ABOUT)
    wide = cv2.morphologyEx(alike.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return bool(2 * np.count_nonzero(wide) > np.count_nonzero(greys))


_PLATEAU = 0.3  # fraction of the greys that lie among their like; of a photograph hardly any do
_ABOUT = 16  # by which the greys of a trimap's border differ from one another, at most
_MIDDLE = slice(64, 193)  # greys far from both black and white


def border_between(
    numbers: NDArray[Any], *, least_width: float, is_any: bool = False
) -> int | None:
    """Find which of three areas is a border between the two others, as a trimap has one.

    The others touch nowhere, or hardly; and it is about as wide everywhere, and thin beside them:
    at most two fifths as wide as they are from edge to middle, or half where that is a few pixels.
    Wider ones are objects, as the body of a cell round its nucleus.

    Args:
        numbers: 0, 1 or 2 for each pixel, (H, W).
        least_width: Pixels that it is wide, at least.
        is_any: Whether it may be as wide, and as unevenly, as it likes.

    Returns:
        Its number; None if none is.
    """
    areas = [numbers == number for number in range(3)]
    for border in range(3):
        first, second = (areas[number] for number in range(3) if number != border)
        found = _widths(areas[border], first, second)
        if found is None:
            continue
        (low, middle, high), depth = found
        is_even, is_seen = high <= 2 * low + 2, least_width <= middle + 0.5
        most = max(_THIN * depth, min(_FEW_PIXELS, depth / 2))
        if is_seen and (is_any or (is_even and low <= most)):
            return border
    return None


_FEW_PIXELS = 6
_THIN = 0.4  # of the way from edge to middle


def _widths(
    border: NDArray[np.bool_], first: NDArray[np.bool_], second: NDArray[np.bool_]
) -> tuple[tuple[float, float, float], float] | None:
    """Measure how wide a border between two areas is: nearly everywhere, mostly, and nowhere more.

    And how far it is from the edge to the middle of the thinner of the areas. None where they
    touch, or do not both lie at the border.
    """
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    besides = [cv2.dilate(area.astype(np.uint8), cross) > 0 for area in (first, second)]
    rims = [border & beside for beside in besides]
    touching = np.count_nonzero(besides[0] & second)
    if min(np.count_nonzero(rim) for rim in rims) <= 50 * touching:
        return None
    widths, depths = [], []
    for rim, area, other in ((rims[0], first, second), (rims[1], second, first)):
        distance = cv2.distanceTransform((~other).astype(np.uint8), cv2.DIST_L2, 5)
        widths.append(distance[rim])
        depths.append(cv2.distanceTransform(area.astype(np.uint8), cv2.DIST_L2, 5).max())
    low, middle, high = np.percentile(np.concatenate(widths), [10, 50, 90]).tolist()
    return (low, middle, high), float(min(depths))


def lies_round(border: NDArray[np.bool_], areas: NDArray[np.bool_]) -> bool:
    """Tell a thin border round all areas, or nearly, from an area of its own.

    What else is of the border's value does not count.

    Args:
        border: Where it is, (H, W).
        areas: What it may lie round, (H, W), without any of it.
    """
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    beside = (cv2.dilate(areas.astype(np.uint8), cross) > 0) & ~areas
    rim = beside & border
    if np.count_nonzero(rim) <= _ROUND * np.count_nonzero(beside):
        return False
    side = max(_FEW_PIXELS, round(_BORDER * max(border.shape))) + 1
    wide = cv2.morphologyEx(border.astype(np.uint8), cv2.MORPH_OPEN, np.ones((side, side)))
    return bool(2 * np.count_nonzero(rim & (wide > 0)) < np.count_nonzero(rim))


_ROUND = 2 / 3  # of the pixels beside the areas
_BORDER = 0.02  # of the longer side; Pascal VOC's is 5 of 500 pixels


def contact(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> int:
    """Count the pairs of neighbours, beside and below, of which one lies in each area, (H, W)."""
    return sum(
        int(np.count_nonzero(one[here] & other[there]))
        for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1]))
        for one, other in ((first, second), (second, first))
    )


def rim_share(area: NDArray[np.bool_]) -> float:
    """Measure how much of an image's rim, one pixel wide, lies in an area, (H, W), in [0, 1]."""
    rim = np.concatenate([area[0], area[-1], area[:, 0], area[:, -1]])
    return float(rim.mean())
