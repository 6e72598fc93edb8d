"""Sizes by name, official files, and the decoders that start from SAM's."""

import hashlib
from pathlib import Path

import pytest
import torch
from variants import hq_sam, pa_sam

from pasam.errors import CheckpointError, ParamsError
from pasam.modeling import build, hq_mask_decoder, pa_mask_decoder
from pasam.modeling.base_sam import BaseSam
from pasam.modeling.build import (
    OFFICIAL_DEPTHS,
    build_base,
    build_decoder,
    count_parameters,
    load_base,
)
from pasam.modeling.checkpoint import write_state_dict, write_weights
from pasam.modeling.freezing import freeze_except
from pasam.params import VariantParams
from segment_anything import sam_model_registry
from segment_anything.build_sam import _build_sam

HQ, PA = hq_sam(), pa_sam(mining_points=3)
TINY_KEYS = "1d91c54baa299ffe33a3c6140dc8607e812717243af47ba84bda6dccd0e0bf7a"
OFFICIAL = {  # size: index of the first global block, early channels, tensors, trained by HQ-SAM
    "vit_b": (2, 768, 314, 1_071_104),
    "vit_l": (5, 1024, 482, 1_333_248),
    "vit_h": (7, 1280, 594, 1_595_392),
}


def shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def on_meta(size: str) -> BaseSam:
    with torch.device("meta"):
        return build_base(size)


@pytest.fixture(scope="module")
def tiny() -> BaseSam:
    torch.manual_seed(0)
    return build_base("vit_tiny")


@pytest.fixture
def thin_vit_b(monkeypatch):
    """Narrow blocks in place of vit_b's; all else is the official architecture."""

    def thin(checkpoint):
        return _build_sam(8, 4, 2, (0, 1, 2, 3), checkpoint)

    monkeypatch.setitem(build.sam_model_registry, "vit_b", thin)
    monkeypatch.setitem(build.OFFICIAL_DEPTHS, "vit_b", 4)
    monkeypatch.setitem(build.OFFICIAL_WIDTHS, "vit_b", 8)


def test_the_small_size_has_its_names_and_shapes_pinned(tiny):
    lines = [f"{name} {shape}" for name, shape in sorted(shapes(tiny.sam).items())]
    assert len(lines) == 268
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == TINY_KEYS


def test_the_small_size_fits_in_twelve_megabytes_of_half_precision(tiny):
    assert sum(2 * tensor.numel() for tensor in tiny.sam.state_dict().values()) <= 12_000_000


@pytest.mark.parametrize("size", OFFICIAL)
def test_official_sizes_have_the_official_names_and_shapes(size):
    base = on_meta(size)
    with torch.device("meta"):
        official = sam_model_registry[size](checkpoint=None)
    assert shapes(base.sam) == shapes(official)
    assert len(shapes(base.sam)) == OFFICIAL[size][2]
    assert (base.side, base.grid, base.dim, base.mask_side) == (1024, 64, 256, 256)


@pytest.mark.parametrize("size", OFFICIAL)
def test_the_early_feature_is_that_of_the_first_global_block(size):
    base = on_meta(size)
    first, width, *_ = OFFICIAL[size]
    assert base.early_layer == f"blocks.{first}"
    assert base.early_dim == width
    windows = [block.window_size for block in base.sam.image_encoder.blocks]
    assert len(windows) == OFFICIAL_DEPTHS[size]
    assert windows.index(0) == first  # no window: attention over the whole image


def test_an_unknown_size_is_refused():
    with pytest.raises(ParamsError, match=r"base\.size is 'vit_x', expected one of \['tiny'"):
        build_base("vit_x")


@pytest.mark.parametrize("variant", [PA, HQ], ids=["pa", "hq"])
def test_a_decoder_starts_as_a_copy_of_sams(tiny, variant: VariantParams):
    decoder = build_decoder(tiny, variant)
    own, copy = tiny.sam.mask_decoder.state_dict(), decoder.state_dict()
    assert len(own) == 120
    assert all(torch.equal(copy[name], tensor) for name, tensor in own.items())
    assert not any(copy[name].data_ptr() == tensor.data_ptr() for name, tensor in own.items())


def test_a_decoder_takes_the_choices_of_its_variant(tiny):
    decoder = build_decoder(tiny, PA)
    assert (decoder.gradient, decoder.sampler.points) == ("reference", 3)


@pytest.mark.parametrize("size", OFFICIAL)
def test_decoders_train_as_many_numbers_as_the_references(size):
    base = on_meta(size)
    for variant, trainable, expected in (
        (PA, pa_mask_decoder.TRAINABLE, 1_007_008),
        (HQ, hq_mask_decoder.TRAINABLE, OFFICIAL[size][3]),
    ):
        with torch.device("meta"):
            decoder = build_decoder(base, variant)
        freeze_except(decoder, trainable)
        assert count_parameters(decoder)[1] == expected


def test_a_loaded_base_is_frozen_evaluates_and_equals_its_file(tmp_path, tiny):
    path = tmp_path / "tiny.safetensors"
    write_weights(path, tiny.sam.state_dict(), metadata={})
    base = load_base("vit_tiny", path)
    assert not base.training
    assert count_parameters(base)[1] == 0
    found = base.sam.state_dict()
    assert all(torch.equal(found[name], t) for name, t in tiny.sam.state_dict().items())


@pytest.mark.usefixtures("thin_vit_b")
def test_a_file_as_meta_publishes_them_is_loaded_as_it_is(tmp_path):
    torch.manual_seed(0)
    official = build.sam_model_registry["vit_b"](checkpoint=None).state_dict()
    torch.save(official, tmp_path / "sam_vit_b_01ec64.pth")
    base = load_base("vit_b", tmp_path / "sam_vit_b_01ec64.pth")
    found = base.sam.state_dict()
    assert found.keys() == official.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in official.items())
    assert base.early_layer == "blocks.0"


@pytest.mark.slow
def test_a_whole_vit_b_goes_through_its_file(tmp_path: Path):
    official = sam_model_registry["vit_b"](checkpoint=None).state_dict()
    torch.save(official, tmp_path / "sam_vit_b_01ec64.pth")
    found = load_base("vit_b", tmp_path / "sam_vit_b_01ec64.pth").sam.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in official.items())


@pytest.mark.usefixtures("thin_vit_b")
def test_a_file_of_another_size_is_refused_by_its_tensors(tmp_path):
    path = tmp_path / "sam_vit_b_01ec64.pth"
    write_state_dict(path, build.sam_model_registry["vit_b"](checkpoint=None).state_dict())
    with pytest.raises(CheckpointError) as caught:
        load_base("vit_tiny", path)
    words = str(caught.value)
    assert f"{path} does not fit this architecture (" in words
    assert "tensors expected, 202 found)" in words
    assert "missing image_encoder.fine.bias, " in words
    assert "unknown image_encoder.blocks.0.attn.proj.bias, " in words
    assert "mask_decoder.iou_prediction_head.layers.0.bias is (256,), expected (128,)" in words
    assert "Check base.size against base.checkpoint" in words
