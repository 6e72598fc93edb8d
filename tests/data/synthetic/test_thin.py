"""Thin objects: little of them is wider than a few pixels."""

import numpy as np
import pytest

from pasam.synthetic.thin import SHAPES, cable, comb


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("held_out", [False, True])
def test_most_of_every_object_vanishes_under_an_opening(shape, held_out, solid, kept):
    shares = [kept(solid(shape, seed, held_out=held_out), 17) for seed in range(3)]
    assert np.mean(shares) < 0.5


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_no_stroke_is_too_fine_to_be_seen(shape, solid, kept):
    assert np.mean([kept(solid(shape, seed), 2) for seed in range(3)]) > 0.9


def test_seeds_give_different_cables_and_combs(solid):
    for shape in (cable, comb):
        assert len({solid(shape, seed).tobytes() for seed in range(4)}) == 4
