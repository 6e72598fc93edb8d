"""Tests of per cent and points."""

import math

import pytest

from pasam.reporting.style import percent, points


@pytest.mark.parametrize(
    ("share", "shown"), [(0.123456789, 12.3457), (-0.2, 0.0), (math.inf, 100.0), (1.0, 100.0)]
)
def test_shares_are_per_cent_between_nothing_and_everything(share, shown):
    assert percent(share) == shown


@pytest.mark.parametrize(
    ("difference", "shown"), [(-0.5, -50.0), (-math.inf, -100.0), (math.inf, 100.0), (-1e-9, 0.0)]
)
def test_differences_are_points_that_cannot_leave_the_scale(difference, shown):
    assert points(difference) == shown
    assert math.copysign(1, points(-1e-9)) == 1


def test_what_is_unknown_stays_unknown():
    assert math.isnan(points(math.nan))
    assert math.isnan(percent(math.nan))
