"""The boundary band equals repeated erosion, and its IoU sees contours alone."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pasam.errors import DataError, ParamsError, ShapeError
from pasam.masks.overlap import band_width, boundary, boundary_iou, mask_iou


def by_erosion(mask: np.ndarray, width: int) -> np.ndarray:
    """Take from a mask, padded with one pixel of nothing, its repeated erosion by 3 x 3 ones."""
    padded = np.pad(mask.astype(np.uint8), 1)
    inside = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
    return mask & ~inside.astype(bool)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000), height=st.integers(1, 60), width=st.integers(1, 60),
    band=st.integers(1, 40), density=st.sampled_from([0.0, 0.5, 0.97, 0.999, 1.0]),
)  # fmt: skip
def test_the_band_equals_repeated_erosion(seed, height, width, band, density):
    mask = np.random.RandomState(seed).uniform(size=(height, width)) < density
    assert np.array_equal(boundary(mask, band), by_erosion(mask, band))


def test_views_and_bytes_are_taken_as_they_are():
    mask = np.random.RandomState(0).uniform(size=(30, 40)) < 0.95
    expected = by_erosion(mask.T[::2], 2)
    assert np.array_equal(boundary(mask.T[::2], 2), expected)
    assert np.array_equal(boundary(255 * mask.T[::2].astype(np.uint8), 2), expected)


@pytest.mark.parametrize(
    ("height", "width", "band"), [(333, 517, 12), (1080, 1920, 44), (1, 1, 1), (75, 100, 2)]
)
def test_the_band_is_two_percent_of_the_diagonal_rounded_half_to_even(height, width, band):
    assert band_width(height, width) == band


def test_a_share_that_gives_no_band_is_refused_by_its_key():
    with pytest.raises(ParamsError, match=r"evaluate.boundary_share is 0, .* e.g. 0.02"):
        band_width(10, 10, 0)


def test_a_shifted_contour_costs_a_large_object_more_than_its_area_does():
    gt = np.zeros((200, 200), bool)
    gt[20:180, 20:180] = True
    shifted = np.roll(gt, 3, axis=1)
    assert mask_iou(gt, shifted) > 0.95
    assert boundary_iou(gt, shifted) < 0.75
    assert boundary_iou(gt, gt) == 1


def test_a_hollow_object_scores_by_its_outer_contour():
    gt = np.zeros((200, 200), bool)
    gt[20:180, 20:180] = True
    band = band_width(200, 200)
    hollow = boundary(gt, band)
    assert mask_iou(gt, hollow) < 0.2
    assert boundary_iou(gt, hollow) == 1


def test_a_wider_share_forgives_more():
    gt = np.zeros((100, 100), bool)
    gt[20:80, 20:80] = True
    shifted = np.roll(gt, 1, axis=0)
    assert boundary_iou(gt, shifted, share=0.01) < boundary_iou(gt, shifted, share=0.05)


def test_two_empty_masks_agree_and_one_empty_mask_does_not():
    empty, full = np.zeros((5, 5), bool), np.ones((5, 5), bool)
    assert boundary_iou(empty, empty) == 1
    assert boundary_iou(empty, full) == 0


def test_what_is_no_mask_is_refused():
    with pytest.raises(ShapeError, match=r"got shape \(2, 3, 3\)"):
        boundary(np.ones((2, 3, 3), bool), 1)
    with pytest.raises(DataError, match="several nonzero values"):
        boundary(np.array([[1, 2]], np.uint8), 1)
