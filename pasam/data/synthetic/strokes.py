"""Drawings as lists of strokes and filled outlines, and the curves they are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
