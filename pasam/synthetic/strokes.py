"""Drawings as strokes and filled outlines, and their anti-aliased coverage.

Coverage is drawn threefold and averaged down.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# Lengths are in units: the nominal side of a picture is 256 units, whatever its pixels.

Points = NDArray[np.float64]
"""Points (n, 2) as x, y in units; y grows downwards."""

NOMINAL_SIDE = 256.0
THINNEST = 2.7
"""Least width of a stroke in units."""
THINNEST_HAIR = 2.3
"""Least width of a hair in units."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One act of drawing: outlines to fill (width None) or lines to trace."""

    lines: tuple[Points, ...]
    width: float | None
    part: int
    ink: bool


class Drawing:
    """An object's marks in the order in which they are laid down, centred on the origin.

    Parts are regions of one object that may take different materials.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.marks: list[Mark] = []

    def fill(self, *outlines: Points, part: int = 0) -> None:
        """Fill closed outlines."""
        self.marks.append(Mark(outlines, None, part, True))

    def line(self, *lines: Points, width: float, part: int = 0) -> None:
        """Trace lines with round ends, at least `THINNEST` wide."""
        self.marks.append(Mark(lines, max(width, THINNEST), part, True))

    def limb(self, spine: Points, widths: Iterable[float], *, part: int = 0) -> None:
        """Fill the outline round a smooth spine whose width varies along it."""
        self.fill(limb(spine, widths), part=part)

    def hair(self, lines: Sequence[Points], *, width: float, part: int = 0) -> None:
        """Trace strands that are thick at the root and thin out towards the tip."""
        roots = tuple(line[: len(line) // 2 + 1] for line in lines)
        self.marks.append(Mark(tuple(lines), max(0.6 * width, THINNEST_HAIR), part, True))
        self.marks.append(Mark(roots, max(width, THINNEST_HAIR), part, True))

    def cut(self, *outlines: Points) -> None:
        """Cut closed outlines out of every part drawn so far."""
        self.marks.append(Mark(outlines, None, 0, False))

    def turned(self, *, angle: float, mirrored: bool, stretch: float) -> Drawing:
        """Return a copy mirrored left to right, stretched in height, then turned by `angle`."""
        flip = -1.0 if mirrored else 1.0
        linear = rotation(angle) @ np.array([[flip, 0.0], [0.0, stretch]])
        return self.mapped(linear, np.zeros(2))

    def mapped(self, linear: NDArray[np.float64], shift: Points) -> Drawing:
        """Return a copy under an affine map of the points; widths stay."""
        copy = Drawing()
        for mark in self.marks:
            lines = tuple(line @ linear.T + shift for line in mark.lines)
            copy.marks.append(Mark(lines, mark.width, mark.part, mark.ink))
        return copy

    def bounds(self) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of all ink, in units."""
        lows, highs = [], []
        for mark in self.marks:
            if mark.ink:
                reach = (mark.width or 0.0) / 2
                points = np.concatenate(mark.lines)
                lows.append(points.min(axis=0) - reach)
                highs.append(points.max(axis=0) + reach)
        low, high = np.min(lows, axis=0), np.max(highs, axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def rotation(angle: float) -> NDArray[np.float64]:
    """Return the matrix (2, 2) that turns points by `angle` radians."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def points(*pairs: tuple[float, float]) -> Points:
    """Return points (n, 2) from pairs."""
    return np.array(pairs, dtype=np.float64)


def ellipse(x: float, y: float, rx: float, ry: float, *, turn: float = 0.0) -> Points:
    """Return the closed outline of an ellipse, (48, 2)."""
    angles = np.linspace(0.0, 2 * np.pi, 48, endpoint=False)
    ring = np.stack([rx * np.cos(angles), ry * np.sin(angles)], axis=1)
    return np.asarray(ring @ rotation(turn).T + np.array([x, y]))


def circle(x: float, y: float, radius: float) -> Points:
    """Return the closed outline of a circle whose last point repeats the first, (49, 2)."""
    ring = ellipse(x, y, radius, radius)
    return np.concatenate([ring, ring[:1]])


def arc(x: float, y: float, rx: float, ry: float, start: float, stop: float) -> Points:
    """Return an elliptic arc from angle `start` to `stop`, (25, 2)."""
    angles = np.linspace(start, stop, 25)
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1)


def rectangle(left: float, top: float, right: float, bottom: float) -> Points:
    """Return the closed outline of a box; the last corner repeats the first, (5, 2)."""
    return points((left, top), (right, top), (right, bottom), (left, bottom), (left, top))


def polar(angles: Points, radii: Points) -> Points:
    """Return points (n, 2) at the given angles and distances from the origin."""
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def smooth(corners: Points, *, closed: bool, steps: int = 8) -> Points:
    """Return a Catmull-Rom curve through the corners, `steps` points per span."""
    if closed:
        padded = np.concatenate([corners[-1:], corners, corners[:2]])
    else:
        first, last = 2 * corners[:1] - corners[1:2], 2 * corners[-1:] - corners[-2:-1]
        padded = np.concatenate([first, corners, last])
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (padded[i : len(padded) - 3 + i, None, :] for i in range(4))
    curve = 0.5 * (
        2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
        + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )  # fmt: skip
    flat = curve.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, corners[-1:]])


def limb(spine: Points, widths: Iterable[float]) -> Points:
    """Return the closed outline round a smooth spine whose width varies along it."""
    curve = smooth(spine, closed=False)
    known = np.asarray(list(widths), dtype=np.float64)
    halves = 0.5 * np.interp(np.linspace(0, 1, len(curve)), np.linspace(0, 1, len(known)), known)
    direction = np.gradient(curve, axis=0)
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1) * halves[:, None]
    return np.concatenate([curve + normal, (curve - normal)[::-1]])


OVERSAMPLING = 3
_SHIFT = 4

Plane = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Layer:
    """An object's coverage on a window of the picture."""

    parts: tuple[Plane, ...]
    """Coverage 0..255 of each part, each (h, w); later parts lie on top."""
    coverage: Plane
    """Coverage of the whole object, (h, w)."""
    top: int
    """First row of the window in the picture."""
    left: int
    """First column of the window in the picture."""

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
