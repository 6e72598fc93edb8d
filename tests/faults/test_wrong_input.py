"""Wrong input ends a stage with one line that says what is wrong, and exit code 2."""

import hashlib

import numpy as np
import pytest
import torch
from small_world import small_base

from pasam.masks.images import write_png
from pasam.models.checkpoint import read_metadata, read_weights, write_weights

BASE = "pasam/packaged/tiny.safetensors"


@pytest.fixture
def error_of(own_world, capsys):
    """Run a stage that must fail on purpose, and return what it says."""

    def run(name):
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            own_world.run(name)
        said = capsys.readouterr().err
        assert caught.value.code == 2
        assert said.startswith("error: ")
        # One line; only the faults of one's own files follow as a list.
        assert all(line.startswith("- ") for line in said.splitlines()[1:])
        return said

    return run


@pytest.mark.long
def test_every_fault_of_ones_own_files_is_named_at_once(own_world, error_of):
    mask = np.zeros((20, 24), np.uint8)
    mask[5:15, 5:15] = 255
    faults = ("alone", "small", "black", "empty", "text", "cut")
    images = {name: own_world.path(f"data/own/train/mine/im/{name}.png") for name in faults}
    masks = {name: own_world.path(f"data/own/train/mine/gt/{name}.png") for name in faults}
    for number, name in enumerate(faults):
        drawn = np.random.default_rng(number).integers(0, 255, (20, 24, 3), np.uint8)
        write_png(images[name], drawn)
        write_png(masks[name], np.roll(mask, number, 1))
    masks["alone"].unlink()
    write_png(masks["small"], mask[:10, :12])
    write_png(masks["black"], np.zeros_like(mask))
    whole = images["cut"].read_bytes()
    images["cut"].write_bytes(whole[: len(whole) // 2])
    images["empty"].write_bytes(b"")
    images["text"].write_bytes(b"no picture")

    own_world.change("data.generated", train_images=0, benchmark_images=0)
    own_world.run("prepare")
    said = error_of("validate")
    image, label = "data/own/train/mine/im", "data/own/train/mine/gt"
    assert f"{image}/alone.png has no mask" in said
    assert (
        f"mask {label}/small.png is 10 x 12 (height x width) but its image {image}/small.png is "
        "20 x 24" in said
    )
    assert f"{label}/black.png is all black" in said
    for name in ("empty", "text", "cut"):
        assert f"image {image}/{name}.png cannot be decoded" in said


def test_an_unknown_params_key(own_world, error_of):
    own_world.change("train", momentum=0.9)
    assert "params.yaml: section 'train' lacks [] and has unknown ['momentum']" in error_of(
        "train@pa_sam"
    )


def test_an_impossible_value(own_world, error_of):
    own_world.change("embed", batch_size=0)
    assert "embed.batch_size is 0, expected 1 or more" in error_of("embed@val")


@pytest.mark.parametrize("stage", ["embed@val", "train@pa_sam", "baseline@oracle"])
def test_a_checkpoint_of_another_architecture(stage, own_world, error_of):
    wider = small_base(dim=48)
    write_weights(own_world.path(BASE), wider.sam.state_dict(), metadata={})
    said = error_of(stage)
    assert f"{BASE} does not fit this architecture" in said
    assert "is (48,), expected (32,)" in said


@pytest.mark.parametrize(
    "stage", ["embed@train", "train@hq_sam", "evaluate@pa_sam", "baseline@sam"]
)
def test_a_missing_checkpoint(stage, own_world, error_of):
    own_world.path(BASE).unlink()
    assert f"{BASE} does not exist" in error_of(stage)


@pytest.mark.parametrize("stage", ["train@pa_sam", "evaluate@pa_sam"])
def test_embeddings_of_another_base(stage, own_world, error_of):
    weights = read_weights(own_world.path(BASE))
    before = own_world.path(BASE).read_bytes()
    moved = {name: t + 1 if t.is_floating_point() else t for name, t in weights.items()}
    write_weights(own_world.path(BASE), moved, metadata=read_metadata(own_world.path(BASE)))
    made_with = hashlib.sha256(before).hexdigest()[:12]
    assert f"the embeddings were made with base {made_with}" in error_of(stage)


def test_an_adapter_of_another_decoder(own_world, error_of):
    other = own_world.path("data/adapters/hq_sam.safetensors").read_bytes()
    own_world.path("data/adapters/pa_sam.safetensors").write_bytes(other)
    said = error_of("evaluate@pa_sam")
    assert "pa_sam.safetensors was trained for decoder 'hq_sam', expected 'pa_sam'" in said


def test_an_adapter_without_one_of_its_tensors(own_world, error_of):
    path = own_world.path("data/adapters/pa_sam.safetensors")
    weights, words = read_weights(path), read_metadata(path)
    lost = sorted(weights)[0]
    del weights[lost]
    write_weights(path, {**weights, "stranger": torch.zeros(1)}, metadata=words)
    said = error_of("evaluate@pa_sam")
    assert f"missing {lost}; unknown stranger" in said


def test_a_benchmark_that_has_no_images(own_world, error_of):
    own_world.change("data.generated", train_images=1, benchmark_images=0)
    own_world.run("prepare")
    assert "benchmark 'dis_like' has no images" in error_of("baseline@oracle")


def test_too_few_training_masks(own_world, error_of):
    own_world.change("train", batch_size=99)
    assert "fewer than 99 training masks" in error_of("train@hq_sam")


@pytest.mark.parametrize(
    ("stage", "lost"),
    [
        ("embed@val", "data/manifest.parquet"),
        ("train@pa_sam", "data/manifest.parquet"),
        ("evaluate@pa_sam", "data/embeddings/val/labels.npy"),
        ("evaluate@pa_sam", "data/adapters/pa_sam.safetensors"),
        ("report", "data/predictions/sam/dis_like.npz"),
        ("report", "reports/history/pa_sam.jsonl"),
    ],
)
def test_an_input_that_another_stage_should_have_made(stage, lost, own_world, error_of):
    own_world.path(lost).unlink()
    assert lost.rpartition("/")[2] in error_of(stage)


def test_scores_that_are_gone_are_named_by_their_file(own_world, error_of):
    own_world.path("data/scores/sam.parquet").unlink()
    gone = "data/scores/sam.parquet does not exist. Run `dvc repro` to make it again."
    assert gone in error_of("report")
