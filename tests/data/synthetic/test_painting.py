"""Painting: an object changes what it covers, plainly, and nothing else but by its shadow."""

import numpy as np

from pasam.synthetic.randomness import Draws
from pasam.synthetic.strokes import Drawing, circle, rasterise
from pasam.synthetic.surfaces import paint


def _painted(seed):
    drawing = Drawing()
    drawing.fill(circle(64, 64, 40))
    layer = rasterise(drawing, side=256, height=128, width=128)
    before = np.full((128, 128, 3), 120, np.uint8)
    after = before.copy()
    paint(after, layer, Draws(seed, held_out=False), unit=1.0)
    inside = np.zeros((128, 128), np.uint8)
    inside[layer.window] = layer.coverage
    return before.astype(int), after.astype(int), inside


def test_an_object_stands_out_from_what_it_covers():
    for seed in range(30):
        before, after, inside = _painted(seed)
        assert (np.abs(after - before).max(axis=2)[inside > 128] > 20).mean() > 0.6


def test_the_ground_is_at_most_darkened():
    for seed in range(30):
        before, after, inside = _painted(seed)
        assert (after <= before)[inside == 0].all()
