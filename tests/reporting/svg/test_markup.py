"""Tests of SVG as text."""

import pytest

from pasam.reporting.svg import element, number, path, text


def test_elements_are_escaped_and_attributes_keep_their_order():
    made = element("g", text("a < b", 1.0, 2.04), class_="x", data_name='"')
    assert made == (
        '<g class="x" data-name="&#34;"><text x="1" y="2" text-anchor="start">a &lt; b</text></g>'
    )
    assert element("line", x1=1.25) == '<line x1="1.2"/>'


def test_a_path_goes_through_its_points_and_closes():
    assert path([(0, 0), (1.5, 2)], close=True) == "M0 0L1.5 2Z"


@pytest.mark.parametrize(("value", "words"), [(-0.01, "0"), (12.0, "12"), (0.25, "0.2")])
def test_numbers_are_short_and_never_minus_nothing(value, words):
    assert number(value) == words
