"""Masks come back as they were predicted, in both formats."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from pasam.errors import PromptError
from pasam.inference.predicted_masks import Details, PredictedMasks
from pasam.masks.run_lengths import decode
from pasam.registry.served_model import answer

MASK = np.random.default_rng(0).random((7, 5)) > 0.5


def found(*, uncertainty=None):
    details = Details(MASK[None], np.ones(1, np.float32), uncertainty, None, None, None, None)
    scores = np.array([0.75], np.float32)
    return PredictedMasks(MASK[None], scores, np.zeros((1, 4, 4), np.float32), details)


def picture(text):
    return np.array(Image.open(io.BytesIO(base64.b64decode(text))))


def test_run_lengths_are_cocos_own():
    one = json.loads(answer([found()], form="rle", uncertainty=False))[0]
    assert one["masks"][0]["size"] == [7, 5]
    assert (decode(one["masks"][0]) == MASK).all()
    assert one["scores"] == [0.75]
    assert "uncertainty" not in one


def test_pngs_hold_the_mask_and_the_uncertainty():
    map_ = np.linspace(0, 1, 35, dtype=np.float32).reshape(7, 5)
    one = json.loads(answer([found(uncertainty=map_)], form="png", uncertainty=True))[0]
    assert (picture(one["masks"][0]) == MASK * np.uint8(255)).all()
    assert np.abs(picture(one["uncertainty"]) / 255 - map_).max() <= 0.5 / 255 + 1e-6


def test_a_model_without_an_uncertainty_map_says_null():
    assert json.loads(answer([found()], form="rle", uncertainty=True))[0]["uncertainty"] is None


def test_an_unknown_format_is_refused_by_name():
    with pytest.raises(PromptError, match="'format' is 'gif', expected 'rle' or 'png'"):
        answer([found()], form="gif", uncertainty=False)
