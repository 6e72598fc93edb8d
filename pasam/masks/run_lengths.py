"""Masks as COCO's run lengths: the one codec, and the only caller of pycocotools' mask functions.

Run lengths that come from outside are checked before pycocotools sees them: it trusts its input,
and draws whatever lies in memory where a code covers more pixels than its size says.
"""

# Shapes: H and W of the mask.

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as pycocotools_mask

from pasam.errors import DataError

MOST_PIXELS = 1 << 30
"""Pixels of the largest image that masks are drawn for."""

Rle = dict[str, Any]
"""`size` (height, width) and `counts` as text or bytes."""


_PLAIN = frozenset((int, float))
_MOST_BITS = 40  # of a length; without a bound, a long enough code would never be read to its end


def encode(mask: NDArray[np.bool_] | NDArray[np.uint8]) -> Rle:
    """Turn a mask (H, W), zero outside the object, into run lengths fit for JSON and parquet."""
    return _as_text(pycocotools_mask.encode(np.asfortranarray(mask != 0, dtype=np.uint8)))


def decode(code: Rle) -> NDArray[np.bool_]:
    """Turn run lengths that are known to be sound into a mask (H, W)."""
    with warnings.catch_warnings():
        # pycocotools 2.0.11 asks NumPy 2 for an array in the old way.
        warnings.filterwarnings("ignore", message="__array__ implementation", category=Warning)
        mask = pycocotools_mask.decode(code)
    return np.asarray(mask, dtype=np.bool_)


def from_segmentation(segmentation: Any, height: int, width: int) -> Rle:
    """Bring COCO's polygons, plain or compressed run lengths to compressed run lengths.

    Args:
        segmentation: As it stands in an annotation or result file.
        height: Height H of the image that it belongs to.
        width: Width W of that image.

    Returns:
        Run lengths that cover exactly H x W pixels, with text counts.

    Raises:
        DataError: It cannot be drawn, is damaged, or belongs to an image of another size; the
            message lacks the annotation that it speaks of at its front, and a full stop.
    """
    if not 0 < height * width <= MOST_PIXELS:
        raise DataError(f"is of an image of {height} x {width} pixels (height x width)")
    try:
        if isinstance(segmentation, list):
            polygons = _polygons(segmentation, height, width)
            drawn = pycocotools_mask.frPyObjects(polygons, height, width)
            return _as_text(pycocotools_mask.merge(drawn) if len(drawn) > 1 else drawn[0])
        if isinstance(segmentation["counts"], list):
            _check_counts(segmentation["counts"], segmentation["size"])
            code = pycocotools_mask.frPyObjects(segmentation, height, width)
        else:
            code = {"size": segmentation["size"], "counts": segmentation["counts"]}
        code = _as_text(code)
        if len(code["size"]) != 2:
            raise DataError(f"is drawn on {code['size']}, expected its height and width")
        covered = sum(runs(code["counts"]))
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - pycocotools raises whatever its input makes of it
        raise DataError(f"has a segmentation that cannot be drawn ({error})") from None
    if code["size"] != [height, width]:
        raise DataError(
            f"is drawn on {code['size'][0]} x {code['size'][1]} pixels (height x width), but its "
            f"image is said to have {height} x {width}"
        )
    if covered != height * width:
        raise DataError(
            f"has a run-length code of {covered} pixels, expected {height * width}: it is damaged"
        )
    return code


def _polygons(segmentation: list[Any], height: int, width: int) -> list[list[float]]:
    """Bring the ways in which tools write polygons to lists x, y, x, y, ...; refuse the undrawable.

    pycocotools draws whatever it is given: a coordinate that is not finite, or far away, takes all
    memory, and four numbers are a box to it.
    """
    parts = segmentation
    if all(map(_is_number, parts)):  # one polygon without its list, as VIA writes it
        parts = [parts]
    elif all(isinstance(part, list) and len(part) == 2 for part in parts):  # a list of points
        parts = [[number for point in parts for number in point]]
    polygons = []
    for part in parts:
        if part and all(isinstance(pair, list) and len(pair) == 2 for pair in part):
            part = [number for pair in part for number in pair]
        if not isinstance(part, list) or len(part) % 2 or len(part) < 6:
            count = len(part) if isinstance(part, list) else part
            raise DataError(
                f"has a polygon of {count!r:.80} numbers, expected x and y of 3 points or more"
            )
        xs, ys = part[::2], part[1::2]
        is_inside = _PLAIN.issuperset(map(type, part)) and all(
            -side <= number <= 2 * side  # false of NaN
            for numbers, side in ((xs, width), (ys, height))
            for number in numbers
        )
        for number, side in () if is_inside else zip(part, (width, height) * len(xs), strict=True):
            if not _is_number(number) or not -side <= number <= 2 * side:
                raise DataError(
                    f"has the coordinate {number!r:.80}, expected a finite number within its "
                    f"image of {width} x {height} (width x height)"
                )
        polygons.append([float(number) for number in part])
    return polygons


def _check_counts(counts: list[Any], size: Any) -> None:
    pixels = int(size[0]) * int(size[1])
    if not all(type(count) is int and 0 <= count <= pixels for count in counts):
        raise DataError(f"has a run-length code of other than whole numbers from 0 to {pixels}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """Polygons whose corners are fractions of the image's width and height."""

    polygons: list[list[float]]
    """Lists x, y, x, y, ..."""

    def in_pixels(self, size: tuple[int, int]) -> list[list[float]]:
        """Scale them to an image of this height and width.

        Raises:
            DataError: A corner is beyond one more image, as pixels are.
        """
        for number in (one for part in self.polygons for one in part):
            if not -1 <= number <= 2:  # false of NaN
                raise DataError(
                    f"has the coordinate {number:g}, expected a fraction of the image from 0 to 1, "
                    "not pixels"
                )
        sides = (size[1], size[0])
        return [[one * sides[i % 2] for i, one in enumerate(part)] for part in self.polygons]


def runs(counts: str | bytes) -> list[int]:
    """Read the lengths of the runs, of background and object by turns, down the columns.

    A run is written in groups of five bits, the sixth saying that more follow; from the fourth run
    on it is the difference to the last but one.

    Raises:
        ValueError: The code is damaged.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in counts.encode("ascii") if isinstance(counts, str) else counts:
        digit = character - 48
        value |= (digit & 0x1F) << shift
        shift += 5
        if shift > _MOST_BITS:
            raise ValueError("its run-length code is damaged")
        if digit & 0x20:
            continue
        if digit & 0x10:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    if shift or min(lengths, default=-1) < 0:
        raise ValueError("its run-length code is damaged")
    return lengths


def area(code: Rle) -> int:
    """Count the pixels of a mask."""
    return int(pycocotools_mask.area(code))


def bounding_box(code: Rle) -> tuple[int, int, int, int]:
    """Find the smallest box round a mask: x, y, width, height; of size 0 if it is empty."""
    x, y, wide, tall = (int(value) for value in pycocotools_mask.toBbox(code))
    return x, y, wide, tall


def overlaps(found: list[Rle], objects: list[Rle], crowd: list[int]) -> NDArray[np.float64]:
    """Compute the IoU of every pair, (len(found), len(objects)).

    Args:
        found: Detected masks.
        objects: Annotated masks.
        crowd: 1 where an object is a crowd; its overlap is the part of the detection inside it.
    """
    ious = pycocotools_mask.iou(found, objects, crowd)
    return np.asarray(ious, dtype=np.float64).reshape(len(found), len(objects))


def _as_text(code: Rle) -> Rle:
    counts = code["counts"]
    text = counts.decode("ascii") if isinstance(counts, bytes) else str(counts)
    return {"size": [int(length) for length in code["size"]], "counts": text}
