"""Grounds and materials: right shape, varied, and laid with soft edges."""

import numpy as np

from pasam.synthetic.randomness import Draws
from pasam.synthetic.surfaces import blend, ground, material


def test_grounds_have_the_asked_shape_and_differ_between_seeds():
    one = ground(Draws(1, held_out=False), height=70, width=90)
    two = ground(Draws(2, held_out=False), height=70, width=90)
    assert one.shape == (70, 90, 3)
    assert one.dtype == np.uint8
    assert np.abs(one.astype(int) - two).mean() > 5


def test_materials_are_reproducible():
    one, two = (material(Draws(5, held_out=True), height=40, width=30) for _ in range(2))
    assert np.array_equal(one, two)


def test_blending_follows_the_coverage():
    picture, surface = np.full((1, 3, 3), 10, np.uint8), np.full((1, 3, 3), 210, np.uint8)
    blend(picture, surface, np.array([[0, 51, 255]], np.uint8))
    assert picture[0, :, 0].tolist() == [10, 50, 210]
