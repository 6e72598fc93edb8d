"""Scales with round ticks, and the frame that charts share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from pasam.reporting.grid import MINUS
from pasam.reporting.svg.markup import element, text

WIDTH, HEIGHT = 360.0, 236.0
"""View box of a chart: a phone's width, so that its letters stay readable there."""
LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 14.0, 44.0

LABELLED_TICK = 34.0
"""Least distance between two labels along an axis."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from values to coordinates."""

    low: float
    high: float
    start: float
    """Coordinate of `low`."""
    stop: float
    """Coordinate of `high`."""

    def __call__(self, value: float) -> float:
        """Place a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)


def ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """Choose round values (1, 2 or 5 times a power of ten) from below `low` to above `high`."""
    if not low < high:
        low, high = low - 0.5, low + 0.5
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) + 0.0 for i in range(first, last + 1)]


def value_scale(values: Sequence[float], *, zero: bool = False) -> tuple[Scale, list[float]]:
    """Make the upright scale that holds all values, and its ticks.

    Args:
        values: What has to fit.
        zero: Whether zero has to be on the scale.
    """
    fitting = [*values, 0.0] if zero else list(values)
    marks = ticks(min(fitting), max(fitting))
    return Scale(marks[0], marks[-1], HEIGHT - BOTTOM, TOP), marks


def tick_text(value: float) -> str:
    """Write a tick's value with a real minus sign."""
    return f"{value:g}".replace("-", MINUS)


def frame(scale: Scale, marks: Sequence[float], *, x_label: str, y_label: str) -> list[Markup]:
    """Draw grid lines, the labels of the upright axis, and both axes' names."""
    drawn = []
    for value in marks:
        y = scale(value)
        heavy = "zero" if value == 0 and marks[0] < 0 else "grid"
        drawn.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_=heavy))
        drawn.append(text(tick_text(value), LEFT - 6, y + 4, anchor="end"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    drawn.append(
        element(
            "text", escape(y_label), x=11.0, y=middle, text_anchor="middle", class_="name",
            transform=f"rotate(-90 11 {middle:g})",
        )
    )  # fmt: skip
    centre = (LEFT + WIDTH - RIGHT) / 2
    drawn.append(text(x_label, centre, HEIGHT - 6, anchor="middle", class_="name"))
    return drawn


def picture(drawn: Sequence[Markup], *, title: str, height: float = HEIGHT) -> Markup:
    """Put marks into an SVG that screen readers announce by its title."""
    return element(
        "svg", element("title", escape(title)), *drawn,
        viewBox=f"0 0 {WIDTH:g} {height:g}", role="img", class_="chart",
    )  # fmt: skip
