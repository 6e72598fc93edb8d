"""The stage `pretrain` on a folder of photographs: what it writes, begins with and goes on from."""

import dataclasses
import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from photograph_pool import write_pool
from small_world import dump_yaml, load_yaml, small_base

import pipelines.stages.pretrain as stage
from pasam.config.params_file import load_section
from pasam.config.schema import (
    DataParams,
    GeneratedParams,
    PhotographParams,
    PretrainParams,
    SidePhase,
)
from pasam.errors import CheckpointError, ParamsError
from pasam.models.adapter_weights import read_variant
from pasam.models.checkpoint import (
    file_digest,
    load_strictly,
    read_metadata,
    read_weights,
    write_weights,
)
from pasam.training.photograph_training import _PhotographTraining

PHOTOGRAPHS = PhotographParams(
    folder=None, trunk=None, decoder=None, generated_fraction=0.35, emphasis=(), whole=0.4,
    crop=0.2, box_fraction=0.5, prompts_per_image=1,
    phases=(
        SidePhase(side=32, steps=2, batch_size=2, frozen_stages=0),
        SidePhase(side=64, steps=2, batch_size=2, frozen_stages=0),
    ),
    learning_rate=1e-3, trunk_rate=0.4, warmup_steps=1, weight_decay=0.01, ema_decay=0.5,
    coarseness=0.01, detail_weight=0.5, precision="32-true", accelerator="cpu", devices=1, nodes=1,
    workers=0, row_every=2, save_minutes=0.0,
)  # fmt: skip
DATA = DataParams(
    generated=GeneratedParams(train_images=0, benchmark_images=0, side=64, seed=7),
    catalogue=(), own="own", workers=1,
)  # fmt: skip


def base(size):
    assert size == "tiny"
    return small_base()


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return write_pool(tmp_path_factory.mktemp("pool"))


@pytest.fixture
def run(tmp_path, pool, monkeypatch):
    """Run the stage in a folder of its own; returns the weights that it writes."""
    monkeypatch.setattr(stage, "build_base", base)

    def call(name="tiny", *, initial=None, **changes) -> Path:
        params = PretrainParams(
            seed=1, generated_images=2, initial=None if initial is None else str(initial),
            photographs=PHOTOGRAPHS.replaced(**{"folder": str(pool), **changes}),
        )  # fmt: skip
        checkpoint = tmp_path / f"{name}.safetensors"
        stage.pretrain(
            data=DATA, pretrain=params, resume=tmp_path / "resume", checkpoint=checkpoint,
            curve=tmp_path / f"{name}.jsonl",
        )  # fmt: skip
        return checkpoint

    return call


@pytest.mark.long
def test_it_writes_half_precision_weights_that_load_and_forgets_its_state(run, tmp_path):
    weights = run()
    assert read_metadata(weights)["size"] == "tiny"
    found = read_weights(weights)
    assert {t.dtype for t in found.values() if t.is_floating_point()} == {torch.float16}
    load_strictly(base("tiny").sam, found, source="stage")
    assert not list((tmp_path / "resume").glob("*/state.pt"))


@pytest.mark.slow  # a training
def test_scenes_alone_will_do(run):
    assert run(folder=None).is_file()


def interrupt(run, monkeypatch, **changes):
    """Run the stage `resumed` until it is interrupted before its fourth step."""
    step, left = _PhotographTraining.step, [3]

    def interrupted(training, batch):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return step(training, batch)

    with monkeypatch.context() as patch:
        patch.setattr("pasam.training.photograph_training._PhotographTraining.step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run("resumed", **changes)


@pytest.mark.slow  # tests/faults/test_interruption
def test_an_interrupted_stage_ends_with_the_same_bytes(run, tmp_path, monkeypatch):
    whole = run("whole").read_bytes()
    interrupt(run, monkeypatch)
    (average,) = (tmp_path / "resume").glob("*/average.safetensors")
    load_strictly(base("tiny").sam, read_weights(average), source="average")
    assert run("resumed").read_bytes() == whole
    assert (tmp_path / "resumed.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.slow
def test_a_gpu_goes_on_with_an_interrupted_pretraining(run, monkeypatch, tested_device):
    accelerator = "gpu" if tested_device == "cuda" else "cpu"
    whole = read_weights(run("whole", accelerator=accelerator))
    interrupt(run, monkeypatch, accelerator=accelerator)
    resumed = read_weights(run("resumed", accelerator=accelerator))
    assert resumed.keys() == whole.keys()
    for name, wanted in whole.items():  # half precision; sums on a GPU have no order
        torch.testing.assert_close(resumed[name], wanted, rtol=1e-2, atol=2e-3, msg=name)


@pytest.mark.long
def test_it_goes_on_from_weights_alone(run, tmp_path):
    torch.manual_seed(5)
    first, old = tmp_path / "first.safetensors", small_base()
    write_weights(first, old.sam.state_dict(), metadata={"size": "tiny"})
    still = {"learning_rate": 1e-12, "ema_decay": 0.0}
    second = run("second", initial=first, **still)
    name = "mask_decoder.output_upscaling.0.weight"
    torch.testing.assert_close(
        read_weights(second)[name].float(), old.sam.state_dict()[name], rtol=1e-3, atol=1e-3
    )


@pytest.mark.long
def test_the_decoder_of_another_base_is_taken_over(run, tmp_path):
    torch.manual_seed(5)
    old = small_base()
    write_weights(tmp_path / "old.safetensors", old.sam.state_dict(), metadata={})
    still = {"learning_rate": 1e-12, "ema_decay": 0.0}
    found = read_weights(run(decoder=str(tmp_path / "old.safetensors"), **still))
    name = "mask_decoder.output_hypernetworks_mlps.0.layers.0.weight"
    torch.testing.assert_close(
        found[name].float(), old.sam.state_dict()[name], rtol=1e-3, atol=1e-3
    )


@pytest.mark.long
def test_first_weights_are_a_whole_earlier_trainings_or_what_fits_of_another_base(tmp_path):
    def named(base):
        return {name: tensor.clone() for name, tensor in base.sam.state_dict().items()}

    torch.manual_seed(5)
    old, whole = small_base(), small_base()
    other = "prompt_encoder.no_mask_embed.weight"
    given = {**named(old), other: torch.zeros(1, 3), "unknown.weight": torch.zeros(2)}
    write_weights(tmp_path / "old.safetensors", given, metadata={})
    write_weights(tmp_path / "whole.safetensors", named(whole), metadata={"size": "tiny"})
    params = PHOTOGRAPHS.replaced(decoder=str(tmp_path / "old.safetensors"), trunk=None)
    made = small_base()
    own = named(made)[other]
    stage._initialise(made, params, None)
    for name, tensor in named(made).items():
        assert torch.equal(tensor, own if name == other else given[name]), name
    stage._initialise(made, params, str(tmp_path / "whole.safetensors"))
    for name, tensor in named(made).items():
        assert torch.equal(tensor, named(whole)[name]), name


def test_the_trunk_that_was_named_is_taken_and_not_the_one_beside_another_bases_decoder(
    tmp_path, monkeypatch
):
    torch.manual_seed(5)
    old, named, made = small_base().sam, small_base().sam, small_base()
    trunk = named.image_encoder.trunk.state_dict()
    write_weights(tmp_path / "old.safetensors", old.state_dict(), metadata={})
    write_weights(tmp_path / "trunk.safetensors", trunk, metadata={})
    monkeypatch.setattr(stage, "from_original", lambda weights: weights)
    both = {name: str(tmp_path / f"{name}.safetensors") for name in ("old", "trunk")}
    params = PHOTOGRAPHS.replaced(decoder=both["old"], trunk=both["trunk"])
    stage._initialise(made, params, None)
    for name, tensor in made.sam.state_dict().items():
        of_trunk = trunk.get(name.removeprefix("image_encoder.trunk."))
        assert torch.equal(tensor, old.state_dict()[name] if of_trunk is None else of_trunk), name


def test_a_decoder_of_another_width_is_refused(run, tmp_path):
    old = small_base(dim=16)
    weights = {k: v for k, v in old.sam.state_dict().items() if k.startswith("image_encoder.")}
    write_weights(tmp_path / "old.safetensors", weights, metadata={})
    with pytest.raises(CheckpointError, match=r"old\.safetensors holds no mask decoder that fits"):
        run(decoder=str(tmp_path / "old.safetensors"))


def test_the_recipe_is_read_from_a_params_file(root, tmp_path):
    content = load_yaml((root / "params" / "default.yaml").read_text())
    recipe = PHOTOGRAPHS.model_dump() | {
        "emphasis": [{"dataset": "cats", "factor": 2.5}],
        "phases": [{"side": 128, "steps": 5, "batch_size": 2, "frozen_stages": 3}],
    }
    content["pretrain"] |= {"photographs": recipe}
    path = tmp_path / "params.yaml"
    path.write_text(dump_yaml(content))
    found = load_section(PretrainParams, "pretrain", path).photographs
    assert found is not None
    assert (found.emphasis[0].dataset, found.phases[0].side) == ("cats", 128)


def test_the_documented_recipe_can_be_used(root, tmp_path):
    text = (root / "docs" / "tiny.md").read_text(encoding="utf-8")
    recipe = load_yaml(text.split("```yaml\n")[1].split("```")[0])
    content = load_yaml((root / "params" / "default.yaml").read_text())
    content["pretrain"] |= recipe["pretrain"]
    path = tmp_path / "params.yaml"
    path.write_text(dump_yaml(content))
    found = load_section(PretrainParams, "pretrain", path).photographs
    assert found is not None
    assert [(phase.side, phase.steps) for phase in found.phases] == [(256, 2800)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"whole": 0.8, "crop": 0.4}, r"whole \+ crop is 1\.2"),
        ({"generated_fraction": 1.0}, "generated_fraction is 1.0"),
        ({"warmup_steps": 9}, r"warmup_steps is 9, expected fewer than .* \(4\)"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0"),
        ({"phases": ()}, "phases is"),
    ],
)
def test_impossible_recipes_are_refused(change, message):
    with pytest.raises(ParamsError, match=message):
        PHOTOGRAPHS.replaced(**change)


def test_an_input_side_must_fit_the_encoder():
    with pytest.raises(ParamsError, match="side is 100, expected a multiple of 32"):
        PHOTOGRAPHS.phases[0].replaced(side=100)


@pytest.mark.long
def test_adapters_are_trained_on_a_folder_of_photographs(pool, tmp_path, monkeypatch):
    root = Path(__file__).parents[2]
    found = importlib.util.spec_from_file_location(
        "packaged_adapters", root / "benchmarks" / "packaged_adapters.py"
    )
    script = importlib.util.module_from_spec(found)
    monkeypatch.setitem(sys.modules, "packaged_adapters", script)
    found.loader.exec_module(script)
    for model, recipe in script.RECIPES.items():
        monkeypatch.setitem(script.RECIPES, model, dataclasses.replace(recipe, steps=2))
    base = root / "pasam" / "packaged" / "tiny.safetensors"
    command = ["x", str(pool), "--out", str(tmp_path), "--views", "8", "--scenes", "2"]
    monkeypatch.setattr(sys, "argv", [*command, "--base", str(base)])
    script.main()
    trained = {name: tmp_path / f"{name}.safetensors" for name in script.RECIPES}
    for name in ("hq_sam", "pa_sam", "pa_sam_plus"):
        packaged = base.with_name(f"{name}.safetensors")
        assert read_variant(trained[name]).decoder == read_variant(packaged).decoder
        assert read_metadata(trained[name])["base"] == file_digest(base)
        assert read_weights(trained[name]).keys() == read_weights(packaged).keys()
    head, plus = (read_weights(trained[name]) for name in ("head_only", "pa_sam_plus"))
    moved = [(plus[name] - head[name]).abs().max() for name in head]
    assert 0 < max(moved) < 0.01  # it begins where the head ended
    times = [path.stat().st_mtime_ns for path in trained.values()]
    script.main()  # what is there is not trained again
    assert [path.stat().st_mtime_ns for path in trained.values()] == times
