"""Sizes by name, official files, and the decoders that start from SAM's."""

import hashlib
from pathlib import Path

import pytest
import torch
import variants
from small_world import small_base
from torch import nn
from variants import hq_sam, pa_sam

import pasam.models.before_segment_anything  # noqa: F401
import segment_anything
from pasam.config.schema import VariantParams
from pasam.errors import CheckpointError, ParamsError
from pasam.models import build, hq_mask_decoder, image_adapter, pa_mask_decoder
from pasam.models.base_sam import BaseSam
from pasam.models.build import (
    OFFICIAL_DEPTHS,
    build_base,
    build_decoder,
    build_trainable,
    count_parameters,
    digest,
    freeze_except,
    frozen_tensors,
    load_base,
)
from pasam.models.checkpoint import write_state_dict, write_weights
from segment_anything.build_sam import _build_sam

HQ, PA = hq_sam(), pa_sam(mining_points=3)
TINY_KEYS = "bcfd595662765dd99167b44e16160d1c4b60364253662737afb4a1c5393ef8b4"
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
    return build_base("tiny")


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
    assert len(lines) == 442
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == TINY_KEYS


def test_the_small_size_fits_in_twelve_megabytes_of_half_precision(tiny):
    assert sum(2 * tensor.numel() for tensor in tiny.sam.state_dict().values()) <= 12_000_000


@pytest.mark.parametrize("size", OFFICIAL)
def test_official_sizes_have_the_official_names_and_shapes(size):
    base = on_meta(size)
    with torch.device("meta"):
        official = segment_anything.sam_model_registry[size](checkpoint=None)
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


def test_vit_t_is_sam_with_tiny_vit_in_its_vits_place():
    mobile, official = (shapes(on_meta(size).sam) for size in ("vit_t", "vit_b"))
    rest = [
        {name: shape for name, shape in each.items() if not name.startswith("image_encoder.")}
        for each in (mobile, official)
    ]
    assert rest[0] == rest[1]
    base = on_meta("vit_t")
    assert (base.side, base.grid, base.dim, base.mask_side) == (1024, 64, 256, 256)
    assert (base.early_layer, base.early_dim) == ("layers.1", 160)
    assert len(mobile) == 439
    tensors = base.sam.state_dict().values()
    # `mobile_sam.pt` has 40,728,226 bytes: torch also writes names, and where each tensor lies.
    assert 40_728_226 - 439 * 512 < sum(t.numel() * t.element_size() for t in tensors) < 40_728_226


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


def test_every_choice_of_a_variant_reaches_its_own_place_in_the_decoder():
    base = small_base()
    choices = {
        "gradient": "image", "mining_points": 5, "mining_score_scale": 7.0,
        "mining_temperature": 0.3, "mining_cells": "uncertain", "adapter_fine": True,
        "adapter_maps": "double", "trains": "adapter", "iou_head": "trained",
    }  # fmt: skip
    decoder = build_decoder(base, pa_sam(**choices))
    sampler = decoder.sampler
    assert (sampler.points, sampler.score_scale, sampler.temperature) == (5, 7.0, 0.3)
    assert (decoder.gradient, decoder.mines_uncertain_only) == ("image", True)
    assert decoder.prompt_adapter.parts == pa_sam(**choices).adapter
    assert decoder.fine_compensation.fold == base.side // base.mask_side == 2
    assert decoder.trainable == (*pa_mask_decoder.ADAPTER, *pa_mask_decoder.IOU_HEAD)
    plain = build_decoder(base, pa_sam(mining_method="none"))
    assert (plain.gradient, plain.mines_uncertain_only) == ("reference", False)
    assert (plain.fine_compensation, plain.trainable) == (None, pa_mask_decoder.TRAINABLE)
    predicts = {"none": "none", "random": "fixed", "top": "top", "gumbel": "top"}
    for method, mode in predicts.items():
        assert build_decoder(base, pa_sam(mining_method=method)).predicts_by == mode
    for trains, prefixes in (("mask_head", image_adapter.TRAINABLE), ("adapter", None)):
        other = build_decoder(base, variants.image_adapter(trains=trains, gradient="image"))
        assert other.trainable == (prefixes or image_adapter.ADAPTER)
        assert other.gradient == "image"
    own, hidden = base.sam.mask_decoder, base.sam.mask_decoder.iou_prediction_head.layers[0]
    for each in (decoder, other, build_decoder(base, variants.hq_sam())):
        assert each.iou_prediction_head.layers[0].out_features == hidden.out_features
        assert each.transformer.depth == own.transformer.depth


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
    base = load_base("tiny", path)
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
    official = segment_anything.sam_model_registry["vit_b"](checkpoint=None).state_dict()
    torch.save(official, tmp_path / "sam_vit_b_01ec64.pth")
    found = load_base("vit_b", tmp_path / "sam_vit_b_01ec64.pth").sam.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in official.items())


@pytest.mark.usefixtures("thin_vit_b")
def test_a_file_of_another_size_is_refused_by_its_tensors(tmp_path):
    path = tmp_path / "sam_vit_b_01ec64.pth"
    write_state_dict(path, build.sam_model_registry["vit_b"](checkpoint=None).state_dict())
    with pytest.raises(CheckpointError) as caught:
        load_base("tiny", path)
    words = str(caught.value)
    assert f"{path} does not fit this architecture (" in words
    assert "tensors expected, 202 found)" in words
    assert "missing image_encoder.fine.bias, " in words
    assert "unknown image_encoder.blocks.0.attn.proj.bias, " in words
    assert "mask_decoder.iou_prediction_head.layers.0.bias is (256,), expected (128,)" in words
    assert "Check base.size against base.checkpoint" in words


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 2))


def take_steps(module: nn.Module, count: int = 3) -> None:
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    for _ in range(count):
        optimizer.zero_grad()
        module(torch.ones(5, 3)).square().sum().backward()
        optimizer.step()


def test_only_names_with_a_prefix_learn(module):
    assert freeze_except(module, ("2.",)) == ["2.weight", "2.bias"]
    assert [n for n, p in module.named_parameters() if p.requires_grad] == ["2.weight", "2.bias"]


HEAD = ("mask_tokens.", "output_upscaling.", "output_hypernetworks_mlps.")
NEW = ("guiding_conv.", "prompt_adapter.", "fine_compensation.")


@pytest.mark.parametrize(
    ("trains", "prefixes", "encoders"),
    [
        ("adapter", NEW, ()), ("mask_head", (*HEAD, *NEW), ()), ("decoder", ("",), ()),
        ("everything", ("",), ("sam.image_encoder.", "sam.prompt_encoder.")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("iou_head", ["frozen", "trained"])
def test_of_a_base_with_a_decoder_learns_what_the_variant_trains(
    trains, prefixes, encoders, iou_head
):
    variant = pa_sam(trains=trains, iou_head=iou_head)
    prefixes += ("iou_prediction_head.",) if iou_head == "trained" else ()
    segmenter = build_trainable(small_base(), variant)
    for module, expected in ((segmenter.decoder, prefixes), (segmenter.base, encoders)):
        learning = [name for name, p in module.named_parameters() if p.requires_grad]
        names = [name for name, _ in module.named_parameters()]
        assert learning == [name for name in names if expected and name.startswith(expected)]


def test_no_prefix_freezes_everything(module):
    assert freeze_except(module, ()) == []
    assert frozen_tensors(module).keys() == module.state_dict().keys()


def test_freezing_again_thaws_what_is_now_named(module):
    freeze_except(module, ())
    assert freeze_except(module, ("0.bias",)) == ["0.bias"]


def test_frozen_weights_keep_every_bit_while_the_others_learn(module):
    learning = freeze_except(module, ("2.",))
    frozen = digest(frozen_tensors(module))
    before = {name: module.state_dict()[name].clone() for name in learning}
    take_steps(module)
    assert digest(frozen_tensors(module)) == frozen
    assert all(not torch.equal(module.state_dict()[name], old) for name, old in before.items())


def test_buffers_count_as_frozen():
    module = nn.BatchNorm1d(2)
    frozen = frozen_tensors(module)
    assert frozen.keys() == {"running_mean", "running_var", "num_batches_tracked"}
    before = digest(frozen)
    module(torch.randn(4, 2))
    assert digest(frozen_tensors(module)) != before


@pytest.mark.parametrize("bit", [0, 13, 31])
def test_one_bit_changes_the_digest(bit):
    weights = {"a": torch.randn(7, 5), "b": torch.randn(3)}
    before = digest(weights)
    bits = weights["a"].view(torch.int32)
    bits[6, 4] ^= torch.tensor(1 << bit).to(torch.int32)
    assert digest(weights) != before
    bits[6, 4] ^= torch.tensor(1 << bit).to(torch.int32)
    assert digest(weights) == before


def test_the_digest_sees_names_shapes_and_types_but_not_order():
    zeros = torch.zeros(4)
    assert digest({"a": zeros, "b": zeros}) == digest({"b": zeros, "a": zeros})
    others = [{"b": zeros}, {"a": zeros.reshape(2, 2)}, {"a": zeros.int()}, {"a": torch.zeros(5)}]
    assert len({digest(w) for w in [{"a": zeros}, *others]}) == 5
