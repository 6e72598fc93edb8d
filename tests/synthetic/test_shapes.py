"""Objects of the simple family: solid, with a smooth but varied outline."""

import numpy as np
import pytest

from pasam.data.manifest import complexity
from pasam.synthetic import dichotomous, thin
from pasam.synthetic.dichotomous import gate, ladder, wheel
from pasam.synthetic.rims import FRAYED, SMOOTH, blob
from pasam.synthetic.thin import cable, comb


@pytest.mark.parametrize("shape", SMOOTH, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("held_out", [False, True])
def test_every_object_is_mostly_body(shape, held_out, solid, kept):
    shares = [kept(solid(shape, seed, held_out=held_out), 9) for seed in range(3)]
    assert np.mean(shares) > 0.6


def test_a_blob_is_whole(solid, holes):
    assert all(holes(solid(blob, seed)) == 0 for seed in range(5))


def test_no_two_blobs_are_alike(solid):
    assert len({solid(blob, seed).tobytes() for seed in range(5)}) == 5


@pytest.mark.parametrize("shape", FRAYED, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("held_out", [False, True])
def test_strands_vanish_under_an_opening_and_the_body_stays(shape, held_out, solid, kept):
    shares = [kept(solid(shape, seed, held_out=held_out), 9) for seed in range(3)]
    assert 0.2 < np.mean(shares) < 0.995


@pytest.mark.parametrize("shape", FRAYED, ids=lambda shape: shape.__name__)
def test_a_rim_is_more_complex_than_a_smooth_outline(shape, solid):
    smooth = np.mean([complexity(255 * solid(blob, seed)) for seed in range(3)])
    assert np.mean([complexity(255 * solid(shape, seed)) for seed in range(3)]) > 1.5 * smooth


@pytest.mark.parametrize("shape", thin.SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("held_out", [False, True])
def test_most_of_every_object_vanishes_under_an_opening(shape, held_out, solid, kept):
    shares = [kept(solid(shape, seed, held_out=held_out), 17) for seed in range(3)]
    assert np.mean(shares) < 0.5


@pytest.mark.parametrize("shape", thin.SHAPES, ids=lambda shape: shape.__name__)
def test_no_stroke_is_too_fine_to_be_seen(shape, solid, kept):
    assert np.mean([kept(solid(shape, seed), 2) for seed in range(3)]) > 0.9


def test_seeds_give_different_cables_and_combs(solid):
    for shape in (cable, comb):
        assert len({solid(shape, seed).tobytes() for seed in range(4)}) == 4


@pytest.mark.parametrize("shape", dichotomous.SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("held_out", [False, True])
def test_every_object_encloses_ground_or_spans_gaps(shape, held_out, solid, holes):
    masks = [solid(shape, seed, held_out=held_out) for seed in range(3)]
    assert max(holes(mask) for mask in masks) >= 2


@pytest.mark.parametrize(("shape", "fewest"), [(wheel, 3), (ladder, 2), (gate, 4)])
def test_spokes_rungs_and_bars_divide_the_inside(shape, fewest, solid, holes):
    assert min(holes(solid(shape, seed)) for seed in range(4)) >= fewest


def test_two_wheels_differ_in_what_they_enclose(solid, holes):
    assert len({holes(solid(wheel, seed)) for seed in range(8)}) > 1
