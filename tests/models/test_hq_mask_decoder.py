"""HQ-SAM's decoder: its parameters, its batching and what it trains."""

from pathlib import Path

import pytest
import torch

import pasam.models.before_segment_anything  # noqa: F401
from pasam.models.hq_mask_decoder import TRAINABLE, HqMaskDecoder, HqPrediction
from segment_anything.modeling import TwoWayTransformer

GRID, DIM, EARLY, PROMPTS = 8, 32, 24, 4
KEYS = Path(__file__).parent / "decoder_keys" / "hq_sam_vit_b.txt"
TRAINED = {768: 1_071_104, 1024: 1_333_248, 1280: 1_595_392}


def build(dim: int = DIM, heads: int = 4, width: int = 48, early: int = EARLY) -> HqMaskDecoder:
    transformer = TwoWayTransformer(depth=2, embedding_dim=dim, num_heads=heads, mlp_dim=width)
    return HqMaskDecoder(transformer_dim=dim, transformer=transformer, early_dim=early)


@pytest.fixture
def decoder() -> HqMaskDecoder:
    torch.manual_seed(0)
    return build()


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    return inputs_for(GRID)


def inputs_for(grid: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "image_embeddings": torch.randn(2, DIM, grid, grid),
        "early": torch.randn(2, EARLY, grid, grid),
        "image_pe": torch.randn(1, DIM, grid, grid),
        "sparse": torch.randn(PROMPTS, 3, DIM),
        "dense": torch.randn(PROMPTS, DIM, grid, grid),
        "image_index": torch.tensor([1, 0, 1, 1]),
    }


def decode(decoder: HqMaskDecoder, inputs: dict[str, torch.Tensor], **how: bool) -> HqPrediction:
    """Find the images' details, then decode."""
    rest = {name: value for name, value in inputs.items() if name != "early"}
    details = decoder.details(inputs["image_embeddings"], inputs["early"])
    return decoder.decode(**rest, details=details, **how)


def test_full_size_parameters_have_the_reference_names_and_shapes():
    with torch.device("meta"):
        decoder = build(dim=256, heads=8, width=2048, early=768)
    found = [
        f"{'trained' if key.startswith(TRAINABLE) else 'frozen'} {key} "
        f"{'x'.join(map(str, tensor.shape))}"
        for key, tensor in decoder.state_dict().items()
    ]
    assert sorted(found) == sorted(KEYS.read_text().splitlines())
    assert len(found) == 145


@pytest.mark.parametrize("early", TRAINED)
def test_the_numbers_of_parameters_are_the_references_for_every_encoder(early):
    with torch.device("meta"):
        decoder = build(dim=256, heads=8, width=2048, early=early)
    sizes = {key: tensor.numel() for key, tensor in decoder.state_dict().items()}
    assert sum(n for key, n in sizes.items() if key.startswith(TRAINABLE)) == TRAINED[early]
    assert sum(sizes.values()) == TRAINED[early] + 4_058_340


@torch.no_grad()
@pytest.mark.parametrize("multimask", [False, True])
def test_prompts_of_several_images_together_equal_each_alone(decoder, inputs, multimask):
    together = decode(decoder, inputs, multimask=multimask)
    for i, image in enumerate(inputs["image_index"].tolist()):
        per_image = {k: inputs[k][image : image + 1] for k in ("image_embeddings", "early")}
        per_prompt = {k: inputs[k][i : i + 1] for k in ("sparse", "dense")}
        single = {**inputs, **per_image, **per_prompt, "image_index": torch.tensor([0])}
        alone = decode(decoder, single, multimask=multimask)
        for name in ("masks", "sam_masks", "iou"):
            found, expected = getattr(together, name)[i : i + 1], getattr(alone, name)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("grid", [8, 12])
def test_any_grid_is_decoded_to_four_times_the_grid(decoder, grid):
    prediction = decode(decoder, inputs_for(grid))
    assert prediction.masks.shape == (PROMPTS, 1, 4 * grid, 4 * grid)
    assert prediction.sam_masks.shape == prediction.masks.shape
    assert prediction.iou.shape == (PROMPTS, 4)


@torch.no_grad()
def test_multimask_gives_sams_best_mask_and_leaves_the_high_quality_one(decoder, inputs):
    single, multi = decode(decoder, inputs), decode(decoder, inputs, multimask=True)
    assert torch.equal(multi.iou[:, 0], single.iou[:, 1:].max(dim=1).values)
    assert torch.equal(multi.masks, single.masks)
    assert not torch.allclose(multi.sam_masks, single.sam_masks)


@torch.no_grad()
def test_the_early_features_matter_for_the_high_quality_mask_alone(decoder, inputs):
    before = decode(decoder, inputs)
    inputs["early"] = inputs["early"] + torch.randn_like(inputs["early"])
    after = decode(decoder, inputs)
    assert torch.equal(before.sam_masks, after.sam_masks)
    assert not torch.allclose(before.masks, after.masks)


def test_a_loss_on_the_mask_reaches_exactly_the_trainable_parts(decoder, inputs):
    for key, value in decoder.named_parameters():
        value.requires_grad_(key.startswith(TRAINABLE))
    decode(decoder, inputs).masks.square().mean().backward()
    for key, value in decoder.named_parameters():
        reached = value.grad is not None and bool(value.grad.any())
        assert reached == key.startswith(TRAINABLE), key
