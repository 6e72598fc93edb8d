"""Photographs: read from the installed package only, cropped, never shared over the split."""

import numpy as np
import pytest

from pasam.errors import DataError
from pasam.synthetic.randomness import Draws
from pasam.synthetic.surfaces import (
    HELD_OUT_GREYS,
    HELD_OUT_PHOTOGRAPHS,
    TRAINING_GREYS,
    TRAINING_PHOTOGRAPHS,
    crop,
    photograph,
    photograph_crop,
)


def test_held_out_photographs_are_not_used_in_training():
    training = {*TRAINING_PHOTOGRAPHS, *TRAINING_GREYS}
    assert training.isdisjoint({*HELD_OUT_PHOTOGRAPHS, *HELD_OUT_GREYS})


@pytest.mark.parametrize("name", [*TRAINING_PHOTOGRAPHS, *HELD_OUT_PHOTOGRAPHS])
def test_every_photograph_is_in_the_package(name):
    assert photograph(name, grey=False).ndim == 3


def test_a_missing_photograph_is_named():
    with pytest.raises(DataError, match=r"nowhere\.png"):
        photograph("nowhere.png", grey=False)


def test_a_window_of_a_flat_picture_is_flat():
    flat = np.full((50, 80), 77, np.uint8)
    window = crop(flat, Draws(3, held_out=False), height=33, width=21, zoom=(0.3, 0.9))
    assert window.shape == (33, 21)
    assert (window == 77).all()


def test_crops_differ_between_seeds():
    one, two = (photograph_crop(Draws(s, held_out=False), height=64, width=64) for s in (1, 2))
    assert one.shape == (64, 64, 3)
    assert not np.array_equal(one, two)
