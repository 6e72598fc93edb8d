"""Predicted masks over a picture."""

from __future__ import annotations

import numpy as np

from pasam.reporting.overlay import COLOURS, Asked, prediction_overlay
from pasam.reporting.style import rgb

NOTHING = Asked(boxes=[], points=[], labels=[])


def grey(value: int = 100) -> np.ndarray:
    return np.full((60, 80, 3), value, np.uint8)


def block(y: slice, x: slice) -> np.ndarray:
    mask = np.zeros((60, 80), bool)
    mask[y, x] = True
    return mask


def test_a_mask_is_tinted_and_the_rest_is_darker():
    shown = prediction_overlay(grey(), [block(slice(10, 50), slice(10, 50))], NOTHING)
    assert shown[55, 70].tolist() == [75, 75, 75]
    expected = 100 + 0.45 * (np.array(rgb(COLOURS[0])) - 100.0)
    np.testing.assert_allclose(shown[30, 30], expected, atol=1)


def test_a_small_mask_in_a_large_one_is_seen_whichever_comes_first():
    large, small = block(slice(0, 60), slice(0, 80)), block(slice(20, 40), slice(20, 40))
    for masks in ([large, small], [small, large]):
        shown = prediction_overlay(grey(), masks, NOTHING)
        assert np.abs(shown[30, 30].astype(int) - shown[5, 70]).max() > 20


def test_no_mask_gives_the_darker_picture():
    assert (prediction_overlay(grey(), [], NOTHING) == 75).all()


def test_boxes_and_points_are_drawn_where_they_were_asked():
    asked = Asked(boxes=[[10, 12, 70, 50]], points=[[40, 30], [20, 20]], labels=[1, 0])
    shown = prediction_overlay(grey(), [], asked)
    assert shown[12, 40].max() > 150
    assert shown[30, 40].tolist() == list(rgb("#56B4E9"))
    assert shown[20, 20].tolist() == list(rgb("#D55E00"))


def test_the_picture_itself_is_left_alone():
    image = grey()
    prediction_overlay(image, [block(slice(0, 9), slice(0, 9))], NOTHING)
    assert (image == 100).all()
