"""Tests of the painted masks."""

import numpy as np
import pytest

from pasam.errors import ShapeError
from pasam.reporting.overlay import comparison, dimmed, paint
from pasam.reporting.style import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, rgb

BLACK = np.zeros((2, 2, 3), np.uint8)
TRUTH = np.array([[True, True], [False, False]])
PREDICTED = np.array([[True, False], [True, False]])


def test_hits_misses_and_false_alarms_get_their_own_colours_and_the_rest_none():
    shown = comparison(BLACK, TRUTH, PREDICTED).astype(float)
    expected = [TRUE_POSITIVE, FALSE_NEGATIVE, FALSE_POSITIVE]
    for pixel, colour in zip(shown.reshape(-1, 3), expected, strict=False):
        assert pixel == pytest.approx(0.72 * np.array(rgb(colour)), abs=0.51)
    assert shown[1, 1].tolist() == [0, 0, 0]


def test_painting_leaves_the_image_itself_and_other_pixels_alone():
    image = np.full((2, 2, 3), 200, np.uint8)
    shown = paint(image, TRUTH, "#000000")
    assert (image == 200).all()
    assert (shown[1] == 200).all()
    assert (shown[0] == 56).all()


def test_the_texture_shows_through_the_colour():
    image = np.stack([np.full((2, 3), 0), np.full((2, 3), 255)]).astype(np.uint8)
    shown = paint(image, np.ones((2, 2), np.bool_), TRUE_POSITIVE)
    assert (shown[1] > shown[0]).all()


def test_a_dimmed_image_is_grey_and_darker():
    image = np.random.default_rng(0).integers(50, 256, (5, 4, 3), np.uint8)
    shown = dimmed(image)
    assert shown.dtype == np.uint8
    assert (shown == shown[..., :1]).all()
    assert shown.mean() < image.mean()


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ShapeError, match=r"\(3, 3\) cannot be painted on an image \(2, 2, 3\)"):
        paint(BLACK, np.ones((3, 3), np.bool_), TRUE_POSITIVE)
