"""Rasterising: coverage is as large as geometry says and soft only at edges."""

import numpy as np
import pytest

from pasam.synthetic.strokes import Drawing, circle, points, rasterise


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
