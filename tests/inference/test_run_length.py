"""Masks as run lengths."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pasam.inference.run_length import bounding_box, decode, encode

MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@given(MASKS)
def test_a_mask_comes_back_through_json(mask):
    text = json.dumps(encode(mask))
    assert np.array_equal(decode(json.loads(text)), mask)


@given(MASKS)
def test_the_box_is_the_smallest_that_holds_the_mask(mask):
    x, y, width, height = bounding_box(mask)
    inside = mask[y : y + height, x : x + width]
    assert inside.sum() == mask.sum()
    if mask.any():
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()
    else:
        assert (x, y, width, height) == (0, 0, 0, 0)
