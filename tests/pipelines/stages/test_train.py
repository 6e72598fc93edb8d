"""The stage `train`: what was trained of one model, and how its training went."""

import hashlib
import json

import pytest
import torch
from small_world import small_base

from pasam.config.params_file import load_variant
from pasam.models.adapter_weights import load_adapter, read_variant
from pasam.models.build import build_trainable, freeze_decoder
from pasam.models.checkpoint import load_strictly, read_metadata, read_weights

BASE = "data/base/vit_tiny.safetensors"

each_model = pytest.mark.parametrize("model", ["hq_sam", "pa_sam"])


@pytest.fixture
def build(world):
    """Build a model as the stage begins with it."""

    def make(model):
        base = small_base()
        load_strictly(base.sam, read_weights(world.path(BASE)), source=BASE)
        torch.manual_seed(42)
        return build_trainable(base, load_variant(model, world.path("params.yaml")))

    return make


@each_model
def test_a_second_run_gives_the_same_bytes(model, world, own_world):
    own_world.run(f"train@{model}")
    assert own_world.contents(f"train@{model}") == world.contents(f"train@{model}")


@each_model
def test_the_file_holds_what_learns_and_names_its_base_and_its_choices(model, world, build):
    path = world.path(f"data/adapters/{model}.safetensors")
    assert sorted(read_weights(path)) == sorted(freeze_decoder(build(model).decoder))
    digest = hashlib.sha256(world.path(BASE).read_bytes()).hexdigest()
    words = read_metadata(path)
    assert (words["decoder"], words["base"]) == (model, digest)
    assert read_variant(path) == load_variant(model, world.path("params.yaml"))


@each_model
def test_training_moves_the_adapter_and_the_frozen_tensors_stay_the_bases(model, world, build):
    segmenter = build(model)
    fresh = {name: t.clone() for name, t in segmenter.decoder.state_dict().items()}
    path = world.path(f"data/adapters/{model}.safetensors")
    load_adapter(segmenter.decoder, path, kind=model, base=read_metadata(path)["base"])
    trained, learning = segmenter.decoder.state_dict(), freeze_decoder(segmenter.decoder)
    own = read_weights(world.path(BASE))
    frozen = [n for n in trained if n not in learning and f"mask_decoder.{n}" in own]
    assert len(frozen) > 50
    assert all(torch.equal(trained[n], own[f"mask_decoder.{n}"].float()) for n in frozen)
    moved = [n for n in learning if not torch.equal(trained[n], fresh[n])]
    assert len(moved) > len(learning) / 2


@each_model
def test_the_history_has_one_row_per_epoch(model, world):
    lines = world.path(f"reports/history/{model}.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1]


def test_a_finished_training_leaves_no_state(world):
    assert not any(world.path("data/resume").iterdir())


def test_without_packed_views_it_trains_on_fresh_ones(world, own_world):
    own_world.change("embed", views=0)
    own_world.change("models.hq_sam", epochs=1)
    own_world.run("embed@train")
    own_world.run("train@hq_sam")
    name = "data/adapters/hq_sam.safetensors"
    assert own_world.contents("train@hq_sam")[name] != world.contents("train@hq_sam")[name]
    assert sorted(read_weights(own_world.path(name))) == sorted(read_weights(world.path(name)))
