"""All models of a comparison stand on one base, each with its own weights."""

import pytest
import torch
import yaml
from small_world import small_base

import pasam.models.build
from pasam.config.params_file import load_models
from pasam.config.schema import BaseParams
from pasam.errors import CheckpointError
from pasam.evaluation.model_set import load_lineup

MODELS = ("hq_sam", "pa_sam")


@pytest.fixture
def load(world, monkeypatch):
    monkeypatch.setattr(pasam.models.build, "build_base", small_base)
    content = yaml.safe_load(world.path("params.yaml").read_text())
    checkpoint = world.path(content["base"]["checkpoint"])

    def loaded(adapters=None):
        folder = adapters or world.path("data/adapters")
        base = BaseParams(size="vit_tiny", checkpoint=str(checkpoint))
        models = load_models(world.path("params.yaml"))
        return load_lineup(
            base, models, MODELS, adapters=folder, seed=7, device=torch.device("cpu")
        )

    return loaded


def test_sam_comes_first_without_a_seed_and_the_trained_follow(load):
    found = load()
    assert [(one.name, one.seed) for one in found.contenders] == [
        ("sam", 0), ("hq_sam", 7), ("pa_sam", 7),
    ]  # fmt: skip
    assert all(one.segmenter.base is found.base for one in found.contenders)
    assert not any(one.segmenter.training for one in found.contenders)


def test_a_missing_adapter_is_named(load, tmp_path):
    with pytest.raises(CheckpointError, match=r"hq_sam\.safetensors"):
        load(adapters=tmp_path)


def test_an_adapter_of_another_model_is_refused(load, tmp_path, world):
    weights = world.path("data/adapters/pa_sam.safetensors").read_bytes()
    for name in MODELS:
        (tmp_path / f"{name}.safetensors").write_bytes(weights)
    with pytest.raises(CheckpointError, match="trained for decoder 'pa_sam', expected 'hq_sam'"):
        load(adapters=tmp_path)
