"""Tests of question 4."""

from made_up_run import made_up_diagnostics

from pasam.reporting.questions import tokens_answer


def sentence(make_results, **means):
    return tokens_answer(make_results(diagnostics=made_up_diagnostics(**means))).sentence


def test_it_needs_diagnostics(results):
    assert not tokens_answer(results).answered


def test_it_says_whether_the_uncertainty_finds_errors(make_results):
    assert "finds errors: the area under the ROC curve is 79.8 %" in sentence(make_results)
    assert "It is not shown" in sentence(make_results, uncertainty_auroc=0.5)
    assert "points away from errors" in sentence(make_results, uncertainty_auroc=0.4)


def test_it_says_whether_the_final_mask_is_better_than_the_coarse_one(make_results):
    assert "improves the coarse one" in sentence(make_results)
    assert "worsens the coarse one" in sentence(make_results, final_iou=0.5)
    assert "shows no difference" in sentence(make_results, final_iou=0.6)


def test_the_maps_are_shown(make_results):
    found = tokens_answer(make_results(diagnostics=made_up_diagnostics()))
    assert [view.name for view in found.blocks[0].views][0] == "Coarse"
