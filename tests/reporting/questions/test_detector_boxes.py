"""Tests of question 8."""

import pandas as pd
from made_up_run import change_scores

from pasam.reporting.questions import detector_boxes_answer


def test_it_needs_looser_prompts_or_a_detector(results):
    found = detector_boxes_answer(results)
    assert not found.answered
    assert found.blocks[0].command == "dvc repro robustness instances"


def test_the_sentence_follows_the_gain_on_loose_boxes(make_scores, make_results):
    loose = make_scores(prompt="box_jitter_0.4")
    sentences = []
    for by in (-0.3, -0.1, 0.1):
        rows = pd.concat([make_scores(), change_scores(loose, "pa_sam", by)])
        sentences.append(detector_boxes_answer(make_results(conditions=rows)).sentence)
    gone, smaller, larger = sentences
    assert "shrinks from +20.0 points" in gone
    assert "PA-SAM's gain over SAM shrinks" in gone
    assert "where it is no longer shown" in gone
    assert "and is still shown" in smaller
    assert "PA-SAM's gain over SAM grows from +20.0" in larger
    assert "HQ-SAM's gain over SAM" in larger
