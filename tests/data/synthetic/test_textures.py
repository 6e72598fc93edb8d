"""Texture tiles: every kind has visible structure and its own held-out form."""

import numpy as np
import pytest

from pasam.synthetic.surfaces import KINDS, TILE, tile


@pytest.mark.parametrize("kind", KINDS)
def test_a_tile_has_structure_and_another_form_when_held_out(kind):
    training, held_out = (tile(kind, 0, held_out=side) for side in (False, True))
    assert training.shape == (TILE, TILE)
    assert training.dtype == np.uint8
    assert training.std() > 8
    assert not np.array_equal(training, held_out)
