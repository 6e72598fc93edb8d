"""Tests of a report's inputs."""

import pandas as pd
import pytest
from made_up_run import change_scores


def test_the_report_is_about_pa_sam_against_sam(results):
    assert (results.subject, results.reference) == ("pa_sam", "sam")
    assert results.shown == ["sam", "hq_sam", "pa_sam"]
    assert results.level == "95 %"
    assert results.seeds == [42]


def test_without_sam_it_is_held_against_another_model(make_scores, make_results):
    assert make_results(make_scores(models=("hq_sam", "pa_sam"))).reference == "hq_sam"
    assert make_results(make_scores(models=("pa_sam",))).reference == "pa_sam"


def test_an_image_is_read_with_what_every_model_makes_of_it(results):
    example = results.example("dis_like/2")
    assert list(example.predictions) == ["sam", "hq_sam", "pa_sam"]
    assert example.benchmark == "dis_like"
    assert example.scores["pa_sam"][1] - example.scores["sam"][1] == pytest.approx(0.2)
    assert example.uncertainty is not None


def test_an_image_with_several_seeds_shows_the_main_one(make_scores, make_results):
    scores = make_scores(seeds=(41, 42))
    scores.loc[scores["seed"] == 41, "iou"] = 0.0
    assert make_results(scores).example("dis_like/2").scores["sam"][0] > 0


def test_variants_are_held_against_the_subject_of_their_seed(make_scores, make_results):
    scores = change_scores(
        make_scores(seeds=(41, 42)), "pa_sam", by=lambda rows: 0.1 * (rows["seed"] == 41)
    )
    variant = make_scores(models=("pa_sam",)).assign(model="unchanged")
    table = make_results(scores, ablations=variant).ablation_differences
    assert set(table["difference"]) == {0.0}
    assert set(table["seeds"]) == {1}


def test_curves_are_empty_without_other_conditions(results):
    assert len(results.curves) == 0


def test_curves_hold_every_condition(make_scores, make_results):
    rows = pd.concat(
        [make_scores(), make_scores(prompt="points_1"), make_scores(corruption="blur_1")]
    )
    results = make_results(conditions=rows)
    assert list(dict.fromkeys(results.curves["family"])) == ["points", "blur"]


def test_widths_are_in_per_cent_of_the_diagonal(results):
    assert set(results.widths) == set(results.by_image.index)
    assert 5 < next(iter(results.widths.values())) < 30
