"""Grounds and materials: right shape, varied, and laid with soft edges."""

import numpy as np
import pytest

from pasam.errors import DataError
from pasam.synthetic.randomness import Draws
from pasam.synthetic.strokes import Drawing, circle, rasterise
from pasam.synthetic.surfaces import (
    HELD_OUT_GREYS,
    HELD_OUT_PHOTOGRAPHS,
    KINDS,
    TILE,
    TRAINING_GREYS,
    TRAINING_PHOTOGRAPHS,
    blend,
    colour_table,
    crop,
    expose,
    ground,
    material,
    paint,
    photograph,
    photograph_crop,
    tile,
)


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


@pytest.mark.parametrize("kind", KINDS)
def test_a_tile_has_structure_and_another_form_when_held_out(kind):
    training, held_out = (tile(kind, 0, held_out=side) for side in (False, True))
    assert training.shape == (TILE, TILE)
    assert training.dtype == np.uint8
    assert training.std() > 8
    assert not np.array_equal(training, held_out)


def test_a_table_runs_smoothly_from_one_colour_to_another():
    for seed in range(20):
        table = colour_table(Draws(seed, held_out=False), contrast=(0.1, 0.5))
        assert table.shape == (256, 3)
        assert np.abs(np.diff(table.astype(int), axis=0)).max() <= 2


def test_the_brightness_of_the_ends_differs_by_at_least_the_contrast():
    for seed in range(20):
        table = colour_table(Draws(seed, held_out=False), contrast=(0.3, 0.5)).astype(int)
        assert abs(table[0].max() - table[-1].max()) >= 0.25 * 255 or table.max() == 255


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
