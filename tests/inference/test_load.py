"""From a name to a model that answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from inference_models import picture

from pasam.config.params_file import load_variant
from pasam.errors import CheckpointError
from pasam.inference.model_files import find_model, open_model
from pasam.models.adapter_weights import export_merged, write_adapter
from pasam.models.build import build_trainable, load_base
from pasam.models.checkpoint import file_digest, write_state_dict

ADAPTERS = Path("data/adapters")


def logits(predictor) -> np.ndarray:
    predictor.set_image(picture(60, 90))
    return predictor.predict(box=[12, 8, 70, 50], return_logits=True, multimask_output=False)[0]


@pytest.mark.parametrize("name", ["sam", "hq_sam", "pa_sam"])
def test_a_model_opens_by_its_name(name, project):
    predictor = open_model(find_model(name, adapters=ADAPTERS))
    assert predictor.name == name
    assert predictor.base == file_digest(project / "base.safetensors")
    assert predictor.is_adapted is (name != "sam")
    assert logits(predictor).shape == (1, 60, 90)
    assert not any(p.requires_grad for p in predictor.segmenter.parameters())


@pytest.mark.parametrize("kind", ["hq_sam", "pa_sam"])
def test_the_references_files_give_the_same_masks_as_ours(kind, project, tmp_path):
    ours = open_model(find_model(kind, adapters=ADAPTERS))
    base, decoder = ours.segmenter.base, ours.segmenter.decoder
    write_state_dict(tmp_path / "decoder.pth", decoder.state_dict())
    export_merged(base, decoder, tmp_path / "merged.pth")
    for name in ("decoder.pth", "merged.pth"):
        assert np.array_equal(logits(open_model(find_model(str(tmp_path / name)))), logits(ours)), (
            name
        )


def test_the_adapters_weights_are_really_used(project):
    trained = open_model(find_model("pa_sam", adapters=ADAPTERS))
    variant = load_variant("pa_sam")
    torch.manual_seed(99)
    fresh = build_trainable(load_base("vit_tiny", project / "base.safetensors"), variant)
    names = set(fresh.decoder.state_dict()) - set(fresh.base.sam.mask_decoder.state_dict())
    states = trained.segmenter.decoder.state_dict(), fresh.decoder.state_dict()
    assert any(not torch.equal(states[0][name], states[1][name]) for name in names)


def test_an_adapter_of_another_base_is_refused(project, tmp_path):
    variant = load_variant("pa_sam")
    base = load_base("vit_tiny", project / "base.safetensors")
    path = tmp_path / "pa_sam.safetensors"
    write_adapter(path, build_trainable(base, variant).decoder, variant=variant, base="another")
    with pytest.raises(CheckpointError, match="trained for base 'another'"):
        open_model(find_model(str(path)))


def test_a_missing_base_is_named(project, tmp_path):
    with pytest.raises(CheckpointError, match=r"gone.safetensors does not exist"):
        open_model(find_model("sam", base=tmp_path / "gone.safetensors"))


def test_the_way_to_resize_reaches_the_model(project):
    assert open_model(find_model("sam"), resize="squash").resize == "squash"
