"""Tests of published numbers beside a run's own."""

import pandas as pd

from pasam.reporting.tables import NONE_STATED, published_grid

PUBLISHED = pd.DataFrame(
    [
        ["pa_sam", "dis_like", "DIS", 69.0, 49.0, 5.0],
        ["pa_sam", "thin_like", "ThinObject", 92.7, 84.0, 1.0],
        ["pa_sam", "coift_like", "COIFT", 95.8, 92.1, None],
    ],
    columns=["model", "benchmark", "published_benchmark", "miou", "mbiou", "tolerance"],
)


def test_nothing_published_makes_no_table(results):
    assert published_grid(results) is None


def test_another_protocol_gets_no_difference_and_says_so(make_results):
    grid = published_grid(make_results(published=PUBLISHED))
    assert "not comparable" in grid.caption
    assert "Difference" not in grid.head
    assert grid.rows[0][:4] == ("PA-SAM", "DIS", "69.0 / 49.0", "dis_like")


def test_the_same_protocol_gets_difference_and_tolerance(make_results):
    grid = published_grid(make_results(published=PUBLISHED, comparable=True))
    rows = {row[1]: row for row in grid.rows}
    assert grid.head[-2:] == ("Difference", "Tolerance")
    assert rows["DIS"][-1] == "5 (kept)"
    assert rows["ThinObject"][-1] == "1 (exceeded)"
    assert rows["ThinObject"][-2].startswith("\N{MINUS SIGN}")
    assert rows["COIFT"][-1] == NONE_STATED
