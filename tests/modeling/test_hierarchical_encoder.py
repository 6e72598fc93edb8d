"""The small encoder: its grid, its early feature, and how fine it sees."""

import pytest
import torch

from pasam.models.encoder import HierarchicalEncoder


def build(side: int = 64) -> HierarchicalEncoder:
    torch.manual_seed(0)
    encoder = HierarchicalEncoder(
        img_size=side, widths=(12, 16, 20, 24), depths=(1, 2, 1, 1), out_chans=8
    )
    return encoder.eval()


@torch.no_grad()
@pytest.mark.parametrize("side", [32, 64, 96])
def test_the_embedding_has_a_cell_for_every_eight_pixels(side):
    assert build(side)(torch.randn(2, 3, side, side)).shape == (2, 8, side // 8, side // 8)


@torch.no_grad()
def test_the_early_feature_lies_on_the_embeddings_grid():
    encoder, seen = build(), []
    layer = encoder.get_submodule(HierarchicalEncoder.EARLY_LAYER)
    layer.register_forward_hook(lambda _m, _i, output: seen.append(output.shape))
    encoder(torch.randn(2, 3, 64, 64))
    assert seen == [(2, 16, 8, 8)]


@torch.no_grad()
def test_images_do_not_mix():
    encoder, images = build(), torch.randn(3, 3, 64, 64)
    together = encoder(images)
    for i in range(3):
        torch.testing.assert_close(encoder(images[i : i + 1]), together[i : i + 1])


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
