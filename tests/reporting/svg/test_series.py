"""Tests of what belongs together in a chart."""

import pytest

from pasam.reporting.svg import marker, model_series


def test_a_known_model_keeps_its_colour_and_shape_in_every_chart():
    a = model_series("pa_sam", [0], [1])
    b = model_series("pa_sam", [0], [1], others=["x", "y"])
    assert (a.colour, a.shape) == (b.colour, b.shape) == ("var(--model-pa-sam)", "circle")
    assert a.name == "PA-SAM"


def test_other_series_differ_from_each_other():
    found = [model_series(name, [0], [1], others=["x", "y"]) for name in ("x", "y")]
    assert found[0].colour != found[1].colour


def test_the_extent_holds_intervals_too():
    one = model_series("sam", [0], [5], [4], [7])
    assert one.extent == [5.0, 4.0, 7.0]


@pytest.mark.parametrize("shape", ["circle", "square", "diamond", "triangle"])
def test_a_marker_tells_its_value(shape):
    assert "<title>SAM: 5.0</title>" in marker(shape, 1, 2, "SAM: 5.0")
