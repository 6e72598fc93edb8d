"""Curves with their intervals as bands."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from pasam.reporting.svg.axes import (
    BOTTOM,
    HEIGHT,
    LABELLED_TICK,
    LEFT,
    RIGHT,
    WIDTH,
    Scale,
    frame,
    picture,
    tick_text,
    value_scale,
)
from pasam.reporting.svg.markup import element, path, text
from pasam.reporting.svg.series import Series, marker


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    zero: bool = False,
    names: Sequence[str] | None = None,
) -> Markup:
    """Draw one curve per series, its interval as a band.

    Args:
        series: Curves; points are marked at the places where they were measured.
        title: What the chart shows, for screen readers.
        x_label: Name and unit of the level axis.
        y_label: Name and unit of the values.
        zero: Whether zero has to be on the upright scale.
        names: Words for the places 0, 1, ... in place of their numbers.
    """
    places = sorted({x for one in series for x in one.x})
    width = places[-1] - places[0] or 1.0
    across = Scale(places[0], places[0] + width, LEFT + 10, WIDTH - RIGHT - 12)
    scale, marks = value_scale([v for one in series for v in one.extent], zero=zero)
    drawn = frame(scale, marks, x_label=x_label, y_label=y_label)
    last = -LABELLED_TICK
    for place in places:
        x = across(place)
        if x - last >= LABELLED_TICK:
            words = tick_text(place) if names is None else names[int(place)]
            drawn.append(text(words, x, HEIGHT - BOTTOM + 15, anchor="middle"))
            last = x
    drawn += [_curve(one, across, scale) for one in series]
    return picture(drawn, title=title)


def _curve(one: Series, across: Scale, scale: Scale) -> Markup:
    points = [(across(x), scale(y)) for x, y in zip(one.x, one.y, strict=True)]
    drawn = []
    if one.low:
        above = [(across(x), scale(y)) for x, y in zip(one.x, one.high, strict=True)]
        below = [(across(x), scale(y)) for x, y in zip(one.x, one.low, strict=True)]
        drawn.append(element("path", d=path(above + below[::-1], close=True), class_="band"))
    drawn.append(element("path", d=path(points), class_="curve"))
    marked = points if len(points) <= 24 else []  # Dense curves speak for themselves.
    for i, (x, y) in enumerate(marked):
        words = f"{one.name}, {tick_text(one.x[i])}: {one.y[i]:.3g}"
        drawn.append(marker(one.shape, x, y, words))
    return element("g", *drawn, class_="series", style=f"--c:{one.colour}")
