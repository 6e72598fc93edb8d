"""Drawings and curves: bounds that hold all ink, widths that never get too thin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasam.synthetic.strokes import (
    THINNEST,
    THINNEST_HAIR,
    Drawing,
    circle,
    ellipse,
    limb,
    points,
    smooth,
)


@given(st.floats(0.0, 9.0))
def test_lines_are_never_thinner_than_the_least_width(width):
    drawing = Drawing()
    drawing.line(points((0, 0), (5, 5)), width=width)
    assert drawing.marks[0].width >= max(width, THINNEST)


def test_hair_is_thickest_at_the_root_and_never_too_thin():
    drawing = Drawing()
    drawing.hair([points((0, 0), (1, 0), (2, 0), (3, 0))], width=3.0)
    strand, root = drawing.marks
    assert root.width > strand.width >= THINNEST_HAIR
    assert len(root.lines[0]) < len(strand.lines[0])


@given(st.floats(-3.0, 3.0), st.booleans())
def test_turning_keeps_a_centred_circle_where_it_is(angle, mirrored):
    drawing = Drawing()
    drawing.fill(circle(0, 0, 10))
    turned = drawing.turned(angle=angle, mirrored=mirrored, stretch=1.0)
    assert turned.bounds() == pytest.approx((-10, -10, 10, 10), abs=0.05)


def test_bounds_count_half_the_stroke_width_and_ignore_cuts():
    drawing = Drawing()
    drawing.line(points((0, 0), (10, 0)), width=4.0)
    drawing.cut(circle(0, 0, 100))
    assert drawing.bounds() == (-2.0, -2.0, 12.0, 2.0)


def test_a_smooth_curve_passes_through_its_corners():
    corners = points((0, 0), (4, 3), (9, -2))
    curve = smooth(corners, closed=False, steps=5)
    assert np.allclose(curve[[0, 5, 10]], corners)


def test_a_limb_is_as_wide_as_asked():
    outline = limb(points((0, 0), (10, 0)), (4.0, 4.0))
    assert np.ptp(outline[:, 1]) == pytest.approx(4.0)


def test_a_turned_ellipse_swaps_its_axes():
    assert np.ptp(ellipse(0, 0, 4, 2, turn=np.pi / 2), axis=0) == pytest.approx((4, 8))
