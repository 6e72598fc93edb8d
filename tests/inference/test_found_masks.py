"""Masks in the form that is written out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from inference_models import picture

from pasam.errors import PromptError
from pasam.inference.automatic_masks import Everything
from pasam.inference.image_prompt import image_prompt
from pasam.inference.mask_record import FoundMask, masks_of_everything, masks_of_prompts
from pasam.masks.run_lengths import decode


def test_prompts_give_one_mask_each_with_what_was_asked(predictor):
    image = predictor.embed(picture(60, 90))
    prompts = [image_prompt(box=[1, 2, 30, 40]), image_prompt(points=[[5, 6]], labels=[0])]
    found = masks_of_prompts(predictor, image, prompts)
    assert [mask.mask.shape for mask in found] == [(60, 90)] * 2
    assert found[0].prompt == {"box": [1, 2, 30, 40]}
    assert found[1].prompt == {"points": [[5, 6]], "labels": [0]}


def test_a_prompt_outside_the_picture_is_refused(predictor):
    image = predictor.embed(picture(60, 90))
    with pytest.raises(PromptError, match="outside the image of 90 x 60"):
        masks_of_prompts(predictor, image, [image_prompt(box=[1, 2, 300, 40])])


def test_only_pa_sam_has_an_uncertainty_map_to_bring(predictor):
    image = predictor.embed(picture(60, 90))
    prompts = [image_prompt(box=[1, 2, 30, 40])]
    found = masks_of_prompts(predictor, image, prompts, uncertainty=True)[0]
    assert (found.uncertainty is not None) is (predictor.name == "pa_sam")


def test_everything_gives_its_records_masks_with_the_point_that_found_them(predictors):
    image = picture(60, 90)
    model = predictors["sam"]
    options = Everything(points_per_side=3, pred_iou_thresh=-9.0, stability_score_thresh=0.01)
    found = masks_of_everything(model, image, model.embed(image), options)
    assert found
    assert all(mask.prompt["labels"] == [1] for mask in found)
    assert all(mask.mask.any() for mask in found)


def test_a_record_survives_json():
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True
    record = json.loads(json.dumps(FoundMask(mask, 0.51234567, {"box": [1, 2, 3, 4]}).record()))
    assert (record["area"], record["bbox"], record["score"]) == (6, [2, 1, 3, 2], 0.512346)
    assert np.array_equal(decode(record["segmentation"]), mask)
