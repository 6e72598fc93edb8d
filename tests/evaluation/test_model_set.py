"""All models of a comparison stand on one base, each with its own weights."""

import copy
import json
import resource
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_world import load_yaml, small_base
from variants import pa_sam

import pasam.models.build
from pasam.config.params_file import load_models
from pasam.config.schema import BaseParams
from pasam.errors import CheckpointError
from pasam.evaluation import model_set as model_set_module
from pasam.evaluation.model_set import (
    ModelEntry,
    encoder_milliseconds,
    load_model_set,
    parameters,
    peak_memory_mib,
    training_facts,
    write_facts,
    write_parameters,
    write_timing,
)
from pasam.evaluation.protocol import evaluate_benchmark
from pasam.models.build import build_trainable, digest, freeze_decoder, frozen_tensors

MODELS = ("hq_sam", "pa_sam")


@pytest.fixture
def load(world, monkeypatch):
    monkeypatch.setattr(pasam.models.build, "build_base", small_base)
    content = load_yaml(world.path("params.yaml").read_text())
    checkpoint = world.path(content["base"]["checkpoint"])

    def loaded(adapters=None):
        folder = adapters or world.path("data/adapters")
        base = BaseParams(size="tiny", checkpoint=str(checkpoint), encoder_precision="32-true")
        models = load_models(world.path("params.yaml"))
        return load_model_set(
            base, models, MODELS, adapters=folder, seed=7, device=torch.device("cpu")
        )

    return loaded


def test_sam_comes_first_without_a_seed_and_the_trained_follow(load):
    found = load()
    assert [(one.name, one.seed) for one in found.entries] == [
        ("sam", 0), ("hq_sam", 7), ("pa_sam", 7),
    ]  # fmt: skip
    assert all(one.segmenter.base is found.base for one in found.entries)
    assert not any(one.segmenter.training for one in found.entries)


def test_a_missing_adapter_is_named(load, tmp_path):
    with pytest.raises(CheckpointError, match=r"hq_sam\.safetensors"):
        load(adapters=tmp_path)


def test_an_adapter_of_another_model_is_refused(load, tmp_path, world):
    weights = world.path("data/adapters/pa_sam.safetensors").read_bytes()
    for name in MODELS:
        (tmp_path / f"{name}.safetensors").write_bytes(weights)
    with pytest.raises(CheckpointError, match="trained for decoder 'pa_sam', expected 'hq_sam'"):
        load(adapters=tmp_path)


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_sam_has_the_parameters_of_its_three_parts_and_none_to_train(model_set):
    sam = model_set.entries[0].segmenter
    assert parameters(sam) == {"parameters": count(model_set.base.sam), "trainable": 0}


def test_an_adapter_replaces_sams_decoder_and_only_its_own_parts_learn(model_set):
    model = model_set.entries[2].segmenter
    freeze_decoder(model.decoder)
    found = parameters(model)
    sam = model_set.base.sam
    assert found["parameters"] == count(sam) - count(sam.mask_decoder) + count(model.decoder)
    learning = sum(p.numel() for p in model.decoder.parameters() if p.requires_grad)
    assert 0 < found["trainable"] == learning < found["parameters"]


def test_counts_are_written_with_the_models_name_and_the_oracle_has_none(tmp_path, model_set):
    write_parameters(tmp_path / "new" / "sam.json", "sam", model_set.entries[0].segmenter)
    content = json.loads((tmp_path / "new" / "sam.json").read_text())
    assert content == {"model": "sam", "parameters": count(model_set.base.sam), "trainable": 0}
    write_parameters(tmp_path / "oracle.json", "oracle", None)
    assert json.loads((tmp_path / "oracle.json").read_text())["parameters"] == 0


def test_time_is_per_mask_and_per_image(tmp_path, base, store):
    path = tmp_path / "new" / "a.json"
    write_timing(path, masks=4, decoder_seconds=2.0, encoder_ms=None)
    content = json.loads(path.read_text())
    assert content.pop("peak_memory_mib") > 10
    assert content == {"masks": 4, "decoder_ms_per_mask": 500.0, "encoder_ms_per_image": None}
    assert 0 < encoder_milliseconds(base, store.images) < 10_000


def test_of_no_mask_no_time_is_told_and_of_an_image_the_mean_after_a_first_one(
    tmp_path, base, monkeypatch
):
    write_timing(tmp_path / "a.json", masks=0, decoder_seconds=0.0, encoder_ms=3.0)
    assert json.loads((tmp_path / "a.json").read_text())["decoder_ms_per_mask"] == 0.0
    seen, images = [], np.arange(5, dtype=np.uint8)[:, None, None, None]
    ended = []  # what a GPU has answered; the clock goes by that
    encoded = SimpleNamespace(embedding=SimpleNamespace(cpu=lambda: ended.append(len(seen))))
    monkeypatch.setattr(
        model_set_module, "encode",
        lambda base, given: seen.append(given.ravel().tolist()) or encoded,
    )  # fmt: skip
    monkeypatch.setattr(model_set_module, "time", SimpleNamespace(perf_counter=lambda: len(ended)))
    assert encoder_milliseconds(base, images) == 1000.0
    assert (seen, ended) == ([[0], [0], [1], [2]], [1, 2, 3, 4])


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux says it so")
def test_memory_is_what_the_system_says():
    def told():
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    before = told()
    assert before <= peak_memory_mib() <= told()


def test_memory_is_in_mib():
    held = bytearray(64 * 2**20)
    held[::4096] = b"x" * len(held[::4096])
    assert 64 < peak_memory_mib() < 100_000


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux tells them apart")
def test_memory_is_the_processs_own_and_not_its_parents(monkeypatch):
    # A process begins as its parent, and `getrusage` never forgets what that one held.
    inherited = SimpleNamespace(ru_maxrss=10**9)
    monkeypatch.setattr(resource, "getrusage", lambda who: inherited)
    assert peak_memory_mib() < 100_000


def build(**changes):
    torch.manual_seed(0)
    return build_trainable(small_base(), pa_sam(**changes))


def facts_of(segmenter, before=""):
    return training_facts(segmenter, model="some", frozen_before=before, base="b")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"trains": "adapter"}, {"guiding_conv", "prompt_adapter"}),
        (
            {"trains": "mask_head", "iou_head": "trained"},
            {"guiding_conv", "prompt_adapter", "mask_tokens", "output_upscaling",
             "output_hypernetworks_mlps", "iou_prediction_head"},
        ),
        (
            {"adapter_dense": False, "adapter_sparse": False, "adapter_tokens": False,
             "mining_method": "none"},
            {"mask_tokens", "output_upscaling", "output_hypernetworks_mlps"},
        ),
        (
            {"trains": "everything"},
            {"guiding_conv", "prompt_adapter", "mask_tokens", "output_upscaling",
             "output_hypernetworks_mlps", "iou_prediction_head", "iou_token", "transformer",
             "image_encoder", "prompt_encoder"},
        ),
    ],
    ids=["adapter", "head", "head_only", "everything"],
)  # fmt: skip
def test_what_learns_is_counted_by_part(changes, parts):
    facts = facts_of(build(**changes))
    assert set(facts["trained"]) == parts
    assert facts["trainable"] == sum(facts["trained"].values())
    assert all(count > 0 for count in facts["trained"].values())


def test_all_parameters_are_those_of_the_encoders_and_the_one_decoder_that_is_used():
    segmenter = build()
    encoders = (segmenter.base.sam.image_encoder, segmenter.base.sam.prompt_encoder)
    used = sum(p.numel() for part in (*encoders, segmenter.decoder) for p in part.parameters())
    assert facts_of(segmenter)["parameters"] == used


def test_the_frozen_digest_tells_whether_a_frozen_tensor_moved():
    segmenter = build()
    before = digest(frozen_tensors(segmenter))
    assert facts_of(segmenter, before)["frozen_after"] == before
    with torch.no_grad():
        segmenter.decoder.mask_tokens.weight.add_(1)  # it learns
    assert facts_of(segmenter, before)["frozen_after"] == before
    with torch.no_grad():
        segmenter.decoder.iou_token.weight.add_(1)  # it does not
    assert facts_of(segmenter, before)["frozen_after"] != before


def test_the_file_holds_the_facts(tmp_path):
    segmenter = build()
    path = tmp_path / "deep" / "some.json"
    write_facts(path, segmenter, model="some", frozen_before="x", base="b")
    assert json.loads(path.read_text()) == facts_of(segmenter, "x")
    assert [file.name for file in path.parent.iterdir()] == ["some.json"]


@pytest.mark.parametrize("number", range(3), ids=["sam", "hq_sam", "pa_sam"])
def test_a_gpu_scores_each_model_as_the_cpu_does(number, model_set, store, manifest, tested_device):
    entry = model_set.entries[number]
    moved = copy.deepcopy(entry.segmenter).to(tested_device)
    one, other = (
        evaluate_benchmark(
            ModelEntry(entry.name, entry.seed, segmenter), store, manifest, batch_size=2,
            boundary_fraction=0.02,
        )
        for segmenter in (moved, entry.segmenter)
    )  # fmt: skip
    assert next(moved.parameters()).device.type == tested_device
    assert len(one.scores) == len(other.scores) == 4
    for found, wanted in zip(one.scores, other.scores, strict=True):
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():  # a pixel in a hundred may lie on either side of 0
            near = pytest.approx(value, abs=0.01) if isinstance(value, float) else value
            assert found[name] == near, name
