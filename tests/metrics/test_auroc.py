"""The area is the share of pairs in which the positive scores higher."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pasam.errors import ShapeError
from pasam.evaluation.diagnostics import area_under_roc


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=40).filter(
        lambda items: len({positive for _, positive in items}) == 2
    )
)
def test_the_area_equals_a_count_of_pairs(values):
    scores = np.array([score for score, _ in values], np.float64)
    positive = np.array([flag for _, flag in values])
    pairs = [
        float(high > low) + 0.5 * float(high == low)
        for high in scores[positive]
        for low in scores[~positive]
    ]
    assert area_under_roc(scores, positive) == pytest.approx(np.mean(pairs))


def test_a_perfect_score_has_one_and_a_constant_one_half():
    positive = np.array([[True, False], [False, True]])
    assert area_under_roc(positive.astype(float), positive) == 1
    assert area_under_roc(np.zeros((2, 2)), positive) == 0.5


@pytest.mark.parametrize("flag", [True, False])
def test_one_class_alone_has_no_area(flag):
    assert area_under_roc(np.arange(3.0), np.full(3, flag)) is None


def test_other_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"got \(3,\) and \(2,\)"):
        area_under_roc(np.zeros(3), np.zeros(2, bool))
