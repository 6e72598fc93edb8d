"""The batched SAM decoder equals segment_anything's, prompt by prompt."""

from pathlib import Path
from typing import Literal

import pytest
import torch

import pasam.models.before_segment_anything  # noqa: F401
from pasam.errors import ShapeError
from pasam.models.hq_mask_decoder import TRAINABLE, HqMaskDecoder, HqPrediction
from pasam.models.prompt_adapter import AdapterOutput
from pasam.models.sam_mask_decoder import SamMaskDecoder
from pasam.models.two_way_transformer import AdaptedTwoWayTransformer
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


HQ_MASK_DECODER_GRID, HQ_MASK_DECODER_DIM, EARLY, PROMPTS = 8, 32, 24, 4
KEYS = Path(__file__).parent / "decoder_keys" / "hq_sam_vit_b.txt"
TRAINED = {768: 1_071_104, 1024: 1_333_248, 1280: 1_595_392}


def build(
    dim: int = HQ_MASK_DECODER_DIM, heads: int = 4, width: int = 48, early: int = EARLY
) -> HqMaskDecoder:
    transformer = TwoWayTransformer(depth=2, embedding_dim=dim, num_heads=heads, mlp_dim=width)
    return HqMaskDecoder(transformer_dim=dim, transformer=transformer, early_dim=early)


@pytest.fixture
def hq_mask_decoder_decoder() -> HqMaskDecoder:
    torch.manual_seed(0)
    return build()


@pytest.fixture
def hq_mask_decoder_inputs() -> dict[str, torch.Tensor]:
    return inputs_for(HQ_MASK_DECODER_GRID)


def inputs_for(grid: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "image_embeddings": torch.randn(2, HQ_MASK_DECODER_DIM, grid, grid),
        "early": torch.randn(2, EARLY, grid, grid),
        "image_pe": torch.randn(1, HQ_MASK_DECODER_DIM, grid, grid),
        "sparse": torch.randn(PROMPTS, 3, HQ_MASK_DECODER_DIM),
        "dense": torch.randn(PROMPTS, HQ_MASK_DECODER_DIM, grid, grid),
        "image_index": torch.tensor([1, 0, 1, 1]),
    }


def decode(
    hq_mask_decoder_decoder: HqMaskDecoder,
    hq_mask_decoder_inputs: dict[str, torch.Tensor],
    sam: Literal["first", "best"] | None = "first",
) -> HqPrediction:
    """Find the images' details, then decode."""
    rest = {name: value for name, value in hq_mask_decoder_inputs.items() if name != "early"}
    details = hq_mask_decoder_decoder.details(
        hq_mask_decoder_inputs["image_embeddings"], hq_mask_decoder_inputs["early"]
    )
    return hq_mask_decoder_decoder.decode(**rest, details=details, sam=sam)


def test_full_size_parameters_have_the_reference_names_and_shapes():
    with torch.device("meta"):
        hq_mask_decoder_decoder = build(dim=256, heads=8, width=2048, early=768)
    found = [
        f"{'trained' if key.startswith(TRAINABLE) else 'frozen'} {key} "
        f"{'x'.join(map(str, tensor.shape))}"
        for key, tensor in hq_mask_decoder_decoder.state_dict().items()
    ]
    assert sorted(found) == sorted(KEYS.read_text().splitlines())
    assert len(found) == 145


@pytest.mark.parametrize("early", TRAINED)
def test_the_numbers_of_parameters_are_the_references_for_every_encoder(early):
    with torch.device("meta"):
        hq_mask_decoder_decoder = build(dim=256, heads=8, width=2048, early=early)
    sizes = {key: tensor.numel() for key, tensor in hq_mask_decoder_decoder.state_dict().items()}
    assert sum(n for key, n in sizes.items() if key.startswith(TRAINABLE)) == TRAINED[early]
    assert sum(sizes.values()) == TRAINED[early] + 4_058_340


@torch.no_grad()
@pytest.mark.parametrize("sam", ["first", "best"])
def test_prompts_of_several_images_together_equal_each_alone(
    hq_mask_decoder_decoder, hq_mask_decoder_inputs, sam
):
    together = decode(hq_mask_decoder_decoder, hq_mask_decoder_inputs, sam)
    for i, image in enumerate(hq_mask_decoder_inputs["image_index"].tolist()):
        per_image = {
            k: hq_mask_decoder_inputs[k][image : image + 1] for k in ("image_embeddings", "early")
        }
        per_prompt = {k: hq_mask_decoder_inputs[k][i : i + 1] for k in ("sparse", "dense")}
        single = {
            **hq_mask_decoder_inputs,
            **per_image,
            **per_prompt,
            "image_index": torch.tensor([0]),
        }
        alone = decode(hq_mask_decoder_decoder, single, sam)
        for name in ("masks", "sam_masks", "iou"):
            found, expected = getattr(together, name)[i : i + 1], getattr(alone, name)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("grid", [8, 12])
def test_any_grid_is_decoded_to_four_times_the_grid(hq_mask_decoder_decoder, grid):
    prediction = decode(hq_mask_decoder_decoder, inputs_for(grid))
    assert prediction.masks.shape == (PROMPTS, 1, 4 * grid, 4 * grid)
    assert prediction.sam_masks.shape == prediction.masks.shape
    assert prediction.iou.shape == (PROMPTS, 4)


@torch.no_grad()
def test_sams_best_mask_may_be_asked_for_and_leaves_the_high_quality_one(
    hq_mask_decoder_decoder, hq_mask_decoder_inputs
):
    single, multi = (
        decode(hq_mask_decoder_decoder, hq_mask_decoder_inputs),
        decode(hq_mask_decoder_decoder, hq_mask_decoder_inputs, "best"),
    )
    assert torch.equal(multi.iou[:, 0], single.iou[:, 1:].max(dim=1).values)
    assert torch.equal(multi.masks, single.masks)
    assert not torch.allclose(multi.sam_masks, single.sam_masks)


@torch.no_grad()
def test_sams_masks_are_made_only_where_they_are_wanted_and_change_no_other(
    hq_mask_decoder_decoder, hq_mask_decoder_inputs, monkeypatch
):
    wanted = decode(hq_mask_decoder_decoder, hq_mask_decoder_inputs)
    monkeypatch.setattr(hq_mask_decoder_decoder, "sam_masks", None)
    monkeypatch.setattr(hq_mask_decoder_decoder, "_mask_weights", None)
    plain = decode(hq_mask_decoder_decoder, hq_mask_decoder_inputs, None)
    assert plain.sam_masks is None
    assert torch.equal(plain.masks, wanted.masks)
    assert torch.equal(plain.iou, wanted.iou)


@torch.no_grad()
def test_the_early_features_matter_for_the_high_quality_mask_alone(
    hq_mask_decoder_decoder, hq_mask_decoder_inputs
):
    before = decode(hq_mask_decoder_decoder, hq_mask_decoder_inputs)
    hq_mask_decoder_inputs["early"] = hq_mask_decoder_inputs["early"] + torch.randn_like(
        hq_mask_decoder_inputs["early"]
    )
    after = decode(hq_mask_decoder_decoder, hq_mask_decoder_inputs)
    assert torch.equal(before.sam_masks, after.sam_masks)
    assert not torch.allclose(before.masks, after.masks)


def test_a_loss_on_the_mask_reaches_exactly_the_trainable_parts(
    hq_mask_decoder_decoder, hq_mask_decoder_inputs
):
    for key, value in hq_mask_decoder_decoder.named_parameters():
        value.requires_grad_(key.startswith(TRAINABLE))
    decode(hq_mask_decoder_decoder, hq_mask_decoder_inputs).masks.square().mean().backward()
    for key, value in hq_mask_decoder_decoder.named_parameters():
        reached = value.grad is not None and bool(value.grad.any())
        assert reached == key.startswith(TRAINABLE), key
