"""An embedded image, kept and brought back."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from inference_models import BASE, make_predictor, picture

from pasam.errors import DataError
from pasam.inference.image_prompt import image_prompt
from pasam.inference.image_transform import EmbeddedImage


@pytest.fixture(scope="module")
def image(predictors):
    return predictors["sam"].embed(picture(60, 90))


def test_written_and_read_it_is_the_same(image):
    again = EmbeddedImage.from_bytes(image.to_bytes())
    assert again.transform == image.transform
    assert again.base == BASE
    assert torch.equal(again.pixels, image.pixels)
    assert torch.equal(again.encoded.embedding, image.encoded.embedding)
    assert torch.equal(again.encoded.early, image.encoded.early)


def test_prompts_on_what_was_read_give_the_same_masks(image, predictor):
    again = EmbeddedImage.from_bytes(image.to_bytes())
    prompt = image_prompt(box=[12, 8, 70, 50])
    first, second = predictor.predict_many([(image, prompt), (again, prompt)], batch_size=1)
    assert np.array_equal(first.low_res, second.low_res)


def test_the_padding_is_what_sams_normalisation_turns_to_zero(image, predictors):
    base = predictors["sam"].segmenter.base
    normalised = base.normalise(image.padded()[None])[0]
    h, w = image.transform.inner
    assert (h, w) == (43, 64)
    assert torch.all(normalised[:, h:] == 0)
    assert normalised[:, :h].abs().max() > 0.5


def test_it_knows_its_size(image):
    assert image.nbytes == 3 * 43 * 64 + 4 * (32 + 16) * 8 * 8


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(content):
    with pytest.raises(DataError, match="no embedded image"):
        EmbeddedImage.from_bytes(content)


@given(st.data())
def test_a_damaged_one_is_refused_or_read_but_breaks_nothing(data):
    content = bytearray(SMALL)
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DataError):
        image = EmbeddedImage.from_bytes(bytes(content))
        assert image.pixels.shape == (3, *image.transform.inner)


@pytest.mark.parametrize(
    "words",
    [
        {"height": "60", "width": "90", "side": "64", "resize": "other", "base": "x"},
        {"height": "0", "width": "90", "side": "64", "resize": "squash", "base": "x"},
        {"height": "6", "width": "90", "side": "64", "resize": "longest", "base": "x"},
    ],
)
def test_words_that_do_not_fit_the_tensors_are_refused(words):
    tensors = {
        "pixels": torch.zeros(3, 43, 64, dtype=torch.uint8),
        "embedding": torch.zeros(1, 32, 8, 8),
        "early": torch.zeros(1, 16, 8, 8),
    }
    with pytest.raises(DataError, match="damaged"):
        EmbeddedImage.from_bytes(safetensors.torch.save(tensors, metadata=words))


SMALL = make_predictor("sam").embed(picture(8, 8)).to_bytes()[:2000]
