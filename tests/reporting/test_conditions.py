"""Tests of curves over prompts and corruptions."""

import pandas as pd
import pytest

from pasam.reporting.results import curve, difference_at, families, rows_by_amount


@pytest.fixture
def conditions(make_scores):
    few = {"n": 2, "models": ("sam", "pa_sam")}
    return pd.concat(
        [
            make_scores(),
            make_scores(prompt="box_jitter_0.4", **few),
            make_scores(prompt="box_jitter_0.1", **few),
            make_scores(prompt="points_3", **few),
            make_scores(corruption="blur_2", **few),
        ]
    )


def test_curves_come_in_report_order(conditions):
    assert families(conditions) == ["box_jitter", "points", "blur"]


def test_a_curve_of_jitter_begins_with_the_tight_box_on_the_same_images_and_models(conditions):
    parts = rows_by_amount(conditions, "box_jitter")
    assert list(parts) == [0.0, 0.1, 0.4]
    assert len(parts[0.0]) == len(parts[0.1]) == 2 * 2 * 4
    assert list(rows_by_amount(conditions, "points")) == [3.0]


def test_a_curve_holds_the_mean_of_every_model_inside_its_interval(conditions, bootstrap):
    table = curve(conditions, "blur", "mbiou", bootstrap)
    assert table[["amount", "model"]].values.tolist() == [
        [0.0, "pa_sam"], [0.0, "sam"], [2.0, "pa_sam"], [2.0, "sam"],
    ]  # fmt: skip
    assert ((table["low"] <= table["mean"]) & (table["mean"] <= table["high"])).all()


def test_two_models_are_compared_at_one_place(conditions, bootstrap):
    row = difference_at(conditions, "points", 3.0, ("pa_sam", "sam"), "mbiou", bootstrap)
    assert row["difference"] == pytest.approx(20.0)
    assert row["n"] == 8
