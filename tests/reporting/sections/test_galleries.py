"""Tests of the galleries' section."""

from pasam.reporting.sections import galleries_section


def test_there_are_three_galleries_and_an_empty_one_says_so(results):
    section = galleries_section(results)
    worst, improved, harmed = section.blocks
    assert (worst.name, len(worst.cards)) == ("Worst", 3)
    assert improved.caption == "3 images where PA-SAM gains most over SAM."
    assert harmed.words == "Most harmed: there is no image where PA-SAM loses most against SAM."


def test_harmed_images_are_shown_when_there_are_some(make_scores, make_results):
    scores = make_scores()
    scores.loc[scores["model"] == "pa_sam", "boundary_iou"] -= 0.25
    harmed = galleries_section(make_results(scores)).blocks[2]
    assert len(harmed.cards) == 3
