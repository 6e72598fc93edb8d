"""Tests of Holm's correction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasam.errors import DataError
from pasam.evaluation.statistics import holm

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def test_the_smallest_is_held_against_all_and_the_largest_against_itself():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@given(p_values)
def test_adjusting_never_makes_a_finding_stronger_and_keeps_its_order(values):
    adjusted = holm(values)
    assert all(p <= a <= 1 for p, a in zip(values, adjusted, strict=True))
    ranked = [a for _, a in sorted(zip(values, adjusted, strict=True))]
    assert ranked == sorted(ranked)


@given(p_values, st.randoms())
def test_a_row_gets_the_same_value_wherever_it_stands(values, random):
    places = list(range(len(values)))
    random.shuffle(places)
    shuffled = holm([values[place] for place in places])
    straight = holm(values)
    assert shuffled == pytest.approx([straight[place] for place in places])


def test_a_table_of_one_row_needs_no_correction_and_an_empty_one_is_fine():
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_a_value_that_is_no_probability_is_refused():
    with pytest.raises(DataError, match=r"\[0, 1\]; got \[1.2\]"):
        holm([0.5, 1.2])
