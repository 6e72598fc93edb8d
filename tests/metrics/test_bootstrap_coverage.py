"""Simulated coverage of the bootstrap; the long version is `benchmarks/bootstrap_coverage.py`."""

import pytest

from benchmarks.bootstrap_coverage import SCENARIOS, coverage, false_alarms

# With 400 trials a coverage of 95 % comes out between 92 and 97 % in 99 of 100 simulations.
QUICK = {"trials": 400, "n_resamples": 300, "seed": 1}
FULL = {"trials": 2000, "n_resamples": 1000, "seed": 1}


@pytest.mark.parametrize("name", ["four benchmarks of 60", "four of 60, 3 seeds, alike"])
def test_an_interval_of_95_per_cent_holds_the_truth_in_92_to_97_per_cent(name):
    assert 0.92 <= coverage(SCENARIOS[name], **QUICK) <= 0.97


def test_identical_models_differ_no_more_often_than_the_level_says():
    single, family = false_alarms(rows=4, trials=100, n_resamples=300, seed=2)
    assert single <= 0.1  # 5 % expected; above 10 % in 2 of 100 simulations of 100 trials
    assert family <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SCENARIOS if "seeds" not in name])
def test_every_population_of_images_is_covered(name):
    assert 0.92 <= coverage(SCENARIOS[name], **FULL) <= 0.97
