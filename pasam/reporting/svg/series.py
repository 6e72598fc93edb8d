"""One model's or variant's points in a chart: values, intervals, colour and shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from pasam.reporting.names import label
from pasam.reporting.palette import MODELS
from pasam.reporting.svg.markup import element, path

SHAPES = {
    "oracle": "triangle",
    "sam": "square",
    "hq_sam": "diamond",
    "pa_sam": "circle",
    "pa_sam_plus": "triangle",
}
_OTHER_SHAPES = ("circle", "square", "diamond", "triangle")
OTHER_COLOURS = 4
"""How many colours the page holds for series that are no model of Table 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Points that belong together."""

    name: str
    """As the legend calls it."""
    colour: str
    """A CSS colour; usually a variable of the page, so that it fits the theme."""
    shape: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    """Ends of the intervals, or nothing."""

    @property
    def extent(self) -> list[float]:
        """Every value that has to fit on the upright axis."""
        return [*self.y, *self.low, *self.high]


def model_series(
    model: str,
    x: Sequence[float],
    y: Sequence[float],
    low: Sequence[float] = (),
    high: Sequence[float] = (),
    *,
    others: Sequence[str] = (),
    name: str | None = None,
) -> Series:
    """Make the series of a model; known models keep their colour and shape in every chart.

    Args:
        model: Key of the model.
        x: Places along the level axis.
        y: Values.
        low: Lower ends of the intervals.
        high: Upper ends of the intervals.
        others: All keys of the chart that are no known model, so that they differ from each other.
        name: Words of the legend; by default the model's name.
    """
    place = list(others).index(model) if model in others else 0
    known = model in MODELS
    return Series(
        name=label(model) if name is None else name,
        colour=model_colour(model) if known else f"var(--other-{place % OTHER_COLOURS})",
        shape=SHAPES[model] if known else _OTHER_SHAPES[place % len(_OTHER_SHAPES)],
        x=tuple(map(float, x)),
        y=tuple(map(float, y)),
        low=tuple(map(float, low)),
        high=tuple(map(float, high)),
    )


def model_colour(model: str) -> str:
    """Name the page's colour of a known model."""
    return f"var(--model-{model.replace('_', '-')})"


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
