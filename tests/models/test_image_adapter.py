"""The image adapter has the prompt adapter's budget, begins as SAM, and leaves prompts alone."""

import pytest
import torch

from pasam.models.image_adapter import (
    TRAINABLE,
    ImageAdaptedMaskDecoder,
    ImageAdapter,
    width_of_equal_budget,
)
from pasam.models.prompt_adapter import PromptAdapter
from pasam.models.sam_mask_decoder import SamMaskDecoder
from segment_anything.modeling import TwoWayTransformer

GRID, DIM = 8, 32


@pytest.fixture
def decoder() -> ImageAdaptedMaskDecoder:
    torch.manual_seed(0)
    transformer = TwoWayTransformer(depth=2, embedding_dim=DIM, num_heads=4, mlp_dim=48)
    return ImageAdaptedMaskDecoder(
        transformer_dim=DIM, transformer=transformer, gradient="reference"
    )


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "image_embeddings": torch.randn(2, DIM, GRID, GRID),
        "image_pe": torch.randn(1, DIM, GRID, GRID),
        "sparse": torch.randn(3, 2, DIM),
        "dense": torch.randn(3, DIM, GRID, GRID),
        "image_index": torch.tensor([1, 0, 1]),
    }


def plain(decoder: ImageAdaptedMaskDecoder) -> SamMaskDecoder:
    transformer = TwoWayTransformer(depth=2, embedding_dim=DIM, num_heads=4, mlp_dim=48)
    sam = SamMaskDecoder(transformer_dim=DIM, transformer=transformer)
    kept = {name: t for name, t in decoder.state_dict().items() if name in sam.state_dict()}
    sam.load_state_dict(kept)
    return sam


@pytest.mark.parametrize(("dim", "heads"), [(32, 4), (128, 8), (256, 8)])
def test_its_budget_is_the_prompt_adapters(dim, heads):
    def size(module):
        return sum(p.numel() for p in module.parameters())

    width = width_of_equal_budget(dim, num_heads=heads)
    prompt = size(PromptAdapter(dim=dim, num_heads=heads))
    image = size(ImageAdapter(dim=dim, width=width))
    assert 0.95 * prompt < image <= prompt < size(ImageAdapter(dim=dim, width=width + 1))


@torch.no_grad()
def test_it_begins_as_sam(decoder, inputs):
    images = torch.randn(2, 3, 8 * GRID, 8 * GRID)
    adapted = decoder.adapted(inputs["image_embeddings"], images)
    assert torch.equal(adapted, inputs["image_embeddings"])


@torch.no_grad()
def test_what_it_learns_changes_the_image_features_alone(decoder, inputs):
    images = torch.randn(2, 3, 8 * GRID, 8 * GRID)
    torch.nn.init.normal_(decoder.image_adapter.change[-1].weight, std=0.1)
    adapted = decoder.adapted(inputs["image_embeddings"], images)
    assert not torch.allclose(adapted, inputs["image_embeddings"], atol=1e-3)
    changed = {**inputs, "image_embeddings": adapted}
    expected = plain(decoder).decode(**changed)
    assert all(torch.equal(a, b) for a, b in zip(decoder.decode(**changed), expected, strict=True))


def test_a_loss_on_the_mask_reaches_exactly_what_is_trained(decoder, inputs):
    images = torch.randn(2, 3, 8 * GRID, 8 * GRID)
    torch.nn.init.normal_(decoder.image_adapter.change[-1].weight, std=0.1)
    for name, parameter in decoder.named_parameters():
        parameter.requires_grad_(name.startswith(TRAINABLE))
    adapted = decoder.adapted(inputs["image_embeddings"], images)
    masks, _ = decoder.decode(**{**inputs, "image_embeddings": adapted})
    masks.square().mean().backward()
    for name, parameter in decoder.named_parameters():
        assert (parameter.grad is not None) == name.startswith(TRAINABLE), name
