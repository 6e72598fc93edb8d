"""Tests of intervals as strips."""

from xml.etree import ElementTree

from pasam.reporting.svg import strip, strip_scale


def test_strips_share_a_scale_that_holds_zero():
    scale = strip_scale([3.0, 9.0])
    assert scale.low <= 0
    assert scale.high >= 9


def test_a_strip_shows_zero_the_interval_and_the_mean():
    scale = strip_scale([-1.0, 2.0])
    drawn = ElementTree.fromstring(strip(scale, 1.0, 0.5, 2.0, colour="red"))
    zero = drawn.find("line[@class='zero']")
    bar = drawn.find(".//line[@class='bar']")
    dot = drawn.find(".//circle")
    assert float(zero.get("x1")) < float(bar.get("x1")) < float(dot.get("cx"))
    assert drawn.get("aria-hidden") == "true"  # the row's text says the same
