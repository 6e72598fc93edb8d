"""Groups: several objects of the asked kinds, the same bytes for the same names."""

import numpy as np
import pytest

from pasam.errors import DataError
from pasam.synthetic.scene import KINDS, draw_group


def group(*entropy, kinds=tuple(KINDS), objects=(2, 5), side=128):
    return draw_group(entropy=entropy, side=side, kinds=kinds, objects=objects)


def test_the_same_entropy_gives_the_same_picture_and_another_one_another():
    first, again, other = group(1, 2), group(1, 2), group(1, 3)
    assert np.array_equal(first.image, again.image)
    assert first.kinds == again.kinds
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


def test_the_number_of_objects_varies_within_its_range():
    counts = {len(group(seed, objects=(2, 4)).masks) for seed in range(12)}
    assert counts == {2, 3, 4}


def test_every_object_is_of_an_asked_kind_and_can_be_seen():
    for seed in range(4):
        found = group(seed, kinds=("bird", "gate"))
        assert set(found.kinds) <= {"bird", "gate"}
        assert len(found.kinds) == len(found.masks)
        for mask in found.masks:
            assert mask.shape == found.image.shape[:2]
            assert (mask > 128).mean() >= 0.002


def test_no_pixel_belongs_to_two_objects():
    for seed in range(4):
        masks = np.stack(group(seed).masks)
        assert (masks > 128).sum(axis=0).max() == 1


@pytest.mark.parametrize("kinds", [("bird", "spaceship"), ()])
def test_unknown_kinds_are_named(kinds):
    with pytest.raises(DataError, match="Unknown kinds of objects"):
        group(1, kinds=kinds)
