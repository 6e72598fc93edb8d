"""An adapter's file holds what was trained, and fits one base and one decoder only."""

from __future__ import annotations

import pytest
import torch
from variants import hq_sam, pa_sam

from pasam.errors import CheckpointError, ParamsError
from pasam.models import hq_mask_decoder, pa_mask_decoder
from pasam.models.adapter_weights import (
    TITLES,
    load_adapter,
    read_variant,
    recognise,
    reload_parity,
    write_adapter,
)
from pasam.models.build import build_base, build_tiny, build_trainable, digest, freeze_decoder
from pasam.models.checkpoint import read_metadata, read_weights, write_state_dict, write_weights

HQ, PA = hq_sam(), pa_sam(mining_points=2)
PREFIXES = {"hq_sam": hq_mask_decoder.TRAINABLE, "pa_sam": pa_mask_decoder.TRAINABLE}

each_variant = pytest.mark.parametrize("variant", [HQ, PA], ids=["hq_sam", "pa_sam"])


@pytest.fixture(scope="module")
def base():
    torch.manual_seed(0)
    return build_tiny(side=64, dim=32, widths=(16, 16, 24, 32), depths=(1, 1, 1, 1))


@pytest.fixture
def trained(base):
    """A segmenter whose adapter has moved from where it began."""

    def make(variant):
        torch.manual_seed(1)
        segmenter = build_trainable(base, variant)
        with torch.no_grad():
            for parameter in segmenter.decoder.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.5)
        return segmenter

    return make


@pytest.fixture
def path(tmp_path):
    return tmp_path / "adapter.safetensors"


@each_variant
def test_only_the_decoders_own_parts_learn(variant, base):
    segmenter = build_trainable(base, variant)
    learning = freeze_decoder(segmenter.decoder)
    assert learning
    assert all(name.startswith(tuple(PREFIXES[variant.decoder])) for name in learning)
    of_all = [name for name, p in segmenter.named_parameters() if p.requires_grad]
    assert of_all == [f"decoder.{name}" for name in learning]


@each_variant
def test_the_file_holds_what_learns_and_nothing_else(variant, trained, path):
    decoder = trained(variant).decoder
    write_adapter(path, decoder, variant=variant, base="b")
    assert sorted(read_weights(path)) == sorted(freeze_decoder(decoder))
    words = read_metadata(path)
    assert words.keys() == {"base", "decoder", "variant"}
    assert (words["base"], words["decoder"]) == ("b", variant.decoder)


@each_variant
def test_the_file_says_how_its_decoder_is_built(variant, trained, path):
    write_adapter(path, trained(variant).decoder, variant=variant, base="b")
    assert read_variant(path) == variant


def test_a_file_of_before_says_nothing(trained, path):
    write_weights(path, {"x": torch.zeros(1)}, metadata={"decoder": "hq_sam", "base": "b"})
    assert read_variant(path) is None


def test_a_decoder_of_another_version_is_refused_by_its_key(trained, path):
    words = {"variant": '{"decoder": "pa_sam", "colour": "red"}'}
    write_weights(path, {"x": torch.zeros(1)}, metadata=words)
    with pytest.raises(ParamsError, match=r"adapter.*: section 'variant' lacks .*'colour'"):
        read_variant(path)


@each_variant
def test_a_written_adapter_comes_back_bit_for_bit(variant, base, trained, path):
    segmenter = trained(variant)
    write_adapter(path, segmenter.decoder, variant=variant, base="b")
    torch.manual_seed(2)
    other = build_trainable(base, variant).decoder
    assert digest(other.state_dict()) != digest(segmenter.decoder.state_dict())
    load_adapter(other, path, kind=variant.decoder, base="b")
    assert digest(other.state_dict()) == digest(segmenter.decoder.state_dict())
    reload_parity(segmenter, variant, path, base="b")


def test_an_adapter_of_another_base_is_refused_by_its_digest(trained, path):
    decoder = trained(HQ).decoder
    write_adapter(path, decoder, variant=HQ, base="abc")
    with pytest.raises(CheckpointError, match="trained for base 'abc', expected 'def'"):
        load_adapter(decoder, path, kind="hq_sam", base="def")


def test_an_adapter_of_another_decoder_is_refused_by_its_name(trained, path):
    write_adapter(path, trained(HQ).decoder, variant=HQ, base="b")
    with pytest.raises(CheckpointError, match="for decoder 'hq_sam', expected 'pa_sam'"):
        load_adapter(trained(PA).decoder, path, kind="pa_sam", base="b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop(sorted(w)[0]), "missing "),
        (lambda w: w.update(stranger=torch.zeros(1)), "unknown stranger"),
        (lambda w: w.update({"iou_token.weight": torch.zeros(1, 32)}), "iou_token.weight"),
    ],
    ids=["missing", "unknown", "frozen"],
)
def test_a_file_with_other_tensors_is_refused_and_changes_nothing(change, message, trained, path):
    decoder = trained(PA).decoder
    write_adapter(path, decoder, variant=PA, base="b")
    weights, words = read_weights(path), read_metadata(path)
    change(weights)
    write_weights(path, weights, metadata=words)
    before = digest(decoder.state_dict())
    with pytest.raises(CheckpointError, match=message):
        load_adapter(decoder, path, kind="pa_sam", base="b")
    assert digest(decoder.state_dict()) == before


def test_a_file_that_is_not_what_is_in_memory_is_noticed(trained, path):
    segmenter = trained(HQ)
    write_adapter(path, segmenter.decoder, variant=HQ, base="b")
    with torch.no_grad():
        next(p for p in segmenter.decoder.parameters() if p.requires_grad).add_(1)
    with pytest.raises(CheckpointError, match="does not give the trained weights back"):
        reload_parity(segmenter, HQ, path, base="b")


def test_a_frozen_tensor_that_moved_is_noticed(trained, path):
    segmenter = trained(HQ)
    with torch.no_grad():
        segmenter.decoder.iou_token.weight.add_(1)
    write_adapter(path, segmenter.decoder, variant=HQ, base="b")
    with pytest.raises(CheckpointError, match="does not give the trained weights back"):
        reload_parity(segmenter, HQ, path, base="b")


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


def test_a_decoder_has_no_size(tmp_path):
    write_weights(tmp_path / "x.safetensors", {"iou_token.weight": torch.zeros(1)}, metadata={})
    assert recognise(tmp_path / "x.safetensors").size is None


def test_other_weights_are_refused(tmp_path):
    write_weights(tmp_path / "x.safetensors", {"fc.weight": torch.zeros(1)}, metadata={})
    with pytest.raises(CheckpointError, match=r"holds 1 tensors, e.g. fc.weight: no whole SAM"):
        recognise(tmp_path / "x.safetensors")
