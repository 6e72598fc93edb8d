"""Tests of the oracle mask."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pasam.errors import ShapeError
from pasam.evaluation.protocol import oracle_mask


def disk(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    inside = ((y / height - 0.5) ** 2 + (x / width - 0.5) ** 2) < 0.1
    return (255 * inside).astype(np.uint8)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_a_mask_of_the_mask_resolution_comes_back_unchanged():
    mask = disk(32, 32)
    assert np.array_equal(oracle_mask(mask, mask_side=32), mask > 128)


@pytest.mark.parametrize("size", [(96, 96), (90, 130), (20, 130), (130, 20)])
def test_a_smooth_object_survives_the_mask_resolution(size):
    mask = disk(*size)
    found = oracle_mask(mask, mask_side=32)
    assert found.shape == size
    assert found.dtype == np.bool_
    assert iou(found, mask > 128) > 0.94


def test_a_line_thinner_than_a_cell_is_lost_at_a_coarse_grid_and_kept_at_a_fine_one():
    mask = np.zeros((128, 128), np.uint8)
    mask[:, 64:66] = 255
    assert not oracle_mask(mask, mask_side=16).any()
    assert iou(oracle_mask(mask, mask_side=128), mask > 128) == 1.0


def test_a_finer_grid_holds_more_of_a_comb():
    mask = np.zeros((120, 120), np.uint8)
    mask[10:110, 10:110:10] = 255
    mask[10:110, 11:110:10] = 255
    mask[10:110, 12:110:10] = 255
    scores = [iou(oracle_mask(mask, mask_side=side), mask > 128) for side in (12, 60, 120)]
    assert scores == sorted(scores)
    assert scores[0] < 0.5 < 0.9 < scores[-1]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 24), st.sampled_from([0, 255]))
def test_empty_and_full_masks_stay_what_they_are_at_any_size(height, width, side, value):
    mask = np.full((height, width), value, np.uint8)
    assert (oracle_mask(mask, mask_side=side) == (value == 255)).all()


def test_the_ground_truth_is_what_lies_above_128():
    assert not oracle_mask(np.full((8, 8), 128, np.uint8), mask_side=8).any()
    assert oracle_mask(np.full((8, 8), 129, np.uint8), mask_side=8).all()


@pytest.mark.parametrize(("shape", "side"), [((4, 4, 1), 8), ((4, 4), 0)])
def test_what_is_no_mask_or_no_size_is_refused(shape, side):
    with pytest.raises(ShapeError, match=str(side)):
        oracle_mask(np.zeros(shape, np.uint8), mask_side=side)
