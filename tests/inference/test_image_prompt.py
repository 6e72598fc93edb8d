"""What a prompt may be, and how prompts are put together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pasam.errors import PromptError
from pasam.inference.image_prompt import grouped, image_prompt
from pasam.inference.image_transform import ImageTransform

HERE = ImageTransform(60, 90, 64, "longest")


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({}, "the prompt is empty"),
        ({"points": [], "labels": []}, r"the points are \(0,\), expected \(k, 2\)"),
        ({"points": [[1, 2]], "labels": [-1]}, "the prompt is empty"),
        ({"box": [1, 2, 3]}, "the box has 3 numbers"),
        ({"box": [5, 2, 3, 9]}, "the box 5,2,3,9 is empty, expected x0 < x1"),
        ({"box": [1, 2, 3, 2]}, "the box 1,2,3,2 is empty"),
        ({"box": [1, 2, float("nan"), 4]}, "a number of the box is not finite"),
        ({"box": ["a", 2, 3, 4]}, "the box cannot be read as numbers"),
        ({"box": [1, 2, [3], 4]}, "the box cannot be read as numbers"),
        ({"box": [1, 2, 10**400, 4]}, "the box cannot be read as numbers"),
        ({"points": [1, 2]}, r"the points are \(2,\), expected \(k, 2\)"),
        ({"points": [[1, 2, 3]]}, r"the points are \(1, 3\)"),
        ({"points": [[1, 2]], "labels": [1, 0]}, r"1 points and labels \(2,\)"),
        ({"points": [[1, 2]], "labels": [2]}, "the labels hold 2, expected 1"),
        ({"labels": [1]}, "labels but no points"),
        ({"points": [[1, float("inf")]]}, "not finite"),
        ({"mask": np.zeros((2, 4, 4))}, r"the mask prompt is \(2, 4, 4\)"),
        ({"mask": [[1e300]]}, "expected"),
    ],
)
def test_what_says_nothing_usable_is_refused_in_words(parts, words):
    with pytest.raises(PromptError, match=words):
        image_prompt(**parts)


def test_points_without_labels_lie_on_the_object():
    assert image_prompt(points=[[1, 2], [3, 4]]).labels.tolist() == [1, 1]


def test_a_box_of_one_row_is_a_box():
    assert image_prompt(box=[[1, 2, 3, 4]]).box.tolist() == [1, 2, 3, 4]


def test_what_lies_outside_the_image_is_told():
    image_prompt(box=[0, 0, 90, 60], points=[[90, 60]]).check_inside(60, 90)
    with pytest.raises(PromptError, match="box corner 91,60 lies outside the image of 90 x 60"):
        image_prompt(box=[0, 0, 91, 60]).check_inside(60, 90)
    with pytest.raises(PromptError, match="point -1,3 lies outside"):
        image_prompt(points=[[-1, 3]]).check_inside(60, 90)


def test_prompts_of_equal_parts_share_a_group_and_every_place_comes_once():
    prompts = [
        image_prompt(box=[0, 0, 9, 9]),
        image_prompt(points=[[1, 1]]),
        image_prompt(box=[0, 0, 90, 60]),
        image_prompt(points=[[1, 1], [2, 2]]),
        image_prompt(points=[[3, 3]], labels=[0]),
    ]
    groups = grouped(prompts, [HERE] * 5, mask_side=32, device=torch.device("cpu"))
    assert [group.indices.tolist() for group in groups] == [[0, 2], [1, 4], [3]]
    assert groups[0].boxes[1].tolist() == [0, 0, 64, 43]
    assert groups[0].points is None
    assert groups[1].point_labels.tolist() == [[1], [0]]
    assert groups[1].masks is None
