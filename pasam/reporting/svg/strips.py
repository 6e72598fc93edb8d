"""One interval as a strip for the row of a list; strips of one list share their scale."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from pasam.reporting.svg.axes import Scale, ticks
from pasam.reporting.svg.markup import element
from pasam.reporting.svg.series import marker

WIDTH, HEIGHT = 260.0, 22.0
_MARGIN = 8.0


def strip_scale(values: Sequence[float]) -> Scale:
    """Make the scale of a list of strips; zero is always on it."""
    marks = ticks(min([*values, 0.0]), max([*values, 0.0]))
    return Scale(marks[0], marks[-1], _MARGIN, WIDTH - _MARGIN)


def strip(scale: Scale, mean: float, low: float, high: float, *, colour: str) -> Markup:
    """Draw a mean with its interval against zero; the row's text says the same in numbers."""
    middle, zero = HEIGHT / 2, scale(0.0)
    bar = element("line", x1=scale(low), x2=scale(high), y1=middle, y2=middle, class_="bar")
    words = f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
    dot = marker("circle", scale(mean), middle, words)
    return element(
        "svg",
        element("line", x1=zero, x2=zero, y1=0.0, y2=HEIGHT, class_="zero"),
        element("g", bar, dot, class_="series", style=f"--c:{colour}"),
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", class_="chart strip", aria_hidden="true",
    )  # fmt: skip
