"""Tests of scales and ticks."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from pasam.reporting.svg import Scale, tick_text, ticks, value_scale

values = st.floats(-1e4, 1e4).map(lambda v: round(v, 3))


@given(values, values)
def test_ticks_are_round_even_few_and_hold_both_ends(a, b):
    low, high = min(a, b), max(a, b)
    marks = ticks(low, high)
    assert marks[0] <= low + 1e-6
    assert high - 1e-6 <= marks[-1]
    assert 2 <= len(marks) <= 12
    steps = [y - x for x, y in itertools.pairwise(marks)]
    assert max(steps) - min(steps) < 1e-6 * max(1, abs(high), abs(low))


def test_ticks_are_ones_twos_and_fives():
    assert ticks(0, 100) == [0, 20, 40, 60, 80, 100]
    assert ticks(-3, 12) == [-5, 0, 5, 10, 15]


def test_a_scale_is_linear_and_goes_both_ways():
    scale = Scale(0, 10, 200, 100)
    assert (scale(0), scale(5), scale(10)) == (200, 150, 100)


def test_zero_is_on_the_scale_when_asked_for():
    assert value_scale([40, 60])[1][0] > 0
    assert value_scale([40, 60], zero=True)[1][0] == 0


def test_ticks_have_a_real_minus_sign():
    assert tick_text(-0.5) == "\N{MINUS SIGN}0.5"
