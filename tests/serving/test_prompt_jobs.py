"""From a prompt over the wire to its masks over the wire."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from inference_models import picture
from PIL import Image
from serving_world import BOX

from pasam.errors import PromptError, RefusedError
from pasam.inference.image_prompt import image_prompt
from pasam.masks.run_lengths import decode
from pasam.serving.payloads import Limits, Prompt
from pasam.serving.prompt_jobs import PromptJob, answer_prompts, checked_prompt


@pytest.fixture(scope="module")
def offered(shelf):
    return shelf.offered().get("pa_sam")


@pytest.fixture(scope="module")
def image(offered):
    return offered.model.embed(picture(60, 90))


def checked(image, offered, **prompt):
    return checked_prompt(Prompt(**prompt), image, offered, Limits(points=3))


def job(offered, image, **choices):
    usual = {"multimask": False, "details": False, "low_res": False, "form": "rle"}
    return PromptJob(offered=offered, image=image, prompt=image_prompt(box=BOX), **usual | choices)


def test_all_forms_say_the_librarys_mask(offered, image):
    expected = offered.model.predict_many([(image, image_prompt(box=BOX))])[0].masks[0]
    rle = answer_prompts([job(offered, image)])[0][0]
    png = answer_prompts([job(offered, image, form="png")])[0][0]
    values = np.array(Image.open(io.BytesIO(base64.b64decode(png["png"]))))
    assert np.array_equal(decode(rle["segmentation"]), expected)
    assert np.array_equal(values, expected * np.uint8(255))
    assert rle["area"] == expected.sum()


def test_what_comes_out_as_low_res_goes_in_as_a_mask(offered, image):
    record = answer_prompts([job(offered, image, low_res=True)])[0][0]
    prompt = checked(image, offered, mask=record["low_res"])
    direct = offered.model.predict_many([(image, image_prompt(box=BOX))])[0].low_res[0]
    assert np.array_equal(prompt.mask, direct)


def test_mined_points_lie_in_the_picture_and_sams_mask_is_there(offered, image):
    details = answer_prompts([job(offered, image, details=True)])[0][0]["details"]
    for x, y in details["positive"] + details["negative"]:
        assert 0 <= x < 90
        assert 0 <= y < 60
    assert decode(details["sam"][0]["segmentation"]).shape == (60, 90)
    assert Image.open(io.BytesIO(base64.b64decode(details["uncertainty"]))).size == (90, 60)


def test_candidates_and_details_weigh_more(offered, image):
    plain = job(offered, image).pixels
    assert job(offered, image, multimask=True).pixels == 3 * plain
    assert job(offered, image, details=True).pixels > 3 * plain


@pytest.mark.parametrize(
    ("prompt", "error", "message"),
    [
        ({"points": [(1, 1)] * 4}, RefusedError, "4 points, at most 3"),
        ({"points": [(91, 1)]}, PromptError, "lies outside the image of 90 x 60"),
        ({}, PromptError, "the prompt is empty"),
        ({"box": (9, 9, 3, 3)}, PromptError, "is empty"),
        ({"mask": [[0.0] * 5] * 5}, RefusedError, r"\(5, 5\), expected \(32, 32\)"),
        ({"mask": {"side": 32, "float32": "?"}}, RefusedError, "no base64"),
        ({"mask": {"side": 32, "float32": "AAAA"}}, RefusedError, "3 bytes, expected 4096"),
    ],
)
def test_a_prompt_that_does_not_fit_is_refused(prompt, error, message, offered, image):
    with pytest.raises(error, match=message):
        checked(image, offered, **prompt)


def test_infinite_logits_are_refused(offered, image):
    content = base64.b64encode(np.full(1024, np.inf, "<f4").tobytes()).decode()
    with pytest.raises(PromptError, match="not finite"):
        checked(image, offered, mask={"side": 32, "float32": content})
