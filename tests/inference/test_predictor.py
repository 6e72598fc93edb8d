"""SamPredictor's manners: exactly its numbers for SAM, and the same shape of answer for all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from inference_models import BASE, make_predictor, picture

from pasam.errors import CheckpointError, DataError, PromptError
from segment_anything import SamPredictor

BOX = [12, 8, 70, 50]
POINTS, LABELS = [[30, 20], [60, 44], [5, 5]], [1, 1, 0]
SHAPES = [(60, 90), (100, 40), (64, 64)]
PROMPTS = {
    "box": {"box": BOX},
    "point": {"point_coords": POINTS[:1], "point_labels": [1]},
    "points": {"point_coords": POINTS, "point_labels": LABELS},
    "box and points": {"box": BOX, "point_coords": POINTS, "point_labels": LABELS},
    "mask": {"mask_input": "logits"},
    "box and mask": {"box": BOX, "mask_input": "logits"},
    "all": {
        "box": BOX,
        "point_coords": POINTS,
        "point_labels": LABELS,
        "mask_input": "logits",
    },
}


def given(name: str, side: int = 32) -> dict:
    """The prompt of a name as arrays."""
    logits = np.random.default_rng(5).normal(0, 5, (1, side, side)).astype(np.float32)
    return {
        key: logits if isinstance(value, str) else np.array(value)
        for key, value in PROMPTS[name].items()
    }


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", PROMPTS)
def test_sams_masks_are_exactly_those_of_sams_own_predictor(name, shape, predictors):
    ours = predictors["sam"]
    theirs = SamPredictor(ours.segmenter.base.sam)
    image = picture(*shape)
    ours.set_image(image)
    theirs.set_image(image)
    assert torch.equal(ours.get_image_embedding(), theirs.get_image_embedding())
    for multimask in (True, False):
        for logits in (True, False):
            options = {"multimask_output": multimask, "return_logits": logits}
            expected = theirs.predict(**given(name), **options)
            found = ours.predict(**given(name), **options)
            for mine, reference in zip(found, expected, strict=True):
                assert mine.dtype == reference.dtype
                assert np.array_equal(mine, reference)


@pytest.mark.parametrize("kind", ["hq_sam", "pa_sam"])
def test_an_adapters_details_hold_exactly_the_bases_masks(kind, predictors):
    image = picture(60, 90)
    adapted, base = predictors[kind], SamPredictor(predictors[kind].segmenter.base.sam)
    adapted.set_image(image)
    base.set_image(image)
    for multimask in (True, False):
        expected = base.predict(**given("all"), multimask_output=multimask)
        found = adapted.predict(**given("all"), multimask_output=multimask, return_details=True)
        assert np.array_equal(found[3].sam_masks, expected[0])
        assert np.array_equal(found[3].sam_scores, expected[1])


def test_the_channels_may_come_in_opencvs_order(predictor):
    image = picture(40, 64)
    predictor.set_image(image)
    expected = predictor.predict(box=BOX, return_logits=True)
    predictor.set_image(image[..., ::-1], "BGR")
    found = predictor.predict(box=BOX, return_logits=True)
    assert np.array_equal(found[0], expected[0])


@pytest.mark.parametrize("multimask", [True, False])
def test_masks_have_the_images_size_and_an_adapter_refines_one(predictor, multimask):
    predictor.set_image(picture(60, 90))
    masks, scores, low_res = predictor.predict(box=BOX, multimask_output=multimask)
    count = 3 if predictor.name == "sam" and multimask else 1
    assert masks.shape == (count, 60, 90)
    assert masks.dtype == bool
    assert scores.shape == (count,)
    assert low_res.shape == (count, 32, 32)


def test_an_adapters_mask_is_not_sams(predictors):
    predictors["pa_sam"].set_image(picture(60, 90))
    masks, _, _, details = predictors["pa_sam"].predict(
        box=BOX, return_logits=True, return_details=True, multimask_output=False
    )
    assert np.abs(masks - details.sam_masks).max() > 1e-2


def test_pa_sams_details_are_maps_and_points_in_the_images_pixels(predictors):
    predictors["pa_sam"].set_image(picture(60, 90))
    details = predictors["pa_sam"].predict(box=BOX, return_details=True)[3]
    assert details.uncertainty.shape == details.coarse.shape == details.refined.shape == (60, 90)
    assert 0 <= details.uncertainty.min() <= details.uncertainty.max() <= 1
    assert details.positive.shape == details.negative.shape == (4, 2)


def test_hq_sam_has_no_maps(predictors):
    predictors["hq_sam"].set_image(picture(60, 90))
    details = predictors["hq_sam"].predict(box=BOX, return_details=True)[3]
    assert details.uncertainty is None
    assert details.positive is None


def test_a_masks_logits_can_be_the_next_prompt(predictor):
    predictor.set_image(picture(60, 90))
    _, _, low_res = predictor.predict(box=BOX, multimask_output=False)
    masks, _, _ = predictor.predict(box=BOX, mask_input=low_res, multimask_output=False)
    assert masks.shape == (1, 60, 90)


@pytest.mark.parametrize("name", PROMPTS)
def test_a_batch_in_the_inputs_pixels_is_sams_too(name, predictors):
    ours = predictors["sam"]
    theirs = SamPredictor(ours.segmenter.base.sam)
    ours.set_image(picture(60, 90))
    theirs.set_image(picture(60, 90))
    prompt = {key: torch.tensor(np.stack([value] * 3)) for key, value in given(name).items()}
    points, labels = prompt.get("point_coords"), prompt.get("point_labels")
    arguments = (points, labels, prompt.get("box"), prompt.get("mask_input"), True, True)
    found, expected = ours.predict_torch(*arguments), theirs.predict_torch(*arguments)
    for mine, reference in zip(found, expected, strict=True):
        assert torch.equal(mine, reference)


def test_without_an_image_there_is_no_answer(predictor):
    assert not predictor.is_image_set
    with pytest.raises(PromptError, match="no image is set: call set_image"):
        predictor.predict(box=BOX)
    with pytest.raises(PromptError, match="no image is set"):
        predictor.get_image_embedding()
    predictor.set_image(picture(60, 90))
    assert predictor.is_image_set
    predictor.reset_image()
    assert not predictor.is_image_set


def test_an_empty_prompt_is_refused(predictor):
    predictor.set_image(picture(60, 90))
    with pytest.raises(PromptError, match="the prompt is empty"):
        predictor.predict()
    with pytest.raises(PromptError, match="the prompt is empty"):
        predictor.predict_torch(None, None)


def test_an_image_embedded_before_can_be_set(predictors):
    maker, user = predictors["sam"], predictors["pa_sam"]
    image = maker.embed(picture(60, 90))
    user.set_image(picture(60, 90))
    expected = user.predict(box=BOX, return_logits=True)[0]
    user.set_embedded(image)
    assert np.array_equal(user.predict(box=BOX, return_logits=True)[0], expected)


def test_an_image_of_another_base_is_refused(predictors):
    other = make_predictor("sam")
    other.base = "another"
    with pytest.raises(CheckpointError, match="embedded by base another"):
        predictors["sam"].set_embedded(other.embed(picture(60, 90)))
    assert predictors["sam"].base == BASE


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4), np.uint8), r"uint8 \(4, 4\), expected"),
        (np.zeros((4, 4, 3), np.float32), r"float32 \(4, 4, 3\), expected uint8"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\), expected"),
    ],
)
def test_what_is_no_picture_is_refused(image, words, predictors):
    with pytest.raises(DataError, match=words):
        predictors["sam"].set_image(image)


def test_an_unknown_order_of_channels_is_refused(predictors):
    with pytest.raises(DataError, match="image_format is 'GBR', expected 'RGB' or 'BGR'"):
        predictors["sam"].set_image(picture(40, 40), "GBR")


def test_the_squash_fills_the_input_and_comes_back_in_one_step():
    squashing = make_predictor("sam", resize="squash")
    squashing.set_image(picture(60, 90))
    assert squashing.image.transform.inner == (64, 64)
    masks, _, low_res = squashing.predict(box=BOX, multimask_output=False, return_logits=True)
    expected = torch.nn.functional.interpolate(
        torch.tensor(low_res)[None], (60, 90), mode="bilinear", align_corners=False
    )
    assert np.array_equal(masks, expected[0].numpy())
