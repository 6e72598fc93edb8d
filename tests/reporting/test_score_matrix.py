"""Tests of scores as arrays of seeds by images."""

import numpy as np
import pandas as pd
import pytest

from pasam.errors import DataError
from pasam.reporting.summary import check_paired, paired_values, score_matrix


def test_images_and_seeds_come_sorted_whatever_the_order_of_rows(make_scores):
    scores = make_scores(models=("sam",), seeds=(2, 1), n=3).sample(frac=1, random_state=0)
    found = score_matrix(scores, "sam", "iou")
    assert found.seeds == [1, 2]
    assert found.images == sorted(found.images, key=lambda name: name)
    assert found.values.shape == (2, 12)
    assert found.strata[0] == "coift_like"


def test_one_benchmark_can_be_taken_alone(make_scores):
    found = score_matrix(make_scores(n=3), "sam", "iou").only("dis_like")
    assert found.images == ["dis_like/0", "dis_like/1", "dis_like/2"]
    assert found.per_image.shape == (3,)


def test_models_are_paired_on_the_seeds_that_both_have(make_scores):
    a = score_matrix(make_scores(models=("a",), seeds=(1, 2, 3)), "a", "iou")
    b = score_matrix(make_scores(models=("b",), seeds=(2, 3, 4)), "b", "iou")
    first, second = paired_values(a, b)
    np.testing.assert_array_equal(first, a.values[1:])
    np.testing.assert_array_equal(second, b.values[:2])


def test_a_model_without_training_goes_with_every_seed(make_scores):
    a = score_matrix(make_scores(models=("a",), seeds=(1, 2)), "a", "iou")
    b = score_matrix(make_scores(models=("sam",), seeds=(0,)), "sam", "iou")
    first, second = paired_values(a, b)
    assert (len(first), len(second)) == (2, 1)


def test_models_without_a_common_seed_are_not_compared(make_scores):
    a = score_matrix(make_scores(models=("a",), seeds=(1, 2)), "a", "iou")
    b = score_matrix(make_scores(models=("b",), seeds=(3, 4)), "b", "iou")
    with pytest.raises(DataError, match=r"\[1, 2\] and \[3, 4\], none of them the same"):
        paired_values(a, b)


def test_a_seed_that_lacks_an_image_is_named(make_scores):
    scores = make_scores(models=("a",), benchmarks=("x",), n=3, seeds=(1, 2))
    lacking = scores[~((scores["seed"] == 2) & (scores["image_id"] == "x/1"))]
    with pytest.raises(DataError, match=r"'a' \(seed 2\) lacks 1 of 3 images, the first is 'x/1'"):
        check_paired(pd.DataFrame(lacking))
