"""Objects with fine rims: a large body, and strands that an opening takes away."""

import numpy as np
import pytest

from pasam.data.manifest import complexity
from pasam.synthetic.rims import RIMS_SHAPES, blob


@pytest.mark.parametrize("shape", RIMS_SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("held_out", [False, True])
def test_strands_vanish_under_an_opening_and_the_body_stays(shape, held_out, solid, kept):
    shares = [kept(solid(shape, seed, held_out=held_out), 9) for seed in range(3)]
    assert 0.2 < np.mean(shares) < 0.995


@pytest.mark.parametrize("shape", RIMS_SHAPES, ids=lambda shape: shape.__name__)
def test_a_rim_is_more_complex_than_a_smooth_outline(shape, solid):
    smooth = np.mean([complexity(255 * solid(blob, seed)) for seed in range(3)])
    assert np.mean([complexity(255 * solid(shape, seed)) for seed in range(3)]) > 1.5 * smooth
