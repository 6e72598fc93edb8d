"""The small encoder: its grid, its early feature, and how fine it sees."""

import pytest
import torch
from small_world import small_base

import pasam.models.before_segment_anything  # noqa: F401
from pasam.errors import ShapeError
from pasam.models.build import build_tiny
from pasam.models.encoder import FeaturePyramid, HierarchicalEncoder, ResidualBlock, at_side
from torchvision.models.resnet import BasicBlock
from torchvision.ops import FeaturePyramidNetwork


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
    base = build_tiny(side=256, dim=32, widths=(16, 16, 24, 32), depths=(1, 1, 1, 1))
    code = base.sam.image_encoder.pos_embed
    small = at_side(base, 128).sam.image_encoder.pos_embed
    averaged = torch.nn.functional.avg_pool2d(code, 2)
    inner = (..., slice(1, -1), slice(1, -1))
    assert (small - averaged)[inner].abs().mean() < 0.1 * averaged[inner].abs().mean()


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


@pytest.mark.parametrize(("inputs", "stride"), [(8, 1), (5, 2)])
def test_the_residual_block_is_torchvisions_to_the_last_key_and_bit(inputs, stride):
    shortcut = None if stride == 1 else torch.nn.Conv2d(inputs, 8, 1, stride=stride, bias=False)
    torch.manual_seed(3)
    theirs = BasicBlock(inputs, 8, stride, shortcut)
    torch.manual_seed(3)
    ours = ResidualBlock(inputs, 8, stride, shortcut)
    same_weights(ours, theirs)
    features = torch.randn(3, inputs, 6, 6)
    assert torch.equal(ours(features), theirs(features))


def same_weights(ours: torch.nn.Module, theirs: torch.nn.Module) -> None:
    mine, other = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(other)
    assert all(torch.equal(mine[key], other[key]) for key in mine)
