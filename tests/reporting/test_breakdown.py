"""Tests of gains by quantile."""

import numpy as np
import pytest
from made_up_run import change_scores

from pasam.reporting.analyses import gain_by_quantile, hardest_against_easiest

PAIR = {"model": "pa_sam", "against": "sam", "metric": "mbiou"}


@pytest.fixture
def measured(make_scores):
    scores = make_scores(benchmarks=("x",), n=20)
    return scores, {f"x/{k}": float(k) for k in range(20)}


def test_groups_are_equally_large_and_go_from_low_to_high(measured, bootstrap):
    scores, measure = measured
    table = gain_by_quantile(scores, measure, bins=4, bootstrap=bootstrap, **PAIR)
    assert table["n"].tolist() == [5, 5, 5, 5]
    assert table["from"].tolist() == [0, 5, 10, 15]
    assert table["difference"].tolist() == pytest.approx([20.0] * 4)
    assert (table["score"] - table["against_score"]).tolist() == pytest.approx([20.0] * 4)


def test_no_more_groups_than_images(measured, bootstrap):
    scores, measure = measured
    table = gain_by_quantile(scores, measure, bins=50, bootstrap=bootstrap, **PAIR)
    assert len(table) == 20


def test_a_gain_that_grows_with_the_measure_is_found(measured, bootstrap):
    scores, measure = measured
    rising = change_scores(
        scores, "pa_sam", lambda rows: rows["image_id"].map(measure).to_numpy() / 100
    )
    found = hardest_against_easiest(rising, measure, bins=4, bootstrap=bootstrap, **PAIR)
    assert found.mean == pytest.approx(0.15)
    assert found.low > 0


def test_a_gain_that_is_the_same_everywhere_shows_no_trend(measured, bootstrap):
    scores, measure = measured
    noise = np.random.default_rng(0).normal(0, 0.05, 20)
    noisy = change_scores(scores, "pa_sam", lambda rows: noise)
    found = hardest_against_easiest(noisy, measure, bins=2, bootstrap=bootstrap, **PAIR)
    assert found.low < 0 < found.high


def test_a_single_group_has_no_trend(measured, bootstrap):
    scores, measure = measured
    assert hardest_against_easiest(scores, measure, bins=1, bootstrap=bootstrap, **PAIR) is None
