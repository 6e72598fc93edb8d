"""Run lengths hold a mask, whatever form an annotation file gives it in."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pasam.errors import DataError
from pasam.masks.run_lengths import (
    area,
    bounding_box,
    decode,
    encode,
    from_segmentation,
    overlaps,
    runs,
)

MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(mask=MASKS)
def test_a_mask_comes_back_from_its_run_lengths_even_through_json(mask):
    code = json.loads(json.dumps(encode(mask)))
    assert np.array_equal(decode(code), mask)
    assert area(code) == mask.sum()


def square(top, left, side=4):
    mask = np.zeros((20, 30), np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


@pytest.mark.parametrize(
    "segmentation",
    [
        [[5, 3, 9, 3, 9, 7, 5, 7]],
        {"size": [20, 30], "counts": [103, 4, 16, 4, 16, 4, 16, 4, 433]},
        encode(square(3, 5)),
    ],
    ids=["polygon", "plain", "compressed"],
)
def test_every_form_of_an_annotation_is_understood(segmentation):
    assert np.array_equal(decode(from_segmentation(segmentation, 20, 30)), square(3, 5))


def test_the_box_of_a_mask_is_tight_and_that_of_nothing_is_empty():
    assert bounding_box(encode(square(3, 5))) == (5, 3, 4, 4)
    assert bounding_box(encode(np.zeros((4, 4), np.bool_)))[2:] == (0, 0)


def test_overlaps_are_ious_and_of_a_crowd_the_share_inside_it():
    one, half = encode(square(3, 5)), encode(square(3, 7))
    assert overlaps([one], [one, half], [0, 0]).tolist() == [[1.0, pytest.approx(8 / 24)]]
    assert overlaps([one], [half], [1]).tolist() == [[0.5]]
    assert overlaps([one], [], []).shape == (1, 0)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [6, 8], "counts": [3]}, "run-length code of 3 pixels, expected 48"),
        ({"size": [6, 8], "counts": "P0"}, "run-length code of .* pixels, expected 48"),
        ({"size": [6, 8], "counts": "\x01x"}, "cannot be drawn"),
        (encode(np.ones((8, 6), np.bool_)), r"8 x 6 pixels \(height x width\).* have 6 x 8"),
        ([[1, 1]], "has a polygon of 2 numbers"),
        ([["a"] * 6], "has the coordinate"),
        (None, "cannot be drawn"),
        ({"size": [6, 8]}, "cannot be drawn"),
    ],
)
def test_a_code_that_is_damaged_or_of_another_size_never_reaches_the_decoder(segmentation, message):
    with pytest.raises(DataError, match=message):
        from_segmentation(segmentation, 6, 8)


@given(mask=MASKS)
def test_runs_cover_the_whole_mask_and_alternate(mask):
    lengths = runs(encode(mask)["counts"])
    assert sum(lengths) == mask.size
    assert sum(lengths[1::2]) == mask.sum()


def test_a_mask_of_255_is_encoded_as_one_of_booleans_is():
    assert encode(square(3, 5).astype(np.uint8) * 255) == encode(square(3, 5))
