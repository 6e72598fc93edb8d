"""Exposure: a mild change that leaves the picture recognisable."""

import numpy as np

from pasam.synthetic.randomness import Draws
from pasam.synthetic.surfaces import expose


def test_exposure_changes_little_and_is_reproducible():
    ramp = np.tile(np.arange(40, 200, 2, dtype=np.uint8)[None, :, None], (60, 1, 3))
    for seed in range(10):
        one, two = (expose(ramp, Draws(seed, held_out=False)) for _ in range(2))
        assert np.array_equal(one, two)
        assert one.shape == ramp.shape
        assert np.corrcoef(one.ravel(), ramp.ravel())[0, 1] > 0.9


def test_every_exposed_picture_has_some_noise():
    flat = np.full((64, 64, 3), 128, np.uint8)
    for seed in range(10):
        assert expose(flat, Draws(seed, held_out=False)).std() > 0.5
