"""Which files a name means."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from pasam.config.params_file import load_variant
from pasam.errors import CheckpointError, ParamsError
from pasam.inference.model_files import find_model
from pasam.models.adapter_weights import export_merged
from pasam.models.build import build_decoder, load_base
from pasam.models.checkpoint import read_metadata, read_weights, write_state_dict, write_weights

ADAPTERS = Path("data/adapters")


def test_sam_is_the_base_of_the_params_file(project):
    files = find_model("sam")
    assert (files.name, files.size, files.kind, files.weights) == ("sam", "vit_tiny", "sam", None)
    assert files.base == project / "base.safetensors"


@pytest.mark.parametrize("kind", ["hq_sam", "pa_sam"])
def test_an_entry_of_models_is_its_adapter_in_the_folder(kind, project):
    files = find_model(kind, adapters=ADAPTERS)
    assert files.weights == ADAPTERS / f"{kind}.safetensors"
    assert files.variant == load_variant(kind)


def test_an_adapter_says_itself_how_it_is_built(project, tmp_path):
    other = tmp_path / "mine.safetensors"
    shutil.copy(ADAPTERS / "pa_sam.safetensors", other)
    files = find_model(str(other))
    assert (files.name, files.kind) == ("mine", "adapter")
    assert files.variant == load_variant("pa_sam")


def test_an_adapter_of_before_is_looked_up_by_its_name(project, tmp_path):
    words = read_metadata(ADAPTERS / "pa_sam.safetensors")
    del words["variant"]
    silent = tmp_path / "pa_sam.safetensors"
    write_weights(silent, read_weights(ADAPTERS / "pa_sam.safetensors"), metadata=words)
    assert find_model(str(silent)).variant == load_variant("pa_sam")
    silent.rename(tmp_path / "other.safetensors")
    with pytest.raises(ParamsError, match="models has no 'other'"):
        find_model(str(tmp_path / "other.safetensors"))


@pytest.mark.parametrize("kind", ["hq_sam", "pa_sam"])
def test_a_references_files_are_told_by_their_tensors(kind, project, tmp_path):
    torch.manual_seed(0)
    base = load_base("vit_tiny", project / "base.safetensors")
    decoder = build_decoder(base, load_variant(kind))
    write_state_dict(tmp_path / "decoder.pth", decoder.state_dict())
    export_merged(base, decoder, tmp_path / "merged.pth")
    alone = find_model(str(tmp_path / "decoder.pth"))
    assert (alone.kind, alone.base) == (f"{kind}_decoder", project / "base.safetensors")
    merged = find_model(str(tmp_path / "merged.pth"))
    assert (merged.kind, merged.base) == (f"{kind}_merged", tmp_path / "merged.pth")
    assert merged.variant == alone.variant == load_variant(kind)


def test_another_base_can_be_named(project, tmp_path):
    shutil.copy("base.safetensors", tmp_path / "other.safetensors")
    files = find_model("sam", base=tmp_path / "other.safetensors")
    assert (files.base, files.size) == (tmp_path / "other.safetensors", "vit_tiny")
    assert find_model(str(tmp_path / "other.safetensors")).kind == "sam"
    with pytest.raises(CheckpointError, match=r"pa_sam.safetensors is the trained tensors"):
        find_model("sam", base=ADAPTERS / "pa_sam.safetensors")


def test_a_name_that_is_nothing_here_goes_to_who_may_know_it(project):
    champion = dataclasses.replace(find_model("pa_sam", adapters=ADAPTERS), name="champion")
    asked = []

    def resolve(name):
        asked.append(name)
        return champion if name == "champion" else None

    assert find_model("champion", adapters=ADAPTERS, resolve=resolve) is champion
    find_model("pa_sam", adapters=ADAPTERS, resolve=resolve)
    assert asked == ["champion"]
    with pytest.raises(ParamsError, match="there is no model 'challenger'"):
        find_model("challenger", adapters=ADAPTERS, resolve=resolve)


@pytest.mark.parametrize("name", ["pa-sam", "nowhere/pa_sam.safetensors", "gone.pth"])
def test_an_unknown_name_is_refused_with_those_there_are(name, project):
    with pytest.raises(ParamsError, match=r"entries of params.yaml are \['sam', 'hq_sam'"):
        find_model(name, adapters=ADAPTERS)


def test_a_model_that_is_not_trained_yet_says_what_to_do(project, tmp_path):
    with pytest.raises(CheckpointError, match="pa_sam is not trained yet. Run `make reproduce`"):
        find_model("pa_sam", adapters=tmp_path)


def test_sams_decoder_alone_is_no_model(project, tmp_path):
    base = load_base("vit_tiny", project / "base.safetensors")
    weights = base.sam.mask_decoder.state_dict()
    write_weights(tmp_path / "x.safetensors", weights, metadata={})
    with pytest.raises(CheckpointError, match="SAM's mask decoder alone"):
        find_model(str(tmp_path / "x.safetensors"))


def test_a_reference_file_without_an_entry_of_its_decoder_is_refused(project, tmp_path):
    base = load_base("vit_tiny", project / "base.safetensors")
    write_state_dict(tmp_path / "d.pth", build_decoder(base, load_variant("hq_sam")).state_dict())
    params = tmp_path / "params.yaml"
    params.write_text("base: {size: vit_tiny, checkpoint: x}\nmodels: {}\n")
    with pytest.raises(ParamsError, match="no entry of models has the decoder 'hq_sam'"):
        find_model(str(tmp_path / "d.pth"), params_file=params)
