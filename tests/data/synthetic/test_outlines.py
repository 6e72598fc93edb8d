"""Objects of the simple family: solid, with a smooth but varied outline."""

import numpy as np
import pytest

from pasam.synthetic.rims import SHAPES, blob


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("held_out", [False, True])
def test_every_object_is_mostly_body(shape, held_out, solid, kept):
    shares = [kept(solid(shape, seed, held_out=held_out), 9) for seed in range(3)]
    assert np.mean(shares) > 0.6


def test_a_blob_is_whole(solid, holes):
    assert all(holes(solid(blob, seed)) == 0 for seed in range(5))


def test_no_two_blobs_are_alike(solid):
    assert len({solid(blob, seed).tobytes() for seed in range(5)}) == 5
