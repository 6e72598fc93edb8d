"""IoU counts pixels and refuses what is no binary mask."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pasam.errors import DataError, ShapeError
from pasam.masks.overlap import mask_iou, overlap


def masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.RandomState(seed)
    return dice.uniform(size=(9, 13)) < 0.4, dice.uniform(size=(9, 13)) < 0.6


def test_a_shared_third_scores_one_third():
    gt, pred = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    gt[:, :4], pred[:, 2:] = True, True
    assert overlap(gt, pred) == (8, 24)
    assert mask_iou(gt, pred) == pytest.approx(1 / 3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_it_is_symmetric_and_one_only_for_equal_masks(seed):
    gt, pred = masks(seed)
    assert mask_iou(gt, pred) == mask_iou(pred, gt)
    assert mask_iou(gt, gt) == 1
    assert (mask_iou(gt, pred) == 1) == np.array_equal(gt, pred)


def test_zero_one_and_zero_255_count_as_booleans_do():
    gt, pred = masks(0)
    assert mask_iou(gt.astype(np.uint8), 255 * pred.astype(np.uint8)) == mask_iou(gt, pred)


def test_two_empty_masks_agree_and_one_empty_mask_does_not():
    empty, full = np.zeros((3, 3), bool), np.ones((3, 3), bool)
    assert mask_iou(empty, empty) == 1
    assert mask_iou(empty, full) == 0


def test_a_label_with_soft_edges_is_refused_with_the_threshold_to_use():
    soft = np.array([[0, 100, 255]], np.uint8)
    with pytest.raises(DataError, match=r"pred holds several nonzero values up to 255.*> 128"):
        mask_iou(soft > 128, soft)


def test_masks_of_different_size_are_refused_with_both_sizes():
    with pytest.raises(ShapeError, match=r"\(3, 4\) and \(4, 3\)"):
        mask_iou(np.ones((3, 4), bool), np.ones((4, 3), bool))


def test_a_batch_is_refused():
    with pytest.raises(ShapeError, match=r"gt must be a mask \(H, W\); got shape \(1, 3, 3\)"):
        mask_iou(np.ones((1, 3, 3), bool), np.ones((3, 3), bool))
