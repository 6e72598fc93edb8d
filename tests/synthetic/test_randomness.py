"""Draws: the same stream for the same entropy, and a split that training never crosses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasam.errors import DataError
from pasam.synthetic.randomness import HELD_OUT_SLOTS, SLOTS, Draws

seeds = st.integers(0, 2**32)


@given(seeds)
def test_the_same_entropy_gives_the_same_stream(seed):
    one, two = Draws(seed, 3, held_out=False), Draws(seed, 3, held_out=False)
    assert one.free(0, 1) == two.free(0, 1)
    assert np.array_equal(one.levels(0, 255, (4, 4)), two.levels(0, 255, (4, 4)))


@given(seeds)
def test_real_shape_values_lie_in_the_slots_of_their_side_of_the_split(seed):
    for held_out in (False, True):
        value = Draws(seed, held_out=held_out).shape(10.0, 18.0)
        assert 10.0 <= value < 18.0
        slot = int((value - 10.0) / 8.0 * SLOTS)
        assert (slot in HELD_OUT_SLOTS) == held_out


@given(seeds, st.integers(0, 20), st.integers(0, 20))
def test_whole_shape_values_of_both_sides_never_coincide(seed, low, extra):
    training = Draws(seed, held_out=False).whole(low, low + extra)
    held_out = Draws(seed, held_out=True).whole(low, low + extra)
    assert training % 3 != 2
    assert held_out % 3 == 2
    assert low <= min(training, held_out)
    assert max(training, held_out) <= max(low + extra, low + 2)


@given(seeds, st.integers(1, 9))
def test_an_index_stays_inside_its_range(seed, count):
    assert 0 <= Draws(seed, held_out=False).index(count) < count


def test_a_negative_seed_is_refused_with_its_value():
    with pytest.raises(DataError, match="-4"):
        Draws(-4, held_out=False)
