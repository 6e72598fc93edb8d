"""Charts as SVG markup that takes its colours and fonts from the page round it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from pasam.reporting.blocks import ForestPlot, ForestRow, Key
from pasam.reporting.style import MINUS, OTHERS, gain_words, label, verdict_text

WIDTH, HEIGHT = 360.0, 236.0
"""View box of a chart: a phone's width, so that its letters stay readable there."""
LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 14.0, 44.0

LABELLED_TICK = 34.0
"""Least distance between two labels along an axis."""

MODEL_SHAPES = {
    "oracle": "triangle",
    "sam": "square",
    "hq_sam": "diamond",
    "pa_sam": "circle",
    "pa_sam_plus": "triangle",
}
_OTHER_SHAPES = ("circle", "square", "diamond", "triangle")

_DODGE = 0.56  # Fraction of a category's width over which its series are spread.
_LETTER = 6.2  # Width of a label's letter.
_NAME_ROWS = (15.0, 27.0, 39.0)  # Heights of categories' names below the axis.
_MOST_MARKED = 24  # Points; those of denser curves show under the pointer only.

_ROW_WIDTH, _ROW_HEIGHT, _ROW_MARGIN = 260.0, 22.0, 8.0


def element(name: str, *children: Markup, **attributes: object) -> Markup:
    """Write one element; numbers get one decimal at most.

    In the names of attributes, `_` at the end is dropped and any other becomes `-`, so that
    `class_` and `text_anchor` can be written.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        shown = number(value) if isinstance(value, float) else str(value)
        parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(shown)}"')
    opening = " ".join(parts)
    if not children:
        return Markup(f"{opening}/>")
    return Markup(f"{opening}>{''.join(children)}</{name}>")


def text(words: str, x: float, y: float, *, anchor: str = "start", class_: str = "") -> Markup:
    """Write a text at a place."""
    more = {"class_": class_} if class_ else {}
    return element("text", escape(words), x=x, y=y, text_anchor=anchor, **more)


def path(points: list[tuple[float, float]], *, close: bool = False) -> str:
    """Write a polyline as path data."""
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points) + ("Z" if close else "")


def number(value: float) -> str:
    """Write a coordinate with one decimal at most, and never as -0."""
    rounded = round(float(value), 1) + 0.0
    return f"{rounded:.0f}" if rounded == int(rounded) else f"{rounded:.1f}"


@dataclass(frozen=True, slots=True)
class Series:
    """Points that belong together."""

    key: Key
    """As the legend shows it."""
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    """Ends of the intervals, or nothing."""

    @property
    def extent(self) -> list[float]:
        """Every value that has to fit on the upright axis."""
        return [*self.y, *self.low, *self.high]


def series_of(key: Key, table: pd.DataFrame, *columns: str, x: str | None = None) -> Series:
    """Make a series of a table's columns: values and, if named, both ends of their intervals.

    Places along the level axis are in column `x`, or else 0, 1, ... in the table's order.
    """
    places = list(range(len(table))) if x is None else table[x].tolist()
    return Series(key, places, *(table[column].tolist() for column in columns))


def model_key(model: str, *, among: Sequence[str] = (), name: str | None = None) -> Key:
    """Make a model's entry of a legend; known models look alike in every chart.

    Unknown ones differ from each other by their place `among` all models of the chart.
    """
    unknown = [other for other in among if other not in MODEL_SHAPES]
    place = unknown.index(model) if model in unknown else 0
    known = model in MODEL_SHAPES
    return Key(
        name=name or label(model),
        colour=f"var(--model-{model.replace('_', '-')})" if known else other_colour(place),
        shape=MODEL_SHAPES.get(model, _OTHER_SHAPES[place % len(_OTHER_SHAPES)]),
    )


def other_colour(place: int) -> str:
    """Name the page's colour of a series that is no model of Table 1."""
    return f"var(--other-{place % len(OTHERS)})"


def legend(models: Sequence[str]) -> tuple[Key, ...]:
    """One entry per model."""
    return tuple(model_key(model, among=models) for model in models)


def marker(shape: str, x: float, y: float, words: str) -> Markup:
    """Draw a point whose value shows under the pointer."""
    title = element("title", escape(words))
    if shape == "circle":
        return element("circle", title, cx=x, cy=y, r=4.0)
    if shape == "square":
        return element("rect", title, x=x - 3.6, y=y - 3.6, width=7.2, height=7.2)
    corners = {
        "diamond": [(x, y - 5), (x + 5, y), (x, y + 5), (x - 5, y)],
        "triangle": [(x, y - 4.8), (x + 4.6, y + 3.6), (x - 4.6, y + 3.6)],
    }[shape]
    return element("path", title, d=path(corners, close=True))


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
        fraction = (value - self.low) / (self.high - self.low)
        return self.start + fraction * (self.stop - self.start)


def ticks(low: float, high: float) -> list[float]:
    """Choose about five round values, from below `low` to above `high`.

    Their step is 1, 2 or 5 times a power of ten.
    """
    if not low < high:
        low, high = low - 0.5, low + 0.5
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) + 0.0 for i in range(first, last + 1)]


def value_scale(values: Sequence[float], *, zero: bool = False) -> tuple[Scale, list[float]]:
    """Make the upright scale that holds all values, and zero if asked for, and its ticks."""
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
    upright = element(
        "text", escape(y_label), x=11.0, y=middle, text_anchor="middle", class_="name",
        transform=f"rotate(-90 11 {middle:g})",
    )  # fmt: skip
    centre = (LEFT + WIDTH - RIGHT) / 2
    return [*drawn, upright, text(x_label, centre, HEIGHT - 6, anchor="middle", class_="name")]


def chart(drawn: Sequence[Markup], *, title: str) -> Markup:
    """Put marks into an SVG that screen readers announce by its title."""
    return element(
        "svg", element("title", escape(title)), *drawn,
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", role="img", class_="chart",
    )  # fmt: skip


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
        categories: Names below the axis; those that would touch are set in up to three rows.
        title: What it shows, for screen readers.
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
    ends = [0.0] * len(_NAME_ROWS)  # of the last name in each row
    for place, name in enumerate(categories):
        half = len(name) * _LETTER / 2
        middle = min(max(LEFT + (place + 0.5) * step, half), WIDTH - half)  # within the chart
        free = [row for row, end in enumerate(ends) if end <= middle - half]
        row = free[0] if free else ends.index(min(ends))
        ends[row] = middle + half
        drawn.append(text(name, middle, HEIGHT - BOTTOM + _NAME_ROWS[row], anchor="middle"))
    for number, one in enumerate(series):
        shift = 0.0 if len(series) == 1 else _DODGE * (number / (len(series) - 1) - 0.5)
        drawn.append(_dots(one, categories, scale, step, shift))
    return chart(drawn, title=title)


def _dots(
    one: Series, categories: Sequence[str], scale: Scale, step: float, shift: float
) -> Markup:
    drawn = []
    for i, (category, value) in enumerate(zip(one.x, one.y, strict=True)):
        x, y = LEFT + (category + 0.5 + shift) * step, scale(value)
        words = f"{one.key.name}, {categories[int(category)]}: {value:.1f}"
        if one.low:
            low, high = one.low[i], one.high[i]
            words += f" [{low:.1f}, {high:.1f}]"
            drawn.append(element("line", x1=x, x2=x, y1=scale(low), y2=scale(high), class_="bar"))
        drawn.append(marker(one.key.shape, x, y, words))
    return element("g", *drawn, class_="series", style=f"--c:{one.key.colour}")


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

    The arguments are those of `dot_chart`, but for `names`: words for the places 0, 1, ... of the
    level axis in place of their numbers.
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
    return chart(drawn, title=title)


def _curve(one: Series, across: Scale, scale: Scale) -> Markup:
    points = [(across(x), scale(y)) for x, y in zip(one.x, one.y, strict=True)]
    drawn = []
    if one.low:
        above = [(across(x), scale(y)) for x, y in zip(one.x, one.high, strict=True)]
        below = [(across(x), scale(y)) for x, y in zip(one.x, one.low, strict=True)]
        drawn.append(element("path", d=path(above + below[::-1], close=True), class_="band"))
    drawn.append(element("path", d=path(points), class_="curve"))
    is_dense = len(points) > _MOST_MARKED
    for i, (x, y) in enumerate(points):
        words = f"{one.key.name}, {tick_text(one.x[i])}: {one.y[i]:.3g}"
        if is_dense:
            title = element("title", escape(words))
            drawn.append(element("circle", title, cx=x, cy=y, r=3.0, class_="hit"))
        else:
            drawn.append(marker(one.key.shape, x, y, words))
    return element("g", *drawn, class_="series", style=f"--c:{one.key.colour}")


def forest_plot(
    lines: Iterable[tuple[str, str, Mapping[Any, Any], str]],
    *,
    heading: str,
    caption: str,
    scaled: Iterable[Mapping[Any, Any]] | None = None,
) -> ForestPlot:
    """Draw differences with their intervals under each other, on one scale that holds zero.

    Args:
        lines: Name, note, row of `summary.compare`, and colour of each.
        heading: Above them.
        caption: Below them.
        scaled: Rows that the scale has to hold; the lines' own by default.
    """
    drawn = list(lines)
    held = [row for _, _, row, _ in drawn] if scaled is None else list(scaled)
    scale = forest_scale([row[end] for row in held for end in ("low", "high")])
    rows = [
        ForestRow(
            name=name, note=note, interval=interval_mark(scale, row, colour=colour),
            value=gain_words(row), verdict=verdict_text(row),
        )
        for name, note, row, colour in drawn
    ]  # fmt: skip
    return ForestPlot(heading=heading, rows=tuple(rows), caption=caption)


def forest_scale(values: Sequence[float]) -> Scale:
    """Make the level scale of a forest plot; zero is always on it."""
    marks = ticks(min([*values, 0.0]), max([*values, 0.0]))
    return Scale(marks[0], marks[-1], _ROW_MARGIN, _ROW_WIDTH - _ROW_MARGIN)


def interval_mark(scale: Scale, row: Mapping[Any, Any], *, colour: str) -> Markup:
    """Draw a difference with its interval against zero; the text beside says it in numbers."""
    middle, zero = _ROW_HEIGHT / 2, scale(0.0)
    mean, low, high = (row[name] for name in ("difference", "low", "high"))
    bar = element("line", x1=scale(low), x2=scale(high), y1=middle, y2=middle, class_="bar")
    dot = marker("circle", scale(mean), middle, f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]")
    return element(
        "svg",
        element("line", x1=zero, x2=zero, y1=0.0, y2=_ROW_HEIGHT, class_="zero"),
        element("g", bar, dot, class_="series", style=f"--c:{colour}"),
        viewBox=f"0 0 {_ROW_WIDTH:g} {_ROW_HEIGHT:g}", class_="chart interval", aria_hidden="true",
    )  # fmt: skip
