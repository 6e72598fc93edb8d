"""Many prompts on many images at once: each answer is what it would be alone."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from inference_models import make_predictor, picture

from pasam.errors import CheckpointError, PromptError
from pasam.inference.image_prompt import image_prompt

LOGITS = np.random.default_rng(5).normal(0, 5, (32, 32))
PROMPTS = [
    image_prompt(box=[12, 8, 50, 30]),
    image_prompt(points=[[20, 20]]),
    image_prompt(points=[[20, 20], [30, 10], [5, 5]], labels=[1, 1, 0]),
    image_prompt(box=[2, 3, 20, 38], points=[[9, 9]], labels=[1]),
    image_prompt(mask=LOGITS),
    image_prompt(box=[1, 1, 30, 30]),
    image_prompt(box=[4, 4, 35, 20], mask=LOGITS),
    image_prompt(points=[[11, 22]]),
]


@pytest.fixture(scope="module")
def images(predictors):
    """Pictures of three shapes, embedded by the base that all models share."""
    shapes = [(40, 60), (64, 64), (90, 45)]
    return predictors["sam"].embed_many([picture(*s, seed=i) for i, s in enumerate(shapes)])


@pytest.fixture(scope="module")
def requests(images):
    return [(images[i % 3], prompt) for i, prompt in enumerate(PROMPTS)]


def assert_same(found, expected):
    np.testing.assert_allclose(found.masks, expected.masks, atol=1e-4)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_allclose(found.low_res, expected.low_res, atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_a_batch_of_mixed_prompts_equals_each_alone(batch_size, predictor, requests):
    options = {"return_logits": True, "return_details": True}
    together = predictor.predict_many(requests, batch_size=batch_size, **options)
    assert len(together) == len(requests)
    for request, found in zip(requests, together, strict=True):
        expected = predictor.predict_many([request], **options)[0]
        assert_same(found, expected)
        np.testing.assert_allclose(found.details.sam_masks, expected.details.sam_masks, atol=1e-4)
        if expected.details.positive is not None:
            assert np.array_equal(found.details.positive, expected.details.positive)
            np.testing.assert_allclose(
                found.details.uncertainty, expected.details.uncertainty, atol=1e-5
            )


def test_several_images_embedded_at_once_equal_each_alone(predictor, images):
    for seed, image in enumerate(images):
        size = (image.transform.height, image.transform.width)
        alone = predictor.embed(picture(*size, seed=seed))
        np.testing.assert_allclose(image.encoded.embedding, alone.encoded.embedding, atol=1e-5)
        np.testing.assert_allclose(image.encoded.early, alone.encoded.early, atol=1e-5)
        assert np.array_equal(image.pixels, alone.pixels)


def test_no_image_and_no_prompt_are_no_error(predictor):
    assert predictor.embed_many([]) == []
    assert predictor.predict_many([]) == []


def test_a_point_of_label_minus_one_says_nothing(predictor, images):
    padded = image_prompt(points=[[20, 20], [0, 0], [0, 0]], labels=[1, -1, -1])
    plain = image_prompt(points=[[20, 20]], labels=[1])
    found = predictor.predict_many([(images[0], padded), (images[0], plain)], return_logits=True)
    assert np.array_equal(found[0].masks, found[1].masks) or np.allclose(
        found[0].masks, found[1].masks, atol=1e-5
    )


def test_details_come_only_when_asked_for(predictor, requests):
    assert predictor.predict_many(requests[:1])[0].details is None


def test_predicting_leaves_nothing_behind(predictor, requests):
    predictor.predict_many(requests)
    assert not predictor.is_image_set


def test_threads_get_their_own_images(predictor):
    """The encoder's early features are caught by a hook on a layer that all threads share."""
    pictures = [picture(40, 60, seed=seed) for seed in range(6)]
    expected = [predictor.embed(image).encoded.early for image in pictures]
    found = [None] * len(pictures)

    def work(place):
        for _ in range(5):
            found[place] = predictor.embed(pictures[place]).encoded.early

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(pictures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine, reference in zip(found, expected, strict=True):
        assert np.array_equal(mine, reference)


def test_an_image_of_another_base_is_refused(images):
    other = make_predictor("sam")
    other.base = "another"
    with pytest.raises(CheckpointError, match="this model's base is another"):
        other.predict_many([(images[0], PROMPTS[0])])


def test_a_mask_prompt_of_another_side_is_refused(predictor, images):
    prompt = image_prompt(mask=np.zeros((64, 64)))
    with pytest.raises(PromptError, match=r"mask prompt is \(64, 64\), expected \(32, 32\)"):
        predictor.predict_many([(images[0], prompt)])


def test_only_sam_is_not_adapted(predictors):
    assert {k: p.is_adapted for k, p in predictors.items()} == {
        "sam": False,
        "hq_sam": True,
        "pa_sam": True,
    }
