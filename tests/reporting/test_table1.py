"""Tests of Table 1 as grids."""

import pytest

from pasam.reporting.summary import compare, summarise
from pasam.reporting.tables import (
    covered,
    details,
    overview,
    p_text,
    pairs,
    table_notes,
    verdict_text,
)


def test_the_overview_has_a_row_per_model_and_a_column_per_benchmark(scores, bootstrap):
    grid = overview(summarise(scores, bootstrap))
    assert [row[0] for row in grid.rows][-2:] == ["HQ-SAM", "PA-SAM"]
    assert grid.head[1] == "dis_like (n=6)"
    assert grid.head[-2:] == ("Mean of 4 (n=24)", "Pooled IoU")


def test_details_give_every_interval(scores, bootstrap):
    grid = details(summarise(scores, bootstrap), level="95 %")
    assert len(grid.rows) == 4 * 5
    assert "[" in grid.rows[0][3]
    assert grid.caption == "Every benchmark, 95 % interval of the mean"


def test_pairs_show_the_corrected_p_value_and_the_verdict(scores, bootstrap):
    row = pairs(compare(scores, [("pa_sam", "sam")], bootstrap), level="95 %").rows[1]
    assert row[:3] == ("PA-SAM minus SAM", "mBIoU", "+20.0 [+20.0, +20.0]")
    assert row[-2:] == ("0.004", "gain shown")


def test_one_seed_is_said_to_cover_test_images_only():
    assert covered(1) == "They cover the choice of test images only, not the seed of training."
    assert "3 seeds of training" in covered(3)


def test_notes_say_equal_to_nobody(scores, bootstrap):
    notes = " ".join(table_notes(summarise(scores, bootstrap), bootstrap))
    assert '"no difference shown" does not mean equal' in notes
    assert "1,000 draws" in notes


@pytest.mark.parametrize(("p", "text"), [(0.0001, "<0.001"), (0.0123, "0.012"), (1.0, "1.000")])
def test_a_p_value_has_three_decimals(p, text):
    assert p_text(p) == text


def test_a_verdict_comes_with_its_p_value():
    row = {"verdict": "gain shown", "p_holm": 0.0001}
    assert verdict_text(row) == "gain shown, p <0.001"
    assert verdict_text({**row, "p_holm": 0.02}) == "gain shown, p = 0.020"
