"""Holes and islands of masks."""

from __future__ import annotations

import numpy as np
import torch

from pasam.inference.automatic_masks import without_small_regions
from segment_anything.utils import amg


def data(*masks: np.ndarray) -> amg.MaskData:
    stacked = torch.tensor(np.stack(masks))
    return amg.MaskData(
        rles=amg.mask_to_rle_pytorch(stacked),
        boxes=amg.batched_mask_to_box(stacked),
        names=[str(i) for i in range(len(masks))],
    )


def square() -> np.ndarray:
    mask = np.zeros((20, 20), bool)
    mask[4:16, 4:16] = True
    return mask


def test_a_small_hole_is_filled_and_a_small_island_goes():
    mask = square()
    mask[8, 8] = False
    mask[0, 0] = True
    found = data(mask)
    without_small_regions(found, 5, 0.7)
    assert np.array_equal(amg.rle_to_mask(found["rles"][0]), square())
    assert found["boxes"].tolist() == [[4, 4, 15, 15]]


def test_large_ones_stay():
    mask = square()
    mask[7:12, 7:12] = False
    found = data(mask)
    without_small_regions(found, 5, 0.7)
    assert np.array_equal(amg.rle_to_mask(found["rles"][0]), mask)


def test_of_two_that_become_the_same_the_untouched_stays():
    touched = square()
    touched[0, 0] = True
    found = data(touched, square())
    without_small_regions(found, 5, 0.7)
    assert found["names"] == ["1"]


def test_nothing_is_no_error():
    found = amg.MaskData(rles=[], boxes=torch.empty(0, 4))
    without_small_regions(found, 5, 0.7)
    assert found["rles"] == []
