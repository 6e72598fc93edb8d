"""Masks painted over images, against the truth and with their prompts."""

from __future__ import annotations

import numpy as np
import pytest
from PIL.ImageColor import getrgb

from pasam.errors import ShapeError
from pasam.reporting.overlay import (
    MASKS,
    DrawnPrompts,
    comparison,
    dimmed,
    paint,
    prediction_overlay,
)
from pasam.reporting.style import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE

BLACK = np.zeros((2, 2, 3), np.uint8)
TRUTH = np.array([[True, True], [False, False]])
PREDICTED = np.array([[True, False], [True, False]])


def test_hits_misses_and_false_alarms_get_their_own_colours_and_the_rest_none():
    shown = comparison(BLACK, TRUTH, PREDICTED).astype(float)
    expected = [TRUE_POSITIVE, FALSE_NEGATIVE, FALSE_POSITIVE]
    for pixel, colour in zip(shown.reshape(-1, 3), expected, strict=False):
        assert pixel == pytest.approx(0.72 * np.array(getrgb(colour)), abs=0.51)
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


NOTHING = DrawnPrompts(boxes=[], points=[], labels=[])


def grey(value: int = 100) -> np.ndarray:
    return np.full((60, 80, 3), value, np.uint8)


def block(y: slice, x: slice) -> np.ndarray:
    mask = np.zeros((60, 80), bool)
    mask[y, x] = True
    return mask


def test_a_mask_is_tinted_and_the_rest_is_darker():
    shown = prediction_overlay(grey(), [block(slice(10, 50), slice(10, 50))], NOTHING)
    assert shown[55, 70].tolist() == [75, 75, 75]
    expected = 100 + 0.45 * (np.array(getrgb(MASKS[0])) - 100.0)
    np.testing.assert_allclose(shown[30, 30], expected, atol=1)


def test_a_small_mask_in_a_large_one_is_seen_whichever_comes_first():
    large, small = block(slice(0, 60), slice(0, 80)), block(slice(20, 40), slice(20, 40))
    for masks in ([large, small], [small, large]):
        shown = prediction_overlay(grey(), masks, NOTHING)
        assert np.abs(shown[30, 30].astype(int) - shown[5, 70]).max() > 20


def test_no_mask_gives_the_darker_picture():
    assert (prediction_overlay(grey(), [], NOTHING) == 75).all()


def test_boxes_and_points_are_drawn_where_they_were_asked():
    asked = DrawnPrompts(boxes=[[10, 12, 70, 50]], points=[[40, 30], [20, 20]], labels=[1, 0])
    shown = prediction_overlay(grey(), [], asked)
    assert shown[12, 40].max() > 150
    assert shown[30, 40].tolist() == list(getrgb("#56B4E9"))
    assert shown[20, 20].tolist() == list(getrgb("#D55E00"))


def test_the_picture_itself_is_left_alone():
    image = grey()
    prediction_overlay(image, [block(slice(0, 9), slice(0, 9))], NOTHING)
    assert (image == 100).all()
