"""The champion on today's data: what is known, what is new."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from pasam.registry.evidence import compare


def scores(rows):
    return pd.DataFrame(rows, columns=["benchmark", "image_id", "boundary_iou"])


BEFORE = scores([("dis", "a", 0.5), ("dis", "b", 0.7), ("dis", "gone", 0.1)])


def test_known_images_are_compared_and_new_ones_stand_alone():
    today = scores([("dis", "a", 0.5), ("dis", "b", 0.6), ("dis", "c", 0.2)])
    watch = compare(4, BEFORE, today)
    (row,) = watch.rows
    assert (row.benchmark, row.known, row.new) == ("dis", 2, 1)
    assert (row.judged, row.today, row.on_new) == pytest.approx((60, 55, 20))
    assert watch.message == (
        "Version 4 is champion; 1 image is new since it was judged. "
        "On what is new it scores 20.00 points of boundary IoU."
    )


def test_an_images_masks_count_as_one_image():
    today = scores([("dis", "c", 0.2), ("dis", "c", 0.4), ("dis", "d", 0.6)])
    (row,) = compare(1, BEFORE, today).rows
    assert row.new == 2
    assert row.on_new == pytest.approx(45)


def test_a_benchmark_without_new_images_shows_a_dash():
    watch = compare(1, BEFORE, BEFORE)
    (row,) = watch.rows
    assert math.isnan(row.on_new)
    assert row.shown() == {
        "benchmark": "dis", "known": 3, "new": 0, "when judged": "43.33", "today": "43.33",
        "on new": "-",
    }  # fmt: skip
    assert watch.message == "Version 1 is champion; no images are new since it was judged."


def test_a_benchmark_that_is_wholly_new_has_no_past():
    (row,) = compare(1, BEFORE, scores([("own", "x", 0.9)])).rows
    assert (row.known, row.new) == (0, 1)
    assert row.shown()["when judged"] == "-"
