"""Turn drawings into anti-aliased coverage: drawn threefold, averaged down."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pasam.data.synthetic.strokes import NOMINAL_SIDE, Drawing, Mark, Points

OVERSAMPLING = 3
_SHIFT = 4

Plane = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Layer:
    """An object's coverage on a window of the picture.

    Attributes:
        parts: Coverage 0..255 of each part, each (h, w); later parts lie on top.
        coverage: Coverage of the whole object, (h, w).
        top: First row of the window in the picture.
        left: First column of the window in the picture.
    """

    parts: tuple[Plane, ...]
    coverage: Plane
    top: int
    left: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the picture that the layer lies on."""
        height, width = self.coverage.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def rasterise(drawing: Drawing, *, side: int, height: int, width: int) -> Layer:
    """Draw a drawing whose points are in units from the picture's upper left corner.

    Args:
        drawing: What to draw.
        side: Nominal side of the picture in pixels, 256 units.
        height: Height of the picture in pixels.
        width: Width of the picture in pixels.

    Returns:
        Coverage on the smallest window that holds the drawing.
    """
    scale = side / NOMINAL_SIDE
    left, top, right, bottom = (bound * scale for bound in drawing.bounds())
    x0 = min(max(int(np.floor(left)) - 1, 0), width - 1)
    y0 = min(max(int(np.floor(top)) - 1, 0), height - 1)
    x1 = max(min(int(np.ceil(right)) + 1, width), x0 + 1)
    y1 = max(min(int(np.ceil(bottom)) + 1, height), y0 + 1)
    fine = ((y1 - y0) * OVERSAMPLING, (x1 - x0) * OVERSAMPLING)
    planes: dict[int, Plane] = {}
    for mark in drawing.marks:
        if mark.ink:
            plane = planes.setdefault(mark.part, np.zeros(fine, np.uint8))
            _draw(plane, mark, scale=scale, corner=np.array([x0, y0]), level=255)
        else:
            for plane in planes.values():
                _draw(plane, mark, scale=scale, corner=np.array([x0, y0]), level=0)
    size = (x1 - x0, y1 - y0)
    parts = tuple(
        cv2.resize(planes[part], size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        for part in sorted(planes)
    )
    coverage = parts[0]
    if len(parts) > 1:
        union = np.maximum.reduce([planes[part] for part in sorted(planes)])
        coverage = cv2.resize(union, size, interpolation=cv2.INTER_AREA).astype(
            np.uint8, copy=False
        )
    return Layer(parts=parts, coverage=coverage, top=y0, left=x0)


def _draw(plane: Plane, mark: Mark, *, scale: float, corner: NDArray[np.int_], level: int) -> None:
    """Lay one mark down on a fine plane, in place."""
    lines = [_fixed(line, scale=scale, corner=corner) for line in mark.lines]
    if mark.width is None:
        for line in lines:
            cv2.fillPoly(plane, [line], level, lineType=cv2.LINE_8, shift=_SHIFT)
        return
    # OpenCV draws a thick line one or two pixels wider than asked.
    thickness = max(1, round(mark.width * scale * OVERSAMPLING) - 1)
    cv2.polylines(plane, lines, False, level, thickness, lineType=cv2.LINE_8, shift=_SHIFT)


def _fixed(line: Points, *, scale: float, corner: NDArray[np.int_]) -> NDArray[np.int32]:
    """Return points in fixed-point coordinates of a fine plane, (n, 1, 2)."""
    fine = ((line * scale - corner) * OVERSAMPLING - 0.5) * (1 << _SHIFT)
    return np.rint(fine).astype(np.int32)[:, None, :]
