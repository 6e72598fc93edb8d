"""Prompts as they are typed."""

from __future__ import annotations

import pytest

from pasam.cli.predict import typed_prompts
from pasam.errors import PromptError


def test_every_box_is_a_prompt_of_its_own():
    prompts = typed_prompts(["1,2,3,4", "5.5,6,7,8"], [])
    assert [prompt.box.tolist() for prompt in prompts] == [[1, 2, 3, 4], [5.5, 6, 7, 8]]


def test_points_describe_one_object_with_the_box():
    (prompt,) = typed_prompts(["1,2,30,40"], ["5,6", "7,8,0", "9,9,1"])
    assert prompt.box.tolist() == [1, 2, 30, 40]
    assert prompt.points.tolist() == [[5, 6], [7, 8], [9, 9]]
    assert prompt.labels.tolist() == [1, 0, 1]


def test_nothing_typed_is_nothing_asked():
    assert typed_prompts(None, None) == []


@pytest.mark.parametrize(
    ("boxes", "points", "words"),
    [
        (["1,2,3"], None, "--box is '1,2,3', expected x0,y0,x1,y1 in pixels"),
        (["1,2,3,x"], None, "--box is '1,2,3,x'"),
        (None, ["5"], "--point is '5', expected x,y or x,y,0 or x,y,1"),
        (None, ["5,6,2"], "the labels hold 2"),
        (["9,9,1,1"], None, "the box 9,9,1,1 is empty"),
        (["1,1,2,2", "3,3,4,4"], ["1,1"], "1 points come with 2 boxes"),
    ],
)
def test_a_slip_is_said_with_what_was_typed(boxes, points, words):
    with pytest.raises(PromptError, match=words):
        typed_prompts(boxes, points)
