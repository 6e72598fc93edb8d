"""Scores and pictures that the tests of the reports share."""

import numpy as np
import pytest
from made_up_run import made_up_ablations, made_up_results, made_up_scores

from pasam.evaluation.predictions import Predicted
from pasam.reporting.figures import ComparedImage
from pasam.reporting.summary import Bootstrap


@pytest.fixture
def make_results():
    return made_up_results


@pytest.fixture(scope="session")
def results():
    return made_up_results()


@pytest.fixture(scope="session")
def equal_variants():
    """Results of variants that are no better or worse than PA-SAM; not to be changed."""
    return made_up_results(**made_up_ablations())


@pytest.fixture
def make_scores():
    return made_up_scores


@pytest.fixture
def scores():
    return made_up_scores()


@pytest.fixture
def bootstrap():
    return Bootstrap(n_resamples=1000, confidence=0.95, seed=0)


@pytest.fixture
def example():
    def make(height=40, width=60, models=("pa_sam", "sam"), **changes):
        generator = np.random.default_rng(0)
        truth = np.zeros((height, width), np.bool_)
        truth[10:30, 10:30] = True
        parts = {
            "image_id": "dis_like/0001",
            "benchmark": "dis_like",
            "image": generator.integers(0, 256, (height, width, 3), np.uint8),
            "truth": truth,
            "predictions": {model: np.roll(truth, 3, axis=1) for model in models},
            "scores": dict.fromkeys(models, (0.7, 0.4)),
        }
        details = {
            "box": np.array([10, 10, 29, 29], np.float32),
            "uncertainty": generator.random((8, 8), np.float32),
            "positive": np.array([[12, 12], [14, 20]], np.float32),
            "negative": np.array([[50, 35]], np.float32),
        }
        details |= {name: changes.pop(name) for name in list(changes) if name in details}
        return ComparedImage(**{**parts, **changes}, details=Predicted(truth, **details))

    return make
