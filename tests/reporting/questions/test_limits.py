"""Tests of question 10."""

import pytest
from made_up_run import LEVELS, change_scores, made_up_ablations, made_up_diagnostics

from pasam.reporting.questions import best_sentence, limits_answer, refined_sentence


def test_without_variants_the_ceiling_alone_is_told(results):
    found = limits_answer(results)
    assert not found.answered
    assert "25.0 points above PA-SAM: resolution is not what limits it." in found.sentence
    assert found.blocks[-1].kind == "absent"


def test_a_model_at_the_ceiling_is_limited_by_it(make_scores, make_results):
    scores = change_scores(make_scores(), "pa_sam", 0.24)
    assert "resolution is what limits it" in limits_answer(make_results(scores)).sentence


def test_the_best_combination_is_an_answer_without_variants_too(make_scores, make_results):
    found = limits_answer(make_results(make_scores(models=(*LEVELS, "pa_sam_plus"))))
    assert found.answered
    assert found.blocks[-1].kind == "absent"


def test_choices_that_help_are_named(make_results):
    better = limits_answer(make_results(**made_up_ablations(gradient_image=0.1)))
    assert better.answered
    assert "edges of the image itself" in better.sentence.split(" gains.")[0]


@pytest.mark.parametrize(
    ("refined", "words"),
    [(0.7, "is better than"), (0.5, "is worse than"), (0.6, "is not shown to differ")],
)
def test_the_refined_map_is_judged_against_the_coarse_one(refined, words, make_results):
    results = make_results(diagnostics=made_up_diagnostics(refined_iou=refined))
    assert words in refined_sentence(results)


def test_the_best_combination_is_praised_only_if_the_interval_says_so(make_scores, make_results):
    models = (*LEVELS, "pa_sam_plus")
    scores = make_scores(models=models)
    level = scores.loc[scores["model"] == "pa_sam", "boundary_iou"].to_numpy()
    scores.loc[scores["model"] == "pa_sam_plus", "boundary_iou"] = level + 0.05
    assert "PA-SAM+ is 5.0 points" in best_sentence(make_results(scores))
    scores.loc[scores["model"] == "pa_sam_plus", "boundary_iou"] = level
    assert best_sentence(make_results(scores)).startswith("No difference")
    assert best_sentence(make_results()) == ""
