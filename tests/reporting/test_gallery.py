"""Tests of which images the galleries show."""

import pytest
from made_up_run import change_scores

from pasam.reporting.pictures import (
    Shown,
    card,
    median,
    most_harmed,
    most_improved,
    ranked,
    worst,
)

IMAGES = [
    Shown(image_id="a", score=0.9, against=0.5),
    Shown(image_id="b", score=0.2, against=0.6),
    Shown(image_id="c", score=0.5, against=0.5),
]


def names(images):
    return [shown.image_id for shown in images]


def test_images_are_ranked_by_score_gain_and_loss():
    assert names(worst(IMAGES, 2)) == ["b", "c"]
    assert names(most_improved(IMAGES, 3)) == ["a"]
    assert names(most_harmed(IMAGES, 3)) == ["b"]
    assert median(IMAGES).image_id == "c"


def test_ties_are_broken_by_id_so_that_two_runs_agree(results):
    images = ranked(results)
    assert names(images) == sorted(names(images))
    tied = [Shown(image_id=name, score=0.5, against=0.4) for name in "abc"]
    assert names(most_improved(tied, 2)) == ["a", "b"]


def test_every_image_is_ranked_with_both_scores(results):
    images = ranked(results)
    assert len(images) == 24
    assert images[0].gain == pytest.approx(0.2)


def test_scores_decide_who_is_shown(make_scores, make_results):
    scores = change_scores(
        make_scores(), "pa_sam", lambda rows: -0.4 * (rows["image_id"] == "dis_like/3").to_numpy()
    )
    assert names(most_harmed(ranked(make_results(scores)), 3)) == ["dis_like/3"]


def test_a_card_shows_prompt_both_models_and_the_uncertainty(results):
    shown = card(results, ranked(results)[0])
    assert [view.name.split()[0] for view in shown.views] == [
        "Prompt", "SAM", "PA-SAM", "Uncertainty",
    ]  # fmt: skip
    assert "+20.0 points" in shown.note
    assert all(view.alt for view in shown.views)
