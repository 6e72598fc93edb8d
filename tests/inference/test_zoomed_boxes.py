"""Small boxes are looked at from near: which window, and whose masks come back where."""

import numpy as np
import pytest
from inference_models import make_predictor, picture

from pasam.errors import PromptError
from pasam.inference.zoomed_boxes import predict_zoomed, zoom_window


def box(*corners):
    return np.array(corners, np.float32)


def test_a_window_is_the_box_grown_on_all_sides():
    assert zoom_window(box(100, 100, 119, 109), (400, 600), zoom=2.0) == (90, 95, 130, 115)


def test_a_window_stays_in_the_image():
    assert zoom_window(box(0, 0, 19, 19), (400, 600), zoom=3.0) == (0, 0, 60, 60)
    assert zoom_window(box(590, 380, 599, 399), (400, 600), zoom=2.0) == (580, 360, 600, 400)


def test_a_slim_box_is_seen_with_what_stands_beside_it():
    x0, y0, x1, y1 = zoom_window(box(200, 100, 203, 199), (400, 600), zoom=2.0)
    assert (x1 - x0, y1 - y0) == (100, 200)


def test_a_large_box_is_seen_with_the_whole_image():
    assert zoom_window(box(50, 50, 400, 350), (400, 600)) is None
    assert zoom_window(box(0, 0, 30, 399), (400, 600)) == (0, 0, 200, 400)


def test_a_zoom_into_the_box_is_refused():
    with pytest.raises(PromptError, match=r"zoom is 0\.5, expected 1 or more"):
        zoom_window(box(0, 0, 9, 9), (100, 100), zoom=0.5)


@pytest.mark.parametrize("kind", ["sam", "pa_sam"])
def test_masks_are_those_of_the_window_at_its_place(kind):
    model, image = make_predictor(kind), picture(120, 160)
    large, small = box(5, 5, 150, 110), box(40, 30, 59, 45)
    found = predict_zoomed(model, image, [large, small], zoom=2.0)
    assert np.array_equal(found[0].masks, _plain(model, image, large))
    x0, y0, x1, y1 = zoom_window(small, image.shape, zoom=2.0)
    part = np.ascontiguousarray(image[y0:y1, x0:x1])
    inside = _plain(model, part, small - np.array([x0, y0, x0, y0], np.float32))
    assert np.array_equal(found[1].masks[:, y0:y1, x0:x1], inside)
    outside = found[1].masks.copy()
    outside[:, y0:y1, x0:x1] = False
    assert not outside.any()
    assert found[1].masks.shape == (1, 120, 160)


def _plain(model, image, corners):
    model.set_image(image)
    return model.predict(box=corners, multimask_output=False)[0]


def test_no_boxes_give_no_masks():
    assert predict_zoomed(make_predictor("sam"), picture(60, 60), []) == []
