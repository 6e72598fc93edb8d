"""PA-SAM's decoder: its parameters, its batching, its mining and what it trains."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from pasam.errors import ShapeError
from pasam.models.base_sam import PIXEL_MEAN, PIXEL_STD
from pasam.models.pa_mask_decoder import (
    ADAPTER,
    TRAINABLE,
    PaMaskDecoder,
    PaPrediction,
    _prediction,
    edge_channel,
    guiding_conv,
    guiding_input,
)
from pasam.models.prompt_adapter import WHOLE, AdapterMaps, AdapterOutput, MiningMode
from pasam.models.sam_mask_decoder import MaskPrediction, SamMaskDecoder
from pasam.models.segmenter import _join
from pasam.models.two_way_transformer import AdaptedTwoWayTransformer
from segment_anything.modeling import TwoWayTransformer

GRID, DIM, PROMPTS = 8, 32, 4
KEYS = Path(__file__).parent / "decoder_keys" / "pa_sam.txt"
SAMS = ("image_embeddings", "image_pe", "sparse", "dense", "image_index")
MAPS = ("masks", "iou", "uncertainty", "final", "coarse", "refined")


def build(dim: int = DIM, heads: int = 4, width: int = 48, **choices: Any) -> PaMaskDecoder:
    transformer = AdaptedTwoWayTransformer(
        depth=2, embedding_dim=dim, num_heads=heads, mlp_dim=width
    )
    return PaMaskDecoder(
        transformer_dim=dim, transformer=transformer, gradient="reference", mining_points=4,
        **choices,
    )  # fmt: skip


@pytest.fixture
def decoder() -> PaMaskDecoder:
    torch.manual_seed(0)
    return build()


def inputs_for(grid: int = GRID, dim: int = DIM, tokens: int = 3) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "image_embeddings": torch.randn(2, dim, grid, grid),
        "image_pe": torch.randn(1, dim, grid, grid),
        "sparse": torch.randn(PROMPTS, tokens, dim),
        "dense": torch.randn(PROMPTS, dim, grid, grid),
        "image_index": torch.tensor([1, 0, 1, 1]),
        "images": torch.randn(2, 3, 8 * grid, 8 * grid),
        "point_embeddings": torch.randn(2, dim),
    }


def decode(
    decoder: PaMaskDecoder, inputs: dict[str, torch.Tensor], *, mining: MiningMode,
    generator: torch.Generator | None = None, **how: Any,
) -> PaPrediction:  # fmt: skip
    """Guide by the images and draw noise where none is given, then decode."""
    rest = {k: part for k, part in inputs.items() if k not in ("image_embeddings", "images")}
    images, grid = inputs["images"], inputs["dense"].shape[-1]
    if mining != "none" and "noise" not in how:
        how["noise"] = decoder.sampler.noise(
            mining, len(inputs["sparse"]), grid**2, generator=generator, device=images.device
        )
    joined = guiding_input(images, grid, decoder.gradient)
    features = decoder.image_features(
        image_embeddings=inputs["image_embeddings"], images=images, joined=joined
    )
    return decoder.decode(**rest, **features, mining=mining, **how)


def one(inputs: dict[str, torch.Tensor], prompt: int) -> dict[str, torch.Tensor]:
    """Take one prompt, with its image alone."""
    image = int(inputs["image_index"][prompt])
    per_image = {k: inputs[k][image : image + 1] for k in ("image_embeddings", "images")}
    per_prompt = {k: inputs[k][prompt : prompt + 1] for k in ("sparse", "dense")}
    return {**inputs, **per_image, **per_prompt, "image_index": torch.tensor([0])}


def test_full_size_parameters_have_the_reference_names_and_shapes():
    with torch.device("meta"):
        decoder = build(dim=256, heads=8, width=2048)
    found = [
        f"{'trained' if key.startswith(TRAINABLE) else 'frozen'} {key} "
        f"{'x'.join(map(str, tensor.shape))}"
        for key, tensor in decoder.state_dict().items()
    ]
    assert sorted(found) == sorted(KEYS.read_text().splitlines())
    sizes = {key: tensor.numel() for key, tensor in decoder.state_dict().items()}
    assert len(sizes) == 152
    assert sum(sizes.values()) == 4_431_140
    assert sum(n for key, n in sizes.items() if key.startswith(TRAINABLE)) == 1_007_008


@torch.no_grad()
@pytest.mark.parametrize("mining", ["none", "top", "gumbel"])
@pytest.mark.parametrize("tokens", [0, 3])
def test_prompts_of_several_images_together_equal_each_alone(decoder, mining, tokens):
    inputs = inputs_for(tokens=tokens)
    noise = torch.randn(PROMPTS, 2, GRID**2)
    together = decode(decoder, inputs, mining=mining, noise=noise)
    for i in range(PROMPTS):
        alone = decode(decoder, one(inputs, i), mining=mining, noise=noise[i : i + 1])
        for name in MAPS:
            found, expected = getattr(together, name)[i : i + 1], getattr(alone, name)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        for name in ("positive", "negative"):
            if mining != "none":
                assert torch.equal(getattr(together, name)[i : i + 1], getattr(alone, name))


@torch.no_grad()
@pytest.mark.parametrize(("grid", "dim"), [(8, 32), (12, 32), (6, 64)])
def test_any_grid_and_width_is_decoded_to_four_times_the_grid(grid, dim):
    prediction = decode(build(dim=dim), inputs_for(grid, dim), mining="top")
    assert prediction.masks.shape == (PROMPTS, 1, 4 * grid, 4 * grid)
    assert prediction.iou.shape == (PROMPTS, 4)
    for name in ("uncertainty", "final", "coarse", "refined"):
        assert getattr(prediction, name).shape == (PROMPTS, 1, grid, grid)
    assert prediction.positive.shape == prediction.negative.shape == (PROMPTS, 4)


@torch.no_grad()
def test_the_final_map_is_refined_where_uncertain_and_coarse_elsewhere(decoder):
    prediction = decode(decoder, inputs_for(), mining="none")
    unsure = prediction.uncertainty >= 0.5
    assert 0 < unsure.sum() < unsure.numel()
    assert torch.equal(prediction.final[unsure], prediction.refined[unsure])
    assert torch.equal(prediction.final[~unsure], prediction.coarse[~unsure])


@torch.no_grad()
def test_a_cell_that_is_as_uncertain_as_not_is_the_refined_masks():
    maps = AdapterMaps(*torch.tensor([[[0.5, 0.49, 0.51, 0.0]], [[-1.0] * 4], [[1.0] * 4]]))
    nothing = torch.zeros(1, 3, 8)
    adapted = AdapterOutput(nothing, nothing, nothing, maps, positive=None, negative=None)
    found = _prediction(torch.zeros(1, 1, 8, 8), torch.zeros(1, 4), adapted)
    assert found.final.tolist() == [[[[1.0, -1.0], [1.0, -1.0]]]]


@pytest.mark.parametrize("mined", [True, False])
def test_what_groups_of_prompts_gave_is_put_in_the_prompts_order_part_by_part(mined):
    names = (*MAPS, "positive", "negative")

    def part(*prompts: float) -> PaPrediction:
        values = {name: torch.tensor(prompts) + 10 * row for row, name in enumerate(names)}
        return PaPrediction(**values if mined else {**values, "positive": None, "negative": None})

    joined = _join([part(2.0, 0.0), part(1.0)], torch.tensor([1, 2, 0]))
    for row, name in enumerate(names):
        found = getattr(joined, name)
        if mined or name in MAPS:
            assert found.tolist() == [10.0 * row, 10.0 * row + 1, 10.0 * row + 2]
        else:
            assert found is None


def test_without_mining_there_are_no_points_and_the_mask_is_another(decoder):
    plain = decode(decoder, inputs_for(), mining="none")
    mined = decode(decoder, inputs_for(), mining="top")
    assert plain.positive is None
    assert torch.equal(plain.coarse, mined.coarse)
    assert not torch.allclose(plain.masks, mined.masks, atol=1e-4)


@torch.no_grad()
def test_a_seed_determines_the_sampled_points(decoder):
    def positive(seed):
        generator = torch.Generator().manual_seed(seed)
        return decode(decoder, inputs_for(), mining="gumbel", generator=generator).positive

    assert torch.equal(positive(0), positive(0))
    assert not torch.equal(positive(0), positive(1))


@torch.no_grad()
def test_multimask_gives_the_better_of_masks_one_and_two(decoder):
    inputs = inputs_for()
    best = decode(decoder, inputs, mining="none", multimask=True)
    iou = decode(decoder, inputs, mining="none").iou
    assert torch.equal(best.iou[:, 0], iou[:, 1:3].max(dim=1).values)
    assert best.masks.shape == (PROMPTS, 1, 4 * GRID, 4 * GRID)


def test_a_loss_on_the_mask_and_the_maps_reaches_exactly_the_trainable_parts(decoder):
    for key, value in decoder.named_parameters():
        value.requires_grad_(key.startswith(TRAINABLE))
    prediction = decode(decoder, inputs_for(), mining="gumbel")
    maps = (prediction.masks, prediction.coarse, prediction.refined, prediction.uncertainty)
    sum(part.square().mean() for part in maps).backward()
    for key, value in decoder.named_parameters():
        assert (value.grad is not None) == key.startswith(TRAINABLE), key
    for i, network in enumerate(decoder.output_hypernetworks_mlps):
        moved = any(value.grad.any() for value in network.parameters())
        assert moved == (i == 0)  # only mask 0 is predicted


@torch.no_grad()
def test_half_precision_predicts_nearly_the_same(decoder):
    exact = decode(decoder, inputs_for(), mining="none").masks
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = decode(decoder, inputs_for(), mining="none").masks
        mined = decode(decoder, inputs_for(), mining="gumbel")
    assert (exact - rough.float()).abs().max() < 0.1 * exact.abs().max()
    assert torch.isfinite(mined.masks.float()).all()


def test_a_grid_with_fewer_cells_than_points_is_refused(decoder):
    inputs = inputs_for(grid=1)
    inputs["images"] = torch.randn(2, 3, 16, 16)
    with pytest.raises(ShapeError, match="cannot take 4 points from a map of 1 cells"):
        decode(decoder, inputs, mining="top")


@torch.no_grad()
def test_random_points_repeat_in_prediction_whatever_the_batch(decoder):
    inputs = inputs_for()
    together = decode(decoder, inputs, mining="fixed")
    alone = decode(decoder, one(inputs, 2), mining="fixed")
    assert torch.equal(together.positive[2:3], alone.positive)
    assert torch.equal(together.positive, decode(decoder, inputs, mining="fixed").positive)


@torch.no_grad()
def test_finer_maps_have_twice_the_grids_side_and_points_stay_on_the_grid():
    torch.manual_seed(0)
    finer = build(parts=WHOLE.replaced(maps="double"))
    prediction = decode(finer, inputs_for(), mining="top")
    for name in ("uncertainty", "final", "coarse", "refined"):
        assert getattr(prediction, name).shape == (PROMPTS, 1, 2 * GRID, 2 * GRID)
    assert prediction.positive.max() < GRID**2
    assert prediction.masks.shape == (PROMPTS, 1, 4 * GRID, 4 * GRID)


def by_sam(decoder: PaMaskDecoder, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """What SAM's own decoder of the same weights predicts."""
    transformer = TwoWayTransformer(depth=2, embedding_dim=DIM, num_heads=4, mlp_dim=48)
    sam = SamMaskDecoder(transformer_dim=DIM, transformer=transformer)
    own = sam.state_dict()
    sam.load_state_dict({name: t for name, t in decoder.state_dict().items() if name in own})
    return sam.decode(**{name: value for name, value in inputs.items() if name in SAMS})


@torch.no_grad()
def test_without_any_part_it_is_sams_decoder():
    torch.manual_seed(0)
    bare = build(parts=WHOLE.replaced(dense=False, sparse=False, tokens=False))
    prediction, (masks, iou) = decode(bare, inputs_for(), mining="none"), by_sam(bare, inputs_for())
    assert type(prediction) is MaskPrediction
    torch.testing.assert_close(prediction.masks, masks[:, :1])
    torch.testing.assert_close(prediction.iou, iou)


FINE_ALONE = {"dense": False, "sparse": False, "tokens": False, "fine": True}


@pytest.mark.long
@pytest.mark.parametrize(
    "parts",
    [{}, {"dense": False}, {"sparse": False}, {"tokens": False}, {"fine": True}, FINE_ALONE],
)
def test_an_adapter_can_start_at_sam_and_all_of_it_learns_all_the_same(parts):
    torch.manual_seed(0)
    fresh = build(parts=WHOLE.replaced(start="sam", **parts), fold=2)
    with torch.no_grad():
        prediction = decode(fresh, inputs_for(), mining="none")
        masks, _ = by_sam(fresh, inputs_for())
        torch.testing.assert_close(prediction.masks, masks[:, :1])
    new = [p for name, p in fresh.named_parameters() if name.startswith(ADAPTER)]
    before = [p.detach().clone() for p in new]
    optimizer = torch.optim.Adam(new, lr=1e-2)
    for _ in range(4):
        prediction = decode(fresh, inputs_for(), mining="none")
        maps = [getattr(prediction, n, masks) for n in ("coarse", "refined", "uncertainty")]
        loss = sum((part - 1).square().mean() for part in (prediction.masks, *maps))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(not torch.equal(p, old) for p, old in zip(new, before, strict=True))


@torch.no_grad()
def test_fine_compensation_sees_what_is_smaller_than_a_mask_pixel_and_leaves_far_pixels():
    torch.manual_seed(0)
    fine = build(parts=WHOLE.replaced(**FINE_ALONE), fold=2)
    torch.nn.init.normal_(fine.fine_compensation.out.weight)
    inputs = inputs_for(grid=32)
    before = decode(fine, inputs, mining="none").masks
    # Two pixels of one mask pixel change places: their mean, all that is left at the masks'
    # resolution, stays.
    changed = inputs["images"].clone()
    changed[:, :, 20, 20:22] = changed[:, :, 20, 20:22].flip(-1)
    after = decode(fine, {**inputs, "images": changed}, mining="none").masks
    assert not torch.equal(before[..., 10, 10], after[..., 10, 10])
    torch.testing.assert_close(before[..., 64:, 64:], after[..., 64:, 64:])


@torch.no_grad()
def test_starting_at_random_does_not_start_at_sam(decoder):
    masks, _ = by_sam(decoder, inputs_for())
    found = decode(decoder, inputs_for(), mining="none").masks
    assert not torch.allclose(found, masks[:, :1], atol=1e-2)


def test_a_loss_on_the_quality_reaches_its_head_alone(decoder):
    decode(decoder, inputs_for(), mining="gumbel").iou.square().mean().backward()
    reached = [name for name, p in decoder.named_parameters() if p.grad is not None]
    assert reached
    assert all(name.startswith("iou_prediction_head.") for name in reached)


def normalised(pixels: np.ndarray) -> torch.Tensor:
    values = (pixels.astype(np.float32) - np.float32(PIXEL_MEAN)) / np.float32(PIXEL_STD)
    return torch.from_numpy(values).permute(2, 0, 1)


@pytest.fixture
def pixels() -> np.ndarray:
    smooth = np.random.RandomState(0).randint(0, 256, (6, 6, 3)).astype(np.uint8)
    return cv2.resize(smooth, (40, 40), interpolation=cv2.INTER_CUBIC)


def test_negative_values_wrap_round_as_a_cast_to_bytes_does_on_x86():
    images = torch.zeros(1, 3, 12, 12)
    images[..., 6:] = -1.9  # truncated to -1, so 255 as a byte; a saturating cast gives 0
    assert edge_channel(images, "reference").sum() > 0
    images[..., 6:] = -0.9  # truncated to 0, as the other half
    assert edge_channel(images, "reference").sum() == 0


def test_reference_edges_are_canny_of_the_wrapped_bytes(pixels):
    images = normalised(pixels)
    as_bytes = np.trunc(images.permute(1, 2, 0).numpy()).astype(np.int64) % 256
    assert set(np.unique(as_bytes)) <= {0, 1, 2, 254, 255}
    expected = cv2.Canny(as_bytes.astype(np.uint8), 10, 100) / 255
    assert np.array_equal(edge_channel(images[None], "reference")[0, 0].numpy(), expected)


def test_image_edges_are_canny_of_the_image_itself(pixels):
    edges = edge_channel(normalised(pixels)[None], "image")[0, 0].numpy()
    assert np.array_equal(edges, cv2.Canny(pixels, 10, 100) / 255)
    assert edges.any()


def test_each_image_of_a_batch_gets_its_own_edges(pixels):
    images = torch.stack([normalised(pixels), normalised(pixels[::-1].copy())])
    together = edge_channel(images, "reference")
    assert together.shape == (2, 1, 40, 40)
    for i in range(2):
        assert torch.equal(together[i : i + 1], edge_channel(images[i : i + 1], "reference"))


@pytest.mark.parametrize(("side", "grid", "dim"), [(64, 8, 32), (96, 12, 64), (40, 10, 16)])
def test_the_embedding_lies_on_the_grid_whatever_the_image_size(side, grid, dim):
    joined = guiding_input(torch.randn(2, 3, side, side), grid, "reference")
    assert joined.shape == (2, 4, 4 * grid, 4 * grid)
    assert set(joined[:, 3].unique().tolist()) <= {0.0, 1.0}
    assert guiding_conv(dim)(joined).shape == (2, dim, grid, grid)


def test_from_four_times_the_size_a_pixel_is_the_mean_of_the_middle_of_its_block():
    images = torch.randn(1, 3, 64, 64)
    small = guiding_input(images, 4, "reference")[:, :3]
    middle = images.reshape(1, 3, 16, 4, 16, 4)[:, :, :, 1:3, :, 1:3].mean((3, 5))
    torch.testing.assert_close(small, middle)
