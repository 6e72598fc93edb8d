"""Tests of the robustness section."""

import pandas as pd
from made_up_run import change_scores

from pasam.reporting.sections import robustness_section


def test_without_rows_it_names_the_command(results):
    block = robustness_section(results).blocks[0]
    assert (block.kind, block.command) == ("absent", "dvc repro robustness")


def test_curves_numbers_and_a_sentence_per_condition(make_scores, make_results):
    loose = make_scores(prompt="box_jitter_0.4")
    rows = pd.concat([make_scores(), make_scores(prompt="box_jitter_0.2"), loose])
    charts, sentence = robustness_section(make_results(conditions=rows)).blocks
    assert charts.panels[0].heading == "Boxes that are off"
    assert len(charts.numbers.rows) == 3 * 4
    assert sentence.words.startswith("Boxes that are off, at 0.4: PA-SAM is 20.0 points")
    worse = pd.concat([make_scores(), change_scores(loose, "pa_sam", -0.4)])
    other = robustness_section(make_results(conditions=worse)).blocks[1]
    assert "below SAM" in other.words


def test_the_worst_end_of_points_is_the_fewest(make_scores, make_results):
    rows = pd.concat([make_scores(), *(make_scores(prompt=f"points_{k}") for k in (1, 10))])
    sentence = robustness_section(make_results(conditions=rows)).blocks[1]
    assert "at 1:" in sentence.words
