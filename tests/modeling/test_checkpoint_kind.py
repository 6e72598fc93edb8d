"""What a file of weights is, by its tensors."""

from __future__ import annotations

import pytest
import torch

from pasam.errors import CheckpointError
from pasam.modeling.build import build_base
from pasam.modeling.checkpoint import write_state_dict, write_weights
from pasam.modeling.checkpoint_kind import TITLES, recognise

SAM = ["image_encoder.x", "mask_decoder.iou_token.weight"]
FILES = {
    "sam": SAM,
    "sam_decoder": ["iou_token.weight"],
    "hq_sam_decoder": ["iou_token.weight", "hf_token.weight"],
    "pa_sam_decoder": ["iou_token.weight", "prompt_adapter.x"],
    "hq_sam_merged": [*SAM, "mask_decoder.hf_token.weight"],
    "pa_sam_merged": [*SAM, "mask_decoder_ori.x", "mask_decoder.prompt_adapter.x"],
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_is_told_by_its_names(kind, suffix, tmp_path):
    weights = {name: torch.zeros(1) for name in FILES[kind]}
    path = tmp_path / f"x{suffix}"
    if suffix == ".pth":
        write_state_dict(path, weights)
    else:
        write_weights(path, weights, metadata={})
    assert recognise(path).kind == kind


def test_an_adapter_is_told_by_its_words(tmp_path):
    path = tmp_path / "x.safetensors"
    words = {"decoder": "pa_sam", "base": "b"}
    write_weights(path, {"prompt_adapter.x": torch.zeros(1)}, metadata=words)
    found = recognise(path)
    assert (found.kind, found.metadata) == ("adapter", words)


def test_every_kind_has_a_title():
    assert set(TITLES) == {*FILES, "adapter"}


@pytest.mark.parametrize("size", ["vit_tiny", "vit_b", "vit_l", "vit_h"])
def test_the_size_of_a_sam_is_told_by_its_shapes(size, tmp_path):
    with torch.device("meta"):
        code = build_base(size).sam.image_encoder.pos_embed
    weights = {name: torch.zeros(1) for name in SAM}
    weights["image_encoder.pos_embed"] = torch.zeros(code.shape)
    write_weights(tmp_path / "x.safetensors", weights, metadata={})
    assert recognise(tmp_path / "x.safetensors").size == size


def test_tiny_is_told_from_vit_tiny_by_its_trunk(tmp_path):
    names = [*SAM, "image_encoder.pos_embed", "image_encoder.trunk.stem.conv.weight"]
    weights = {name: torch.zeros(1, 128, 32, 32) for name in names}
    write_weights(tmp_path / "x.safetensors", weights, metadata={})
    assert recognise(tmp_path / "x.safetensors").size == "tiny"


def test_a_decoder_has_no_size(tmp_path):
    write_weights(tmp_path / "x.safetensors", {"iou_token.weight": torch.zeros(1)}, metadata={})
    assert recognise(tmp_path / "x.safetensors").size is None


def test_other_weights_are_refused(tmp_path):
    write_weights(tmp_path / "x.safetensors", {"fc.weight": torch.zeros(1)}, metadata={})
    with pytest.raises(CheckpointError, match=r"holds 1 tensors, e.g. fc.weight: no whole SAM"):
        recognise(tmp_path / "x.safetensors")
