"""Tests of the summary at the top of the page."""

from pasam.reporting.sections import glance_section


def test_it_says_how_far_the_subject_is_ahead(results):
    section = glance_section(results)
    assert "PA-SAM is 20.0 points of boundary IoU above SAM" in section.lead
    tiles = [tile.value for tile in section.blocks[0].tiles]
    assert tiles[1:] == ["+20.0", "+5.0", "100 %"]


def test_a_model_that_is_held_against_the_subject_is_told_of(make_scores, make_results):
    models = ("sam", "pa_sam", "pa_sam_plus")
    section = glance_section(make_results(make_scores(models=models)))
    assert "PA-SAM is 20.0 points of boundary IoU above SAM" in section.lead
    assert "PA-SAM+ is 10.0 points of boundary IoU below PA-SAM" in section.lead
    assert len(section.blocks[0].tiles) == 3


def test_the_picture_is_the_image_in_the_middle(results):
    slider = glance_section(results).blocks[1]
    assert "the image in the middle of all 24 by gain" in slider.caption
    assert slider.before.name.startswith("SAM")


def test_a_run_of_one_model_has_nothing_to_compare(make_scores, make_results):
    section = glance_section(make_results(make_scores(models=("pa_sam",))))
    assert section.lead == "One model was scored: PA-SAM."
    assert [block.kind for block in section.blocks] == ["tiles", "text"]


def test_one_seed_is_owned_up_to(results, make_scores, make_results):
    assert "not the seed of training" in glance_section(results).blocks[-1].words
    three = make_results(make_scores(seeds=(41, 42, 43)))
    assert "3 seeds of training" in glance_section(three).blocks[-1].words
