"""Dots with their intervals over categories."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from pasam.reporting.svg.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    frame,
    picture,
    value_scale,
)
from pasam.reporting.svg.markup import element, text
from pasam.reporting.svg.series import Series, marker

_SPREAD = 0.56
_LETTER = 6.2  # Width of a label's letter.


def dot_chart(
    series: Sequence[Series],
    categories: Sequence[str],
    *,
    title: str,
    y_label: str,
    x_label: str = "",
    zero: bool = False,
    shaded: int | None = None,
) -> Markup:
    """Draw one dot and interval per series and category.

    Args:
        series: Their `x` are numbers of categories.
        categories: Names below the axis; long ones are set in two heights.
        title: What the chart shows, for screen readers.
        y_label: Name and unit of the values.
        x_label: Name of the categories.
        zero: Whether zero has to be on the scale.
        shaded: Category that stands apart, such as the mean.
    """
    scale, marks = value_scale([v for one in series for v in one.extent], zero=zero)
    step = (WIDTH - LEFT - RIGHT) / len(categories)
    drawn: list[Markup] = []
    if shaded is not None:
        drawn.append(
            element(
                "rect", x=LEFT + shaded * step, y=TOP - 6, width=step,
                height=HEIGHT - TOP - BOTTOM + 12, class_="shade",
            )
        )  # fmt: skip
    drawn += frame(scale, marks, x_label=x_label, y_label=y_label)
    crowded = max(map(len, categories)) * _LETTER > step
    for place, name in enumerate(categories):
        y = HEIGHT - BOTTOM + (15 if not crowded or place % 2 == 0 else 27)
        drawn.append(text(name, LEFT + (place + 0.5) * step, y, anchor="middle"))
    for number, one in enumerate(series):
        shift = 0.0 if len(series) == 1 else _SPREAD * (number / (len(series) - 1) - 0.5)
        drawn.append(_dots(one, categories, scale, step, shift))
    return picture(drawn, title=title)


def _dots(
    one: Series, categories: Sequence[str], scale: Scale, step: float, shift: float
) -> Markup:
    drawn = []
    for i, (category, value) in enumerate(zip(one.x, one.y, strict=True)):
        x, y = LEFT + (category + 0.5 + shift) * step, scale(value)
        words = f"{one.name}, {categories[int(category)]}: {value:.1f}"
        if one.low:
            low, high = one.low[i], one.high[i]
            words += f" [{low:.1f}, {high:.1f}]"
            drawn.append(element("line", x1=x, x2=x, y1=scale(low), y2=scale(high), class_="bar"))
        drawn.append(marker(one.shape, x, y, words))
    return element("g", *drawn, class_="series", style=f"--c:{one.colour}")
