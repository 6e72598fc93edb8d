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
    rasterise,
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


def _disc(x=128.0, y=128.0, radius=50.0):
    drawing = Drawing()
    drawing.fill(circle(x, y, radius))
    return drawing


@pytest.mark.parametrize("side", [64, 128, 256])
def test_a_disc_covers_its_area_at_every_size(side):
    layer = rasterise(_disc(), side=side, height=side, width=side)
    assert layer.coverage.sum() / 255 == pytest.approx(np.pi * (50 * side / 256) ** 2, rel=0.025)


def test_a_line_covers_its_length_times_its_width():
    drawing = Drawing()
    drawing.line(points((20, 100), (220, 100)), width=5.0)
    layer = rasterise(drawing, side=256, height=256, width=256)
    assert layer.coverage[:, 100].sum() / 255 == pytest.approx(5.0, abs=0.5)


def test_edges_are_soft_and_the_inside_is_solid():
    layer = rasterise(_disc(), side=256, height=256, width=256)
    assert ((layer.coverage > 0) & (layer.coverage < 255)).any()
    middle = layer.coverage.shape[0] // 2
    assert layer.coverage[middle, middle] == 255


def test_cuts_go_through_all_parts():
    drawing = _disc()
    drawing.fill(circle(128, 128, 30), part=1)
    drawing.cut(circle(128, 128, 10))
    layer = rasterise(drawing, side=256, height=256, width=256)
    centre = 128 - layer.top, 128 - layer.left
    assert len(layer.parts) == 2
    assert all(part[centre] == 0 for part in (*layer.parts, layer.coverage))


def test_what_juts_out_of_the_picture_is_clipped():
    layer = rasterise(_disc(x=0.0), side=256, height=256, width=200)
    assert layer.left == 0
    assert layer.coverage.sum() / 255 == pytest.approx(np.pi * 50**2 / 2, rel=0.02)
    assert np.zeros((256, 200))[layer.window].shape == layer.coverage.shape
