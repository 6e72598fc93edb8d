"""Reload parity is exact and fails for other weights; times are measured for each model."""

from __future__ import annotations

import pytest
import torch

from pasam.registry.evidence import examples, latencies, reload_parity
from pasam.registry.model_files import predictor_of


@pytest.fixture
def seen(promoted):
    return examples(promoted.folder, promoted.path("data/manifest.parquet"), count=2)


def test_one_image_of_each_benchmark_is_tried(seen):
    assert len(seen) == 2
    assert all(x0 < x1 and y0 < y1 for x0, y0, x1, y1 in (each.box for each in seen))


def test_the_served_model_predicts_what_the_trained_one_does_and_no_other(champion_folder, seen):
    model = predictor_of(champion_folder)
    assert reload_parity(champion_folder, model, seen)
    with torch.no_grad():
        for parameter in model.segmenter.decoder.parameters():
            parameter.add_(0.05)
    assert not reload_parity(champion_folder, model, seen)


def test_every_model_gets_a_time(champion_folder, seen):
    model = predictor_of(champion_folder)
    times = latencies([model, model], seen)
    assert len(times) == 2
    assert all(0 < time < 60_000 for time in times)
