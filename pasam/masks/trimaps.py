"""Trimaps: three values, of an object, of its border, which is undecided, and of the background.

They are told from numbers of objects, and their object from the background.
"""

# Shapes: H, W of a mask.

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasam.errors import InvalidItemError
from pasam.masks.mask_areas import border_between, contact, rim_share
from pasam.masks.mask_pixels import doubt

_HALVES = {1: {0, 127, 128, 255}, 257: {0, 127 * 257, 32767, 32768, 128 * 257, 65535}}
"""What trimaps of 8 and of 16 bits hold: background, border (one or the other half), object."""
_TRIMAPS = [{1, 2, 3}, *({0, one, max(of)} for of in _HALVES.values() for one in of - {0, max(of)})]
_WHITES = (255, 65535)
_MAIN = 0.005  # fraction of the pixels that a value of a trimap has at least
_NEARLY = 32  # fraction of the highest number by which another one is nearly the same


def refuse_trimap(
    path: Path, values: NDArray[Any], found: NDArray[Any], *, least_width: float = 3
) -> None:
    """Refuse values that a trimap holds: known ones, or black, a thin border of grey, and white.

    Other numbers and colours are objects, however thin: of cells, vessels, wheels and plates.

    Args:
        path: The file.
        values: Numbers, (H, W).
        found: All that there are, in order.
        least_width: Pixels that the border is wide, at least; thinner ones may be blended edges.
    """
    present = found.tolist()
    if set(present) in _TRIMAPS:
        raise doubt(path, f"holds {present}: a trimap, or a numbering", trimap=True)
    if not _are_shades(present):
        return
    border = _border(values, found, least_width, is_any=False)
    if border == present[1]:
        said = f"holds {present}, of which {border} lies as a thin border between the others"
        raise doubt(path, f"{said}: a trimap, or a numbering", trimap=True)


def _are_shades(present: list[int]) -> bool:
    """Tell whether numbers, in order, are black, a grey about half of white, and white."""
    if len(present) != 3 or present[0] != 0 or present[2] not in _WHITES:
        return False  # 127 and 254, too, are two numbers, spread to be seen
    return present[2] <= 4 * present[1] <= 3 * present[2]


def _border(
    values: NDArray[Any], found: NDArray[Any], least_width: float, *, is_any: bool
) -> int | None:
    """Find the value, but 0, that lies as a border between two others, if it does.

    The border is thin, unless it `is_any`.
    """
    if len(found) != 3:
        return None
    numbers = np.searchsorted(found, values)
    which = border_between(numbers, least_width=least_width, is_any=is_any)
    return None if which is None else int(found[which]) or None  # 0 is the background


def possible_trimap(
    path: Path, labels: NDArray[Any], values: NDArray[Any], counts: NDArray[Any], void: int | None
) -> tuple[str, ...]:
    """Refuse a trimap's values, and say of others that lie like one what could be said instead.

    Args:
        path: The file.
        labels: Numbers, (H, W).
        values: All that there are, in order.
        counts: Pixels of each.
        void: The number that is void where it is there.
    """
    seen, main = _main_values(labels, values, counts)
    refuse_trimap(path, seen, main, least_width=1)
    border = _border(seen, main, 1, is_any=int(main[-1]) == void)
    if border is None or border == void:
        return ()
    return (
        "one of its numbers lies as a border between the others, and is an object; if it is none, "
        "say --masks-are trimap",
    )


def _main_values(
    labels: NDArray[Any], values: NDArray[Any], counts: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give numbers that are nearly another one, of far more pixels, as that one; and what is left.

    Filters and lossy forms leave some beside three values that a trimap has. Args as in
    `possible_trimap`.
    """
    is_main = counts >= _MAIN * labels.size
    if len(values) == np.count_nonzero(is_main) or not 2 < is_main.sum() < 4:
        return labels, values
    main = values[is_main].astype(np.int64)
    distance = np.abs(values.astype(np.int64)[:, None] - main[None])
    if int(distance.min(axis=1).max()) > int(main[-1]) // _NEARLY:
        return labels, values
    nearest = values[is_main][distance.argmin(axis=1)]
    return nearest[np.searchsorted(values, labels)], values[is_main]


def parts_of(path: Path, pixels: NDArray[Any], found: NDArray[Any]) -> tuple[int, int]:
    """Tell which values of a trimap, (H, W), are its object and its border; 0 where none are.

    Raises:
        InvalidItemError: The object and the background could be each other.
    """
    present = found.tolist()
    if set(present) <= _HALVES[1]:
        return 255, 128
    if set(present) <= _HALVES[257]:
        return 65535, 32896
    if set(present) <= {1, 2, 3}:
        ground = _ground_of_ones(pixels, present)
        if ground == 2:
            return 1, 3
        others, border = ([1, 3] if ground else []), 2
    else:
        border = _border(pixels, found, 1, is_any=True) or 0
        others = [one for one in present if one != border]
        if not border:
            return 0, 0
    # A background has the lowest number, and lies at the image's rim more than the others do.
    shares = {one: rim_share(pixels == one) for one in present}
    is_known = len(others) == 2 and (others[0] == 0 or others[0] < border < others[1])
    if is_known and shares[others[0]] > max(shares[others[1]], shares[border]):
        return others[1], border
    raise InvalidItemError(
        f"{path} holds {present}, and this file alone does not tell which is the object and which "
        "the background. Export it with 0 for the background, 128 for the border and 255 for the "
        "object, or without the border.",
        kind="label_map",
    )


def _ground_of_ones(pixels: NDArray[Any], present: list[int]) -> int:
    """Tell the background of a trimap of 1, 2 and 3: 2, or 1 where 2 is the border; 0: unknown.

    In Oxford's pets 3 is the border; 1 is the object, which may fill the image up to that. What
    lies between the others is the border, unless it lies round them all.
    """
    if len(present) != 3:
        return 2 if present in ([1], [1, 3]) else 0
    one, two, three = (pixels == number for number in present)
    apart = {3: contact(one, two), 2: contact(one, three), 1: contact(two, three)}
    border = min(apart, key=lambda number: (apart[number], -number))
    is_ground = rim_share(two) >= max(rim_share(one), rim_share(three))
    if border == 3 or (border == 2 and is_ground):
        return 2
    return 1 if border == 2 else 0
