"""Dichotomous objects: what makes them hard is what they enclose."""

import pytest

from pasam.synthetic.dichotomous import SHAPES, gate, ladder, wheel


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("held_out", [False, True])
def test_every_object_encloses_ground_or_spans_gaps(shape, held_out, solid, holes):
    masks = [solid(shape, seed, held_out=held_out) for seed in range(3)]
    assert max(holes(mask) for mask in masks) >= 2


@pytest.mark.parametrize(("shape", "fewest"), [(wheel, 3), (ladder, 2), (gate, 4)])
def test_spokes_rungs_and_bars_divide_the_inside(shape, fewest, solid, holes):
    assert min(holes(solid(shape, seed)) for seed in range(4)) >= fewest


def test_two_wheels_differ_in_what_they_enclose(solid, holes):
    assert len({holes(solid(wheel, seed)) for seed in range(8)}) > 1
