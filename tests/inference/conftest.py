"""One predictor of each kind, built once."""

from __future__ import annotations

from pathlib import Path

import pytest
from inference_models import KINDS, make_predictor

from pasam.inference.predictor import PromptAdapterPredictor


@pytest.fixture(scope="session")
def predictors() -> dict[str, PromptAdapterPredictor]:
    """One predictor of each kind; a test that sets an image is the only one to read it."""
    return {kind: make_predictor(kind) for kind in KINDS}


@pytest.fixture(params=KINDS)
def predictor(request, predictors) -> PromptAdapterPredictor:
    """Each of the three kinds in turn, with no image set."""
    chosen = predictors[request.param]
    chosen.reset_image()
    return chosen


@pytest.fixture
def project(model_project) -> Path:
    """A project whose `tiny` is a small base; not to be changed."""
    return model_project
