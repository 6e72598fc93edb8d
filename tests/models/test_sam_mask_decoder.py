"""The batched SAM decoder equals segment_anything's, prompt by prompt."""

import pytest
import torch

import pasam.models.before_segment_anything  # noqa: F401
from pasam.errors import ShapeError
from pasam.models.prompt_adapter import AdapterOutput
from pasam.models.sam_mask_decoder import AdaptedTwoWayTransformer, SamMaskDecoder
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


SIZES = {"depth": 2, "embedding_dim": 32, "num_heads": 4, "mlp_dim": 48}


@pytest.fixture
def adapted() -> AdaptedTwoWayTransformer:
    torch.manual_seed(0)
    return AdaptedTwoWayTransformer(**SIZES)


@pytest.fixture
def adapted_transformer_inputs() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(1)
    return torch.randn(2, 32, 5, 5), torch.randn(1, 32, 5, 5), torch.randn(2, 7, 32)


def adding(tokens=0.0, dense=0.0, extra=0):
    """Make an adapter that adds constants and appends `extra` tokens."""

    def adapt(queries, keys, query_pe, _key_pe):
        new = torch.ones(len(queries), extra, queries.shape[-1])
        return AdapterOutput(
            tokens=torch.cat([torch.full_like(queries, tokens), new], dim=1),
            dense=torch.full_like(keys, dense),
            query_pe=torch.cat([query_pe, new], dim=1),
            maps=None, positive=None, negative=None,
        )  # fmt: skip

    return adapt


@torch.no_grad()
def test_an_adapter_that_adds_nothing_leaves_sams_transformer(adapted, adapted_transformer_inputs):
    plain = TwoWayTransformer(**SIZES)
    plain.load_state_dict(adapted.state_dict())
    tokens, keys, _ = adapted(*adapted_transformer_inputs, adding())
    expected_tokens, expected_keys = plain(*adapted_transformer_inputs)
    torch.testing.assert_close(tokens, expected_tokens)
    torch.testing.assert_close(keys, expected_keys)


@torch.no_grad()
@pytest.mark.parametrize("what", [{"dense": 0.5}, {"extra": 3}])
def test_what_the_adapter_adds_changes_tokens_and_image(adapted, adapted_transformer_inputs, what):
    tokens, keys, _ = adapted(*adapted_transformer_inputs, adding())
    other_tokens, other_keys, _ = adapted(*adapted_transformer_inputs, adding(**what))
    assert not torch.allclose(tokens, other_tokens[:, :7], atol=1e-3)
    assert not torch.allclose(keys, other_keys, atol=1e-3)
    assert other_tokens.shape[1] == 7 + what.get("extra", 0)


@torch.no_grad()
def test_a_constant_on_all_channels_of_the_tokens_is_normalised_away(
    adapted, adapted_transformer_inputs
):
    tokens, _, _ = adapted(*adapted_transformer_inputs, adding())
    shifted, _, _ = adapted(*adapted_transformer_inputs, adding(tokens=0.5))
    torch.testing.assert_close(tokens, shifted, atol=1e-5, rtol=1e-5)


def test_a_single_block_is_refused():
    with pytest.raises(AssertionError, match="never adapted"):
        AdaptedTwoWayTransformer(**{**SIZES, "depth": 1})
