"""SAM's attention in fused kernels gives what segment-anything's own gives."""

from __future__ import annotations

import copy

import pytest
import torch

import pasam.models.before_segment_anything  # noqa: F401
from pasam.models.encoders import fused_attention
from pasam.models.encoders.fused_attention import FusedAttention, fused, with_longer_keys
from segment_anything.modeling.image_encoder import Attention, ImageEncoderViT, get_rel_pos


def attention(height=5, width=7, dim=24, heads=3):
    torch.manual_seed(3)
    made = Attention(dim, heads, use_rel_pos=True, input_size=(height, width))
    for table in (made.rel_pos_h, made.rel_pos_w):
        torch.nn.init.normal_(table, std=0.5)  # SAM's start at zero, which would show nothing
    return made, torch.randn(2, height, width, dim)


def apart(one, other):
    return ((one - other).abs().max() / other.abs().max()).item()


@pytest.mark.parametrize(
    ("numbers", "passes"), [(1, 6), (2 * 35**2, 3), (2**24, 1)], ids=["head", "heads", "all"]
)
def test_a_bias_for_some_heads_at_a_time_gives_the_packages_attention(monkeypatch, numbers, passes):
    monkeypatch.setattr(fused_attention, "BIAS_NUMBERS", numbers)
    plain, x = attention()
    biases, attend = [], fused_attention.F.scaled_dot_product_attention

    def noted(*given, attn_mask):
        biases.append(attn_mask.shape)
        return attend(*given, attn_mask=attn_mask)

    monkeypatch.setattr(fused_attention.F, "scaled_dot_product_attention", noted)
    with torch.no_grad():
        wanted = plain(x)
        quick = fused(plain)
        assert type(quick) is FusedAttention
        assert apart(quick(x), wanted) < 1e-5
    assert biases == [(1, 6 // passes, 35, 35)] * passes


def test_longer_keys_give_the_packages_attention_as_well(monkeypatch):
    plain, x = attention()
    with torch.no_grad():
        wanted = plain(x)
        monkeypatch.setattr(fused_attention, "with_bias", with_longer_keys)
        assert apart(fused(plain)(x), wanted) < 1e-5
        assert apart(fused(plain).bfloat16()(x.bfloat16()).float(), wanted) < 0.05


def test_gradients_reach_weights_and_tables_of_positions_as_in_the_package():
    plain, x = attention()
    plain(x).square().sum().backward()
    wanted = {name: each.grad.clone() for name, each in plain.named_parameters()}
    plain.zero_grad()
    fused(plain)(x).square().sum().backward()
    for name, each in plain.named_parameters():
        assert wanted[name].abs().max() > 0
        assert apart(each.grad, wanted[name]) < 1e-4, name


def whole_encoder():
    """An encoder with windows and a global layer, and an image."""
    torch.manual_seed(5)
    encoder = ImageEncoderViT(
        img_size=96, embed_dim=32, depth=3, num_heads=4, out_chans=16, use_rel_pos=True,
        window_size=4, global_attn_indexes=(1,),
    ).eval()  # fmt: skip
    for name, table in encoder.named_parameters():
        if "rel_pos" in name:
            torch.nn.init.normal_(table, std=0.5)
    return encoder, torch.randn(1, 3, 96, 96)


def test_a_whole_encoder_with_windows_and_global_layers_gives_the_same_embedding():
    encoder, image = whole_encoder()
    with torch.no_grad():
        wanted = encoder(image)
        names = list(encoder.state_dict())
        assert apart(fused(encoder)(image), wanted) < 1e-5
    assert list(encoder.state_dict()) == names
    assert sum(type(module) is FusedAttention for module in encoder.modules()) == 3


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.05)], ids=["float32", "half"]
)
@torch.no_grad()
def test_a_gpu_encodes_as_the_packages_attention_does_on_the_cpu(tested_device, dtype, tolerance):
    encoder, image = whole_encoder()
    wanted = encoder(image)
    quick = fused(copy.deepcopy(encoder)).to(tested_device, dtype)
    found = quick(image.to(tested_device, dtype))
    assert found.device.type == tested_device
    assert found.dtype is dtype
    assert apart(found.float().cpu(), wanted) < tolerance


@pytest.mark.parametrize(("rows", "size"), [(1, 1), (5, 3), (27, 14), (27, 9)])
def test_distances_are_laid_out_as_the_package_indexes_them(rows, size):
    table = torch.randn(rows, 4)
    assert torch.equal(fused_attention._by_distance(table, size), get_rel_pos(size, size, table))
