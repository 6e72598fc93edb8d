"""Tests of the width of objects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasam.evaluation.scores import mean_width


@pytest.mark.parametrize("width", [6, 12, 24])
def test_a_long_strip_has_its_own_width(width):
    mask = np.zeros((300, 400), np.bool_)
    mask[20:280, 100 : 100 + width] = True
    assert mean_width(mask) * 500 == pytest.approx(width, rel=0.12)


def test_a_wire_is_thinner_than_a_disk():
    rows, columns = np.mgrid[:100, :100]
    disk = (rows - 50) ** 2 + (columns - 50) ** 2 < 30**2
    wire = np.zeros((100, 100), np.bool_)
    wire[50:53, 10:90] = True
    assert mean_width(wire) < mean_width(disk) / 5


def test_nothing_has_no_width_and_a_full_image_is_bounded_by_its_rim():
    assert mean_width(np.zeros((8, 8), np.bool_)) == 0.0
    assert mean_width(np.ones((100, 100), np.bool_)) < 1.0


@given(st.integers(1, 12), st.integers(1, 12))
def test_turning_an_object_leaves_its_width(height, width):
    mask = np.zeros((40, 40), np.bool_)
    mask[10 : 10 + height, 12 : 12 + width] = True
    assert mean_width(mask.T) == pytest.approx(mean_width(mask))
