"""The batched SAM decoder equals segment_anything's, prompt by prompt."""

import pytest
import torch

import pasam.models.torchvision_operators  # noqa: F401
from pasam.errors import ShapeError
from pasam.models.sam_mask_decoder import SamMaskDecoder
from segment_anything.modeling import MaskDecoder, TwoWayTransformer

GRID, DIM = 6, 32


@pytest.fixture
def decoder() -> SamMaskDecoder:
    torch.manual_seed(0)
    transformer = TwoWayTransformer(depth=2, embedding_dim=DIM, num_heads=4, mlp_dim=48)
    return SamMaskDecoder(transformer_dim=DIM, transformer=transformer).eval()


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "image_embeddings": torch.randn(2, DIM, GRID, GRID),
        "image_pe": torch.randn(1, DIM, GRID, GRID),
        "sparse": torch.randn(3, 4, DIM),
        "dense": torch.randn(3, DIM, GRID, GRID),
        "image_index": torch.tensor([1, 0, 1]),
    }


@torch.no_grad()
def test_every_prompt_gets_what_the_original_decoder_gives_for_its_image(decoder, inputs):
    masks, iou = decoder.decode(**inputs)
    assert masks.shape == (3, 4, 4 * GRID, 4 * GRID)
    assert iou.shape == (3, 4)
    for i, image in enumerate([1, 0, 1]):
        expected_masks, expected_iou = MaskDecoder.predict_masks(
            decoder,
            inputs["image_embeddings"][image : image + 1],
            inputs["image_pe"],
            inputs["sparse"][i : i + 1],
            inputs["dense"][i : i + 1],
        )
        torch.testing.assert_close(masks[i : i + 1], expected_masks, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(iou[i : i + 1], expected_iou, atol=1e-5, rtol=1e-5)


def test_its_parameters_have_the_names_of_the_original(decoder):
    original = MaskDecoder(transformer_dim=DIM, transformer=decoder.transformer)
    assert {k: v.shape for k, v in decoder.state_dict().items()} == {
        k: v.shape for k, v in original.state_dict().items()
    }


@torch.no_grad()
def test_a_mask_prompt_without_sparse_tokens_is_fine(decoder, inputs):
    inputs["sparse"] = torch.empty(3, 0, DIM)
    masks, _ = decoder.decode(**inputs)
    assert torch.isfinite(masks).all()


def test_an_index_of_another_length_is_refused_with_both_shapes(decoder, inputs):
    inputs["image_index"] = torch.tensor([0, 1])
    with pytest.raises(ShapeError, match=r"dense \(3, 32, 6, 6\), image_index \(2,\)"):
        decoder.decode(**inputs)
