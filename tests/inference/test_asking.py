"""Three ways to ask for the masks of a picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from inference_models import picture

from pasam.inference.image_prompt import image_prompt
from pasam.inference.prompting import (
    AskedDetections,
    AskedEverything,
    AskedPrompts,
    DetectedPrompt,
    DetectedSet,
    ReadPicture,
)

PATH = Path("a.png")
BOX = image_prompt(box=[12, 8, 70, 50])


@pytest.fixture
def ask(predictors):
    """Ask PA-SAM about one picture."""
    model, pixels = predictors["pa_sam"], picture(60, 90)
    shown = ReadPicture(PATH, pixels, model.embed(pixels))
    return lambda asking, uncertainty=False: asking.masks(model, shown, uncertainty=uncertainty)


def test_prompts_are_answered_one_by_one(ask):
    asking = AskedPrompts([BOX, BOX])
    found = ask(asking, uncertainty=True)
    assert [mask.prompt for mask in found] == [{"box": [12, 8, 70, 50]}] * 2
    assert found[0].uncertainty.shape == (60, 90)
    assert (asking.categories, asking.upright) == ({1: "object"}, True)


def test_everything_takes_what_was_typed_and_what_suits_the_model_for_the_rest(ask):
    typed = {"points_per_side": 2, "pred_iou_thresh": -9.0, "stability_score_thresh": 0.0}
    found = ask(AskedEverything(typed))
    points = {tuple(mask.prompt["points"][0]) for mask in found}
    assert points
    assert points <= {(22.5, 15), (67.5, 15), (22.5, 45), (67.5, 45)}


def test_a_detectors_words_go_into_the_record(ask):
    about = {"category_id": 3, "category": "dog", "detection_score": 0.9}
    asking = AskedDetections(DetectedSet({3: "dog"}, {PATH: [DetectedPrompt(BOX, about)]}))
    (mask,) = ask(asking)
    assert mask.record().items() >= about.items()
    assert (asking.categories, asking.upright) == ({3: "dog"}, False)


def test_a_picture_without_detections_has_no_masks(ask):
    assert ask(AskedDetections(DetectedSet({}, {PATH: []}))) == []
