"""`benchmarks/photographs.py`: where it clicks, what it scores, and how it counts photographs."""

import numpy as np
import torch
from photograph_pool import rectangle, write_pool

from benchmarks import photographs as script
from pasam.models.build import build_lite


def truth(*box):
    return rectangle(40, 60, *box) > 128


def test_the_first_click_lies_where_the_object_is_thickest():
    mask = truth(4, 10, 20, 20) | truth(24, 18, 30, 3)
    assert script.thickest(mask, np.zeros_like(mask)) == ((13, 19), 1)


def test_later_clicks_go_to_the_larger_error():
    mask = truth(4, 4, 10, 10)
    place, sign = script.thickest(mask, truth(4, 4, 10, 8) | truth(30, 10, 20, 20))
    assert sign == 0
    assert 30 <= place[0] < 50


def test_a_photograph_of_the_pool_is_scored_mask_by_mask(tmp_path):
    pool = write_pool(tmp_path)
    torch.manual_seed(0)
    base = build_lite(side=64, dim=32).eval()
    listed = list(script._listed(pool, "val", None, None))
    assert [(dataset, len(masks)) for dataset, _, masks in listed] == [("cats", 2), ("cups", 2)]
    rows = script.measure(base, script._of_folder(pool, *listed[0]), clicks=3)
    assert [row.filled for row in rows] == [100.0, 100.0]  # the objects are rectangles
    assert all(0 <= getattr(row, score) <= 100 for row in rows for score in script.SCORES)
    assert "| cats | 1 | 2 | 100.0 |" in script.table(rows)


def test_intervals_draw_photographs_with_all_their_masks():
    def row(image, value):
        return script.Row("s", image, "m", *[value] * len(script.SCORES))

    rows = [row("many", 0.0)] * 20 + [row("one", 100.0)]
    low, high = script.interval_by_photograph(rows, "box")
    assert (low, high) == (0.0, 100.0)  # by mask it would be 0 to 14
