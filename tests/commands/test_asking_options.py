"""What was typed, and which way to ask it means."""

from __future__ import annotations

from pathlib import Path

import pytest

from pasam.cli.predict import chosen_prompting
from pasam.errors import PromptError
from pasam.inference.prompting import AutomaticMasks, FixedPrompts

NOTHING = {
    "box": None,
    "point": None,
    "everything": False,
    "grid": {},
    "detections": None,
    "annotations": None,
    "min_score": 0.3,
}


def chosen(**typed):
    return chosen_prompting([Path("a.png")], **{**NOTHING, **typed})


def test_boxes_and_points_are_prompts():
    asking = chosen(box=["1,2,3,4", "5,6,7,8"])
    assert isinstance(asking, FixedPrompts)
    assert len(asking.prompts) == 2


def test_everything_keeps_what_was_typed():
    asking = chosen(everything=True, grid={"points_per_side": 4, "pred_iou_thresh": None})
    assert isinstance(asking, AutomaticMasks)
    assert asking.typed == {"points_per_side": 4}


@pytest.mark.parametrize(
    "typed",
    [
        {},
        {"everything": True, "box": ["1,2,3,4"]},
        {"detections": Path("x"), "box": ["1,2,3,4"]},
        {"detections": Path("x"), "everything": True},
    ],
    ids=str,
)
def test_exactly_one_thing_is_asked_for(typed):
    with pytest.raises(PromptError, match="say what to segment"):
        chosen(**typed)


def test_detections_need_their_set():
    with pytest.raises(PromptError, match="--detections needs --annotations"):
        chosen(detections=Path("x.json"))
