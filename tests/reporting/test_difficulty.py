"""Tests of the measures of fineness and their sentences."""

import pytest
from made_up_run import change_scores

from pasam.reporting.analyses import (
    complexity_measure,
    gains,
    group_names,
    thinness_measure,
    trend_sentence,
)


def by_complexity(factor):
    return lambda rows: factor * rows["complexity"].to_numpy()


def test_the_sentence_follows_the_numbers(make_scores, make_results):
    scores = make_scores(n=12)
    sentences = [
        trend_sentence(results, complexity_measure(results))
        for results in (
            make_results(change_scores(scores, "pa_sam", by_complexity(factor)))
            for factor in (0.01, 0.0, -0.01)
        )
    ]
    assert "larger on the finer ones" in sentences[0]
    assert "no difference between the two is shown" in sentences[1]
    assert "smaller on the finer ones" in sentences[2]


def test_gains_can_be_asked_for_any_model(results):
    measure = complexity_measure(results)
    assert gains(results, measure)["difference"].iloc[0] == pytest.approx(20.0)
    assert gains(results, measure, model="hq_sam")["difference"].iloc[0] == pytest.approx(15.0)


def test_thinner_objects_come_last_and_groups_are_named_by_their_width(make_results):
    results = make_results()
    measure = thinness_measure(results)
    assert set(measure.values.values()) == {-next(iter(results.widths.values()))}
    names = group_names(gains(results, measure), measure)
    width = next(iter(results.widths.values()))
    assert names[0] == f"{width:.0f}\N{EN DASH}{width:.0f}"
