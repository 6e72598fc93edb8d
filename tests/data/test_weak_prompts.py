"""Loose boxes and few points: the same errors at every strength, only larger."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasam.errors import DataError
from pasam.evaluation.conditions import first_points, loose_box

BOX = np.array([100, 120, 139, 199], np.float32)
SIDE = 512


def loose(scale, box=BOX, name="dis/1", seed=3):
    return loose_box(box, scale, side=SIDE, name=name, seed=seed)


def test_no_noise_leaves_the_box_as_it_is():
    np.testing.assert_allclose(loose(0.0), BOX)


def test_a_looser_box_errs_the_same_way_but_further():
    np.testing.assert_allclose(loose(0.4) - BOX, 4 * (loose(0.1) - BOX), rtol=1e-4)
    assert np.abs(loose(0.1) - BOX).max() > 0


def test_objects_and_seeds_err_in_ways_of_their_own():
    boxes = [loose(0.3), loose(0.3, name="dis/2"), loose(0.3, seed=4)]
    assert len({box.tobytes() for box in boxes}) == 3
    assert loose(0.3).tobytes() == boxes[0].tobytes()


@given(scale=st.floats(0, 0.4), name=st.text(max_size=5), seed=st.integers(0, 9))
def test_centre_and_size_move_by_at_most_the_scale(scale, name, seed):
    found = loose(scale, name=name, seed=seed)
    extent = BOX[2:] - BOX[:2]
    moved = np.abs((found[:2] + found[2:]) / 2 - (BOX[:2] + BOX[2:]) / 2)
    assert (moved <= scale * extent / 2 + 1e-3).all()
    assert (np.abs(found[2:] - found[:2] - extent) <= scale * extent + 1e-3).all()


def test_a_box_stays_inside_the_image():
    corner = np.array([0, 0, 511, 511], np.float32)
    for name in "abcdefgh":
        found = loose(0.4, box=corner, name=name)
        assert found.min() >= 0
        assert found.max() <= SIDE - 1
        assert (found[2:] > found[:2]).all()


def label(pixels=400):
    mask = np.zeros((64, 64), np.uint8)
    mask.flat[np.random.default_rng(1).choice(64 * 64, pixels, replace=False)] = 200
    return mask


def points(count, mask=None, most=10, name="dis/1", seed=3):
    mask = label() if mask is None else mask
    return first_points(mask, count, most=most, name=name, seed=seed)


def test_points_lie_on_the_object_and_are_distinct():
    found = points(10).astype(int)
    assert (label()[found[:, 1], found[:, 0]] == 200).all()
    assert len({tuple(point) for point in found}) == 10


def test_three_points_are_the_first_three_of_ten():
    assert np.array_equal(points(3), points(10)[:3])


def test_each_object_has_points_of_its_own():
    assert not np.array_equal(points(5), points(5, name="dis/2"))


def test_an_object_of_fewer_pixels_repeats_some():
    assert points(10, mask=label(pixels=2)).shape == (10, 2)


def test_an_object_that_has_vanished_is_named():
    with pytest.raises(DataError, match="dis/1 has no pixel"):
        points(1, mask=np.zeros((8, 8), np.uint8))
