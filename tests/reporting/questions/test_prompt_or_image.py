"""Tests of question 2."""

from made_up_run import made_up_ablations

from pasam.reporting.questions import prompt_or_image_answer


def test_it_needs_the_rival(results):
    assert not prompt_or_image_answer(results).answered


def test_the_sentence_follows_the_rival(make_results):
    better, worse = (
        prompt_or_image_answer(make_results(**made_up_ablations(image_features=gain))).sentence
        for gain in (0.1, -0.1)
    )
    assert better.startswith("The adapter of image features is 10.2 points of boundary IoU above")
    assert worse.startswith("The adapter of image features is 9.8 points of boundary IoU below")
    assert "It trains 1,000 numbers, PA-SAM 1,234." in better
