"""Tests of means of the diagnostics."""

import numpy as np
import pytest
from made_up_run import made_up_diagnostics

from pasam.reporting.analyses import difference_inside, has, mean_inside


def test_without_diagnostics_there_is_nothing(results, make_results):
    assert not has(results, "pa_sam", "dense_change")
    other = make_results(diagnostics=made_up_diagnostics())
    assert has(other, "pa_sam", "dense_change")
    assert not has(other, "hq_sam", "dense_change")


def test_a_column_of_nothing_is_nothing(make_results):
    empty = made_up_diagnostics().assign(dense_change=np.nan)
    assert not has(make_results(diagnostics=empty), "pa_sam", "dense_change")


def test_means_leave_out_what_is_undefined(make_results):
    frame = made_up_diagnostics(uncertainty_auroc=0.8)
    frame.loc[frame["image_id"] == "dis_like/0", "uncertainty_auroc"] = np.nan
    found = mean_inside(make_results(diagnostics=frame), "pa_sam", "uncertainty_auroc")
    assert found.mean == pytest.approx(0.8, abs=0.01)
    assert found.low < found.mean < found.high


def test_two_columns_are_compared_on_the_same_masks(make_results):
    results = make_results(diagnostics=made_up_diagnostics(coarse_iou=0.5, final_iou=0.6))
    found = difference_inside(results, "pa_sam", "final_iou", "coarse_iou")
    assert found.mean == pytest.approx(0.1, abs=0.01)
    assert found.verdict == "gain shown"
