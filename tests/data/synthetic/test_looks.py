"""Looks change the whole picture, in whole numbers, and only in the way they are named for."""

import numpy as np
import pytest

from pasam.errors import DataError
from pasam.synthetic.scene import LOOKS, with_look

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_keeps_size_and_type_and_leaves_the_original_alone(look):
    before = IMAGE.copy()
    found = with_look(IMAGE, look)
    assert found.shape == IMAGE.shape
    assert found.dtype == np.uint8
    assert np.array_equal(IMAGE, before)


def test_all_looks_differ():
    assert len({with_look(IMAGE, look).tobytes() for look in LOOKS}) == len(LOOKS)


def test_looks_do_what_their_names_say():
    assert np.array_equal(with_look(IMAGE, "plain"), IMAGE)
    grey = with_look(IMAGE, "grey")
    assert (grey == grey[:, :, :1]).all()
    assert with_look(IMAGE, "night").mean() < 0.5 * IMAGE.mean()
    assert with_look(IMAGE, "faded").std() < 0.6 * IMAGE.std()
    assert np.array_equal(with_look(with_look(IMAGE, "negative"), "negative"), IMAGE)
    red, _, blue = with_look(np.full((1, 1, 3), 200, np.uint8), "warm")[0, 0]
    assert red > blue


def test_white_and_black_stay_in_range():
    for value in (0, 255):
        flat = np.full((2, 2, 3), value, np.uint8)
        assert with_look(flat, "faded").max() <= 255
        assert with_look(flat, "grey")[0, 0, 0] in range(256)


def test_an_unknown_look_is_named():
    with pytest.raises(DataError, match="Unknown look 'sepia'"):
        with_look(IMAGE, "sepia")
