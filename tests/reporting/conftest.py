"""Scores and pictures that the tests of the reports share."""

import numpy as np
import pandas as pd
import pytest

from pasam.reporting.examples import Example
from pasam.reporting.summary import Bootstrap

LEVELS = {"oracle": 0.95, "sam": 0.5, "hq_sam": 0.65, "pa_sam": 0.7}


def made_up_scores(
    models=tuple(LEVELS), benchmarks=("thin_like", "dis_like", "hrsod_like", "coift_like"), n=6
):
    generator = np.random.default_rng(0)
    rows = []
    for benchmark in benchmarks:
        for k in range(n):
            hardness = generator.uniform(-0.05, 0.05)
            for model in models:
                iou = LEVELS.get(model, 0.6) + hardness
                rows.append(
                    {
                        "model": model,
                        "benchmark": benchmark,
                        "image_id": f"{benchmark}/{k}",
                        "prompt": "box",
                        "corruption": "none",
                        "seed": 42,
                        "iou": iou,
                        "boundary_iou": iou - 0.2,
                        "intersection": round(1000 * iou),
                        "union": 1000,
                        "boundary_covers": benchmark == "thin_like" and k < n / 2,
                    }
                )
    return pd.DataFrame(rows)


@pytest.fixture
def make_scores():
    return made_up_scores


@pytest.fixture
def scores():
    return made_up_scores()


@pytest.fixture
def bootstrap():
    return Bootstrap(draws=200, confidence=0.95, seed=0)


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
            "box": np.array([10, 10, 29, 29], np.float32),
            "predictions": {model: np.roll(truth, 3, axis=1) for model in models},
            "scores": dict.fromkeys(models, (0.7, 0.4)),
            "uncertainty": generator.random((8, 8), np.float32),
            "positive": np.array([[12, 12], [14, 20]], np.float32),
            "negative": np.array([[50, 35]], np.float32),
        }
        return Example(**{**parts, **changes})

    return make
