"""Tests of pictures inside the page."""

import base64
import io

import numpy as np
from PIL import Image

from pasam.reporting.pictures import (
    Window,
    data_address,
    model_view,
    prompt_view,
    uncertainty_view,
    window_round,
)

PREFIX = "data:image/webp;base64,"


def decoded(source):
    assert source.startswith(PREFIX)
    return Image.open(io.BytesIO(base64.b64decode(source.removeprefix(PREFIX))))


def test_a_picture_is_no_larger_than_it_is_shown_and_never_enlarged():
    image = np.zeros((100, 200, 3), np.uint8)
    source, width, height = data_address(image, side=50)
    assert (width, height) == decoded(source).size == (50, 25)
    assert data_address(image, side=1000)[1:] == (200, 100)


def test_equal_pictures_have_equal_addresses():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    assert data_address(image, side=32) == data_address(image.copy(), side=32)


def test_the_window_holds_object_and_predictions_with_a_margin(example):
    window = window_round(example())
    assert (window.top, window.bottom) == (7, 33)
    assert (window.left, window.right) == (7, 36)  # the prediction is 3 pixels to the right


def test_without_any_object_the_whole_image_is_shown(example):
    empty = np.zeros((40, 60), np.bool_)
    shown = example(truth=empty, predictions={"sam": empty})
    assert window_round(shown) == Window(0, 40, 0, 60)


def test_box_and_points_are_drawn_in_pixels_of_the_window(example):
    view = prompt_view(example(), Window(5, 35, 5, 55), side=100)
    assert 'viewBox="0 0 50 30"' in view.marks
    assert view.marks.count("<rect") == 2  # a dark edge below the bright line
    assert view.marks.count("<circle") == 3
    assert 'cx="7.5" cy="7.5"' in view.marks
    assert "mined points" in view.alt


def test_a_prediction_is_named_with_its_score(example):
    view = model_view(example(), "pa_sam", Window(0, 40, 0, 60), side=100)
    assert view.name == "PA-SAM 40.0"
    assert "boundary IoU 40.0 %" in view.alt


def test_only_a_model_with_an_uncertainty_map_shows_one(example):
    window = Window(0, 40, 0, 60)
    assert uncertainty_view(example(uncertainty=None), window, side=50) is None
    certain = uncertainty_view(example(uncertainty=np.zeros((8, 8), np.float32)), window, side=50)
    unsure = uncertainty_view(example(uncertainty=np.ones((8, 8), np.float32)), window, side=50)
    assert np.asarray(decoded(certain.source)).mean() < 20
    assert np.asarray(decoded(unsure.source)).mean() > 150
