"""The stage `pretrain`: the small base's weights and how its training went."""

import json

import torch
from small_world import small_base

from pasam.models.checkpoint import load_strictly, read_metadata, read_weights

WEIGHTS = "data/base/vit_tiny.safetensors"


def test_a_second_run_gives_the_same_bytes(world, own_world):
    own_world.run("pretrain")
    assert own_world.contents("pretrain") == world.contents("pretrain")


def test_the_weights_are_in_half_precision_and_fit_the_base(world):
    weights = read_weights(world.path(WEIGHTS))
    floating = [tensor for tensor in weights.values() if tensor.is_floating_point()]
    assert {tensor.dtype for tensor in floating} == {torch.float16}
    assert all(torch.isfinite(tensor).all() for tensor in floating)
    load_strictly(small_base().sam, weights, source=WEIGHTS)
    assert read_metadata(world.path(WEIGHTS)) == {"size": "vit_tiny"}


def test_the_history_has_a_row_per_saved_state(world):
    lines = world.path("reports/history/vit_tiny.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4]


def test_a_finished_training_leaves_no_state(world):
    assert not any(world.path("data/resume").iterdir())


def test_it_can_start_from_given_weights(world, own_world):
    initial = own_world.path("initial.safetensors")
    initial.write_bytes(own_world.path(WEIGHTS).read_bytes())
    own_world.change("pretrain", initial="initial.safetensors")
    own_world.run("pretrain")
    given, scratch = read_weights(initial), world.contents("pretrain")[WEIGHTS]
    assert own_world.contents("pretrain")[WEIGHTS] != scratch
    # Four small steps from there do not lead far.
    moved = read_weights(own_world.path(WEIGHTS))
    name = "image_encoder.neck.weight"
    assert (moved[name].float() - given[name].float()).abs().max() < 0.05
