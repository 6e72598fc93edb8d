"""Tests of what stays of SAM's ability."""

import pytest

from pasam.reporting.analyses import best_benchmark, change_over_reference, kept_sentence


@pytest.fixture
def harmed(make_scores, make_results):
    scores = make_scores()
    best = scores["benchmark"] == "dis_like"
    scores.loc[best & (scores["model"] == "sam"), "boundary_iou"] += 0.4
    return make_results(scores)


def test_the_benchmark_that_sam_does_best_is_found(harmed):
    assert best_benchmark(harmed, "sam") == "dis_like"


def test_it_is_told_apart_from_all_others(harmed):
    table = change_over_reference(harmed, ["pa_sam"]).set_index("benchmark")
    assert table.at["dis_like", "difference"] == pytest.approx(-20)
    assert table.at["mean", "difference"] == pytest.approx(20)
    assert table.at["mean", "n"] == 18


def test_the_sentence_names_gain_or_loss(harmed, results):
    assert "a loss is shown" in kept_sentence(harmed, {"pa_sam": "PA-SAM"})
    assert "a gain is shown" in kept_sentence(results, {"pa_sam": "PA-SAM"})
