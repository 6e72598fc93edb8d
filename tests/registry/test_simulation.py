"""The gate's error rate is at most the stated one, and it finds what is better."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from pasam.config.schema import GateParams
from pasam.registry.gate import draw_deltas, passes, simulate

IMAGES = {"dis": 50, "coift": 50, "hrsod": 50, "thin": 50}


@pytest.fixture(scope="module")
def params(root):
    content = yaml.safe_load((root / "params" / "default.yaml").read_text())["gate"]
    return GateParams(**{**content, "n_resamples": 1000})


def test_over_1000_pairs_errors_stay_within_the_stated_rate_and_gains_are_found(params):
    equal, worse, harmful, better = simulate(params, IMAGES, spread=6.0, pairs=1000)
    stated = 1 - params.confidence
    assert equal.promoted <= stated
    assert worse.promoted <= stated
    assert harmful.promoted <= stated
    assert better.promoted >= 0.9
    assert all(row.holds for row in (equal, worse, harmful, better))


def test_few_images_do_not_raise_the_error_rate(params):
    few = dict.fromkeys(IMAGES, 12)
    equal, _, harmful, better = simulate(params, few, spread=6.0, pairs=1000)
    assert max(equal.promoted, harmful.promoted) <= 1 - params.confidence
    assert not better.holds  # what is too little to be found is said


def test_differences_have_the_stated_mean_and_spread():
    deltas = draw_deltas({"dis": 1.5}, {"dis": 400}, spread=6.0, pairs=200, seed=0)["dis"]
    assert deltas.shape == (400, 200)
    assert deltas.mean() == pytest.approx(1.5, abs=0.1)
    assert deltas.std() == pytest.approx(6.0, rel=0.05)


def test_all_bounds_have_to_hold_at_once(params):
    good, bad = np.full((50, 1), 5.0), np.full((50, 1), -3.0)
    assert passes({"a": good, "b": good}, params).all()
    assert not passes({"a": good, "b": bad}, params).any()
