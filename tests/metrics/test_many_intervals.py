"""Many comparisons at once have the intervals that each has alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pasam.errors import DataError
from pasam.evaluation.statistics import interval, lower_ends

SETTINGS = {"n_resamples": 150, "confidence": 0.95, "seed": 3}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 30), st.integers(1, 4))
def test_each_column_has_the_lower_ends_of_the_reports_bootstrap(seed, n, m, pairs):
    generator = np.random.default_rng(seed)
    values = {"dis": generator.normal(0, 5, (n, pairs)), "thin": generator.normal(1, 2, (m, pairs))}
    mean, lows = lower_ends(values, **SETTINGS)
    for column in range(pairs):
        alone = {name: part[:, column] for name, part in values.items()}
        assert mean[column] == pytest.approx(interval(alone, **SETTINGS).low)
        for name, part in alone.items():
            assert lows[name][column] == pytest.approx(interval({name: part}, **SETTINGS).low)


def test_no_difference_at_all_has_an_interval_of_no_width():
    mean, lows = lower_ends({"dis": np.zeros((5, 2))}, **SETTINGS)
    assert mean.tolist() == lows["dis"].tolist() == [0.0, 0.0]


def test_no_benchmark_is_an_error():
    with pytest.raises(DataError, match="no benchmark"):
        lower_ends({}, **SETTINGS)
