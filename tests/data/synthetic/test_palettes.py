"""Colour tables: smooth from end to end, and as contrasted as asked."""

import numpy as np

from pasam.synthetic.randomness import Draws
from pasam.synthetic.surfaces import colour_table


def test_a_table_runs_smoothly_from_one_colour_to_another():
    for seed in range(20):
        table = colour_table(Draws(seed, held_out=False), contrast=(0.1, 0.5))
        assert table.shape == (256, 3)
        assert np.abs(np.diff(table.astype(int), axis=0)).max() <= 2


def test_the_brightness_of_the_ends_differs_by_at_least_the_contrast():
    for seed in range(20):
        table = colour_table(Draws(seed, held_out=False), contrast=(0.3, 0.5)).astype(int)
        assert abs(table[0].max() - table[-1].max()) >= 0.25 * 255 or table.max() == 255
