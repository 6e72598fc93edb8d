"""Tests of the charts' data."""

import pandas as pd
import pytest

from pasam.reporting.publish import plot_frames


def test_every_chart_has_a_column_per_curve(results):
    frames = plot_frames(results)
    assert sorted(frames) == ["fineness", "scores", "training"]
    assert frames["training"].columns.tolist() == ["epoch", "hq_sam", "pa_sam"]
    assert frames["training"]["epoch"].tolist() == [1, 2]
    assert frames["fineness"].columns.tolist() == ["group", "complexity", "thinness"]
    assert frames["fineness"]["complexity"].tolist() == pytest.approx([20.0] * 4)
    assert frames["scores"]["row"].iloc[-1] == "PA-SAM, mean"


def test_curves_are_there_when_they_were_measured(make_scores, make_results):
    rows = pd.concat([make_scores(), make_scores(prompt="points_1")])
    frame = plot_frames(make_results(conditions=rows))["robustness_points"]
    assert frame.columns.tolist() == ["amount", "hq_sam", "oracle", "pa_sam", "sam"]
    assert frame["amount"].tolist() == [1.0]


def test_models_that_trained_for_different_times_share_the_table(make_results):
    long = pd.DataFrame({"epoch": [0.0, 1.0, 2.0], "loss": [3.0, 2.0, 1.0]})
    histories = {"hq_sam": long, "pa_sam": long[:1]}
    frame = plot_frames(make_results(histories=histories))["training"]
    assert frame["hq_sam"].tolist() == [3.0, 2.0, 1.0]
    assert frame["pa_sam"].isna().tolist() == [False, True, True]
