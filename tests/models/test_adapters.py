"""The adapter changes the mask token's row alone and adds points where the masks disagree."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pasam.config.schema import AdapterParams
from pasam.errors import ShapeError
from pasam.models.image_adapter import (
    TRAINABLE,
    ImageAdaptedMaskDecoder,
    ImageAdapter,
    width_of_equal_budget,
)
from pasam.models.prompt_adapter import (
    MASK_ROW,
    AdapterOutput,
    ChannelNorm,
    FinerMaps,
    Mining,
    PointSampler,
    PromptAdapter,
    gumbel_noise,
    gumbel_picks,
    to_grid,
    top_picks,
)
from pasam.models.sam_mask_decoder import SamMaskDecoder
from segment_anything.modeling import TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d

PROMPTS, TOKENS, DIM, CELLS, POINTS = 2, 7, 32, 36, 3


@pytest.fixture
def adapter() -> PromptAdapter:
    torch.manual_seed(0)
    return PromptAdapter(dim=DIM, num_heads=4)


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "tokens": torch.randn(PROMPTS, TOKENS, DIM),
        "keys": torch.randn(PROMPTS, CELLS, DIM),
        "query_pe": torch.randn(PROMPTS, TOKENS, DIM),
        "key_pe": torch.randn(1, CELLS, DIM),
        "guiding": torch.randn(PROMPTS, CELLS, DIM),
    }


def mining(noise: torch.Tensor | None = None) -> Mining:
    embeddings = torch.stack([torch.full((DIM,), -1.0), torch.full((DIM,), 1.0)])
    return Mining(
        sampler=PointSampler(points=POINTS),
        mode="top" if noise is None else "gumbel",
        noise=noise,
        point_embeddings=embeddings,
    )


def without(*parts: str, maps: str = "grid") -> PromptAdapter:
    """An adapter that lacks parts; what it has begins as in the whole one."""
    torch.manual_seed(0)
    left = {part: part not in parts for part in ("dense", "sparse", "tokens")}
    return PromptAdapter(
        dim=DIM, num_heads=4, parts=AdapterParams(**left, maps=maps, fine=False, start="random")
    )


@torch.no_grad()
def test_only_the_mask_tokens_row_differs_from_plain_attention(adapter, inputs):
    output = adapter(**inputs, mining=None)
    dense = inputs["guiding"] * inputs["keys"]
    plain = adapter.cross_attn_token_to_image(
        q=inputs["tokens"] + inputs["query_pe"], k=dense + inputs["key_pe"], v=dense
    )
    rest = [row for row in range(TOKENS) if row != MASK_ROW]
    assert torch.equal(output.tokens[:, rest], plain[:, rest])
    assert not torch.allclose(output.tokens[:, MASK_ROW], plain[:, MASK_ROW])
    assert torch.equal(output.dense, dense)
    torch.testing.assert_close(output.maps.coarse, (dense * plain[:, MASK_ROW, None]).sum(-1))
    torch.testing.assert_close(
        output.maps.refined, (dense * output.tokens[:, MASK_ROW, None]).sum(-1)
    )


@torch.no_grad()
def test_without_mining_nothing_is_appended(adapter, inputs):
    output = adapter(**inputs, mining=None)
    assert output.tokens.shape == (PROMPTS, TOKENS, DIM)
    assert output.query_pe is inputs["query_pe"]
    assert output.positive is None
    assert output.negative is None


@torch.no_grad()
def test_points_lie_where_the_refined_mask_corrects_the_coarse_one_most(adapter, inputs):
    output: AdapterOutput = adapter(**inputs, mining=mining())
    scores = output.maps.uncertainty * (
        output.maps.refined.sigmoid() - output.maps.coarse.sigmoid()
    )
    assert torch.equal(output.positive, scores.topk(POINTS).indices.sort().values)
    assert torch.equal(output.negative, scores.topk(POINTS, largest=False).indices.sort().values)


@torch.no_grad()
@pytest.mark.parametrize("drawn", ["top", "gumbel"])
def test_points_can_be_held_to_the_cells_that_are_uncertain(drawn, adapter, inputs):
    inputs["guiding"] = inputs["guiding"] / 5  # uncertainties on both sides of a half
    noise = torch.randn(PROMPTS, 2, CELLS, generator=torch.Generator().manual_seed(5))
    chosen = mining(None if drawn == "top" else 20 * noise)
    free = adapter(**inputs, mining=chosen)
    held = adapter(**inputs, mining=dataclasses.replace(chosen, uncertain_only=True))
    unsure = held.maps.uncertainty >= 0.5
    assert (unsure.sum(dim=1) >= POINTS).all()
    assert not unsure.gather(1, free.positive).all()  # left alone, they lie elsewhere too
    assert unsure.gather(1, held.positive).all()
    assert unsure.gather(1, held.negative).all()
    assert not torch.equal(held.positive, held.negative)  # each sign by its own scores


@torch.no_grad()
def test_where_too_few_cells_are_uncertain_others_are_taken_too(adapter, inputs, monkeypatch):
    monkeypatch.setattr("pasam.models.prompt_adapter.UNSURE", 2.0)  # none is
    held = adapter(**inputs, mining=dataclasses.replace(mining(), uncertain_only=True))
    assert held.positive.shape == held.negative.shape == (PROMPTS, POINTS)


@torch.no_grad()
def test_a_point_is_its_cells_content_and_its_place_with_the_sign(adapter, inputs):
    output = adapter(**inputs, mining=mining())
    assert output.tokens.shape == output.query_pe.shape == (PROMPTS, TOKENS + 2 * POINTS, DIM)
    content = inputs["keys"] + output.dense
    for prompt in range(PROMPTS):
        cells = torch.cat([output.positive[prompt], output.negative[prompt]])
        sign = torch.tensor([1.0] * POINTS + [-1.0] * POINTS)[:, None]
        assert torch.equal(output.tokens[prompt, TOKENS:], content[prompt, cells])
        places = inputs["key_pe"][0, cells] + sign
        assert torch.equal(output.query_pe[prompt, TOKENS:], places)


@torch.no_grad()
def test_positive_and_negative_points_use_their_own_noise(adapter, inputs):
    noise = torch.zeros(PROMPTS, 2, CELLS)
    noise[:, 0, [4, 9, 20]] = 100
    noise[:, 1, [1, 2, 33]] = 100
    output = adapter(**inputs, mining=mining(noise))
    assert output.positive.tolist() == [[4, 9, 20]] * PROMPTS
    assert output.negative.tolist() == [[1, 2, 33]] * PROMPTS


def test_only_relaxed_points_carry_a_gradient_to_the_scores(adapter, inputs):
    def static_gradient(noise):
        adapter.zero_grad()
        adapter(**inputs, mining=mining(noise)).tokens[:, TOKENS:].sum().backward()
        return adapter.static_uncertain_token.weight.grad

    assert static_gradient(None) is None
    assert static_gradient(torch.zeros(PROMPTS, 2, CELLS)).abs().sum() > 0


@torch.no_grad()
def test_without_dense_compensation_the_image_tokens_stay_and_the_rest_is_as_it_was(
    adapter, inputs
):
    whole, cut = adapter(**inputs, mining=None), without("dense")(**inputs, mining=None)
    assert not cut.dense.any()
    assert torch.equal(cut.tokens, whole.tokens)
    assert all(torch.equal(a, b) for a, b in zip(cut.maps, whole.maps, strict=True))
    mined = without("dense")(**inputs, mining=mining())
    assert torch.equal(
        mined.tokens[0, TOKENS:],
        inputs["keys"][0, torch.cat([mined.positive[0], mined.negative[0]])],
    )


@torch.no_grad()
def test_without_sparse_optimisation_only_the_mask_tokens_row_changes(adapter, inputs):
    whole, cut = adapter(**inputs, mining=None), without("sparse")(**inputs, mining=None)
    rest = [row for row in range(TOKENS) if row != MASK_ROW]
    assert not cut.tokens[:, rest].any()
    assert torch.equal(cut.tokens[:, MASK_ROW], whole.tokens[:, MASK_ROW])
    assert torch.equal(cut.dense, whole.dense)
    assert all(torch.equal(a, b) for a, b in zip(cut.maps, whole.maps, strict=True))


@torch.no_grad()
def test_without_both_tokens_there_are_no_maps_and_the_attention_is_plain(adapter, inputs):
    whole, cut = adapter(**inputs, mining=None), without("tokens")(**inputs, mining=None)
    dense = inputs["guiding"] * inputs["keys"]
    plain = adapter.cross_attn_token_to_image(
        q=inputs["tokens"] + inputs["query_pe"], k=dense + inputs["key_pe"], v=dense
    )
    assert cut.maps is None
    assert torch.equal(cut.tokens, plain)
    assert torch.equal(cut.dense, whole.dense)


@torch.no_grad()
def test_without_any_part_nothing_is_added(inputs):
    cut = without("dense", "sparse", "tokens")
    output = cut(**inputs, mining=None)
    assert not output.tokens.any()
    assert not output.dense.any()
    assert list(cut.parameters()) == []


@pytest.mark.parametrize(
    ("parts", "gone"),
    [
        ((), ()),
        (("dense",), ()),
        (("sparse",), ()),
        (("tokens",), ("static_", "uncertain_mlp", "refined_mlp")),
        (("tokens", "sparse"), ("static_", "uncertain_mlp", "refined_mlp", "cross_attn")),
    ],
)
def test_what_is_cut_is_gone_and_what_is_left_begins_as_in_the_whole(adapter, parts, gone):
    whole, left = adapter.state_dict(), without(*parts).state_dict()
    assert sorted(left) == sorted(k for k in whole if not (gone and k.startswith(gone)))
    assert all(torch.equal(tensor, whole[name]) for name, tensor in left.items())


@torch.no_grad()
def test_finer_maps_have_twice_the_side_and_change_neither_tokens_nor_image(adapter, inputs):
    finer = without(maps="double")
    detail = torch.randn(PROMPTS, DIM // 4, 12, 12)
    whole = adapter(**inputs, mining=None)
    output = finer(**inputs, detail=detail, mining=mining())
    assert output.maps.coarse.shape == (PROMPTS, 4 * CELLS)
    assert torch.equal(output.tokens[:, :TOKENS], whole.tokens)
    assert torch.equal(output.dense, whole.dense)
    assert output.positive.max() < CELLS


@torch.no_grad()
@pytest.mark.parametrize("uncertain_only", [False, True])
def test_of_finer_maps_the_four_cells_of_the_grids_decide_by_what_each_of_them_weighs(
    inputs, uncertain_only
):
    how = dataclasses.replace(mining(), uncertain_only=uncertain_only)
    detail = 4 * torch.randn(PROMPTS, DIM // 4, 12, 12)
    output = without(maps="double")(**inputs, detail=detail, mining=how)
    uncertainty, coarse, refined = (part.reshape(PROMPTS, 6, 2, 6, 2) for part in output.maps)
    scores = (uncertainty * (refined.sigmoid() - coarse.sigmoid())).mean(dim=(2, 4)).flatten(1)
    unsure = uncertainty.mean(dim=(2, 4)).flatten(1) >= 0.5
    assert (unsure.sum(dim=1) >= POINTS).all()
    for found, signed in ((output.positive, scores), (output.negative, -scores)):
        among = signed.masked_fill(~unsure, -torch.inf) if uncertain_only else signed
        assert torch.equal(found, among.topk(POINTS).indices.sort().values)


FINER_MAPS_DIM, GRID = 16, 3


@pytest.fixture
def finer() -> FinerMaps:
    torch.manual_seed(0)
    return FinerMaps(FINER_MAPS_DIM)


@torch.no_grad()
@pytest.mark.parametrize("cell", [0, 4, 7])
def test_a_cell_of_the_grid_decides_its_own_four_pixels(finer, cell):
    consistent, detail = (
        torch.randn(1, GRID**2, FINER_MAPS_DIM),
        torch.zeros(1, FINER_MAPS_DIM // 4, 2 * GRID, 2 * GRID),
    )
    other = consistent.clone()
    other[0, cell] += torch.randn(FINER_MAPS_DIM)
    changed = (finer(consistent, detail) != finer(other, detail)).any(dim=-1)
    row, column = divmod(cell, GRID)
    inside = torch.zeros(2 * GRID, 2 * GRID, dtype=torch.bool)
    inside[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = True
    assert torch.equal(changed[0].reshape(2 * GRID, 2 * GRID), inside)


@torch.no_grad()
def test_the_images_detail_reaches_single_pixels(finer):
    consistent = torch.randn(1, GRID**2, FINER_MAPS_DIM)
    detail = torch.zeros(1, FINER_MAPS_DIM // 4, 2 * GRID, 2 * GRID)
    other = detail.clone()
    other[0, :, 1, 2] = 1
    changed = (finer(consistent, detail) != finer(consistent, other)).any(dim=-1)
    assert changed[0].nonzero().flatten().tolist() == [1 * 2 * GRID + 2]


@torch.no_grad()
def test_tokens_become_as_narrow_as_the_features(finer):
    features = finer(
        torch.randn(2, GRID**2, FINER_MAPS_DIM),
        torch.zeros(2, FINER_MAPS_DIM // 4, 2 * GRID, 2 * GRID),
    )
    assert features.shape == (2, 4 * GRID**2, FINER_MAPS_DIM // 4)
    assert finer.shrink(torch.randn(2, FINER_MAPS_DIM)).shape == (2, FINER_MAPS_DIM // 4)


def test_maps_are_averaged_to_the_grids_cells():
    maps = torch.arange(16.0).reshape(1, 16)
    assert to_grid(maps, 4).tolist() == [[2.5, 4.5, 10.5, 12.5]]
    assert to_grid(maps, 16) is maps


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_computes_what_sams_layer_norm_computes(layout):
    torch.manual_seed(0)
    theirs, ours = LayerNorm2d(6), ChannelNorm(6)
    with torch.no_grad():
        theirs.weight.normal_()
        theirs.bias.normal_()
    ours.load_state_dict(theirs.state_dict())
    x = (7 * torch.randn(3, 6, 5, 4) + 2).to(memory_format=layout)
    wanted = torch.randn(3, 6, 5, 4)
    results = []
    for norm in (theirs, ours):
        seen = x.clone().requires_grad_()
        answer = norm(seen)
        (answer * wanted).sum().backward()
        results.append([answer, seen.grad, norm.weight.grad, norm.bias.grad])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


IMAGE_ADAPTER_GRID, IMAGE_ADAPTER_DIM = 8, 32


@pytest.fixture
def decoder() -> ImageAdaptedMaskDecoder:
    torch.manual_seed(0)
    transformer = TwoWayTransformer(
        depth=2, embedding_dim=IMAGE_ADAPTER_DIM, num_heads=4, mlp_dim=48
    )
    return ImageAdaptedMaskDecoder(
        transformer_dim=IMAGE_ADAPTER_DIM, transformer=transformer, gradient="reference"
    )


@pytest.fixture
def image_adapter_inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "image_embeddings": torch.randn(
            2, IMAGE_ADAPTER_DIM, IMAGE_ADAPTER_GRID, IMAGE_ADAPTER_GRID
        ),
        "image_pe": torch.randn(1, IMAGE_ADAPTER_DIM, IMAGE_ADAPTER_GRID, IMAGE_ADAPTER_GRID),
        "sparse": torch.randn(3, 2, IMAGE_ADAPTER_DIM),
        "dense": torch.randn(3, IMAGE_ADAPTER_DIM, IMAGE_ADAPTER_GRID, IMAGE_ADAPTER_GRID),
        "image_index": torch.tensor([1, 0, 1]),
    }


def plain(decoder: ImageAdaptedMaskDecoder) -> SamMaskDecoder:
    transformer = TwoWayTransformer(
        depth=2, embedding_dim=IMAGE_ADAPTER_DIM, num_heads=4, mlp_dim=48
    )
    sam = SamMaskDecoder(transformer_dim=IMAGE_ADAPTER_DIM, transformer=transformer)
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
def test_it_begins_as_sam(decoder, image_adapter_inputs):
    joined = torch.randn(2, 4, 4 * IMAGE_ADAPTER_GRID, 4 * IMAGE_ADAPTER_GRID)
    adapted = decoder.adapted(image_adapter_inputs["image_embeddings"], joined)
    assert torch.equal(adapted, image_adapter_inputs["image_embeddings"])


@torch.no_grad()
def test_what_it_learns_changes_the_image_features_alone(decoder, image_adapter_inputs):
    joined = torch.randn(2, 4, 4 * IMAGE_ADAPTER_GRID, 4 * IMAGE_ADAPTER_GRID)
    torch.nn.init.normal_(decoder.image_adapter.change[-1].weight, std=0.1)
    adapted = decoder.adapted(image_adapter_inputs["image_embeddings"], joined)
    assert not torch.allclose(adapted, image_adapter_inputs["image_embeddings"], atol=1e-3)
    changed = {**image_adapter_inputs, "image_embeddings": adapted}
    expected = plain(decoder).decode(**changed)
    assert all(torch.equal(a, b) for a, b in zip(decoder.decode(**changed), expected, strict=True))


def test_a_loss_on_the_mask_reaches_exactly_what_is_trained(decoder, image_adapter_inputs):
    joined = torch.randn(2, 4, 4 * IMAGE_ADAPTER_GRID, 4 * IMAGE_ADAPTER_GRID)
    torch.nn.init.normal_(decoder.image_adapter.change[-1].weight, std=0.1)
    for name, parameter in decoder.named_parameters():
        parameter.requires_grad_(name.startswith(TRAINABLE))
    adapted = decoder.adapted(image_adapter_inputs["image_embeddings"], joined)
    masks, _ = decoder.decode(**{**image_adapter_inputs, "image_embeddings": adapted})
    masks.square().mean().backward()
    for name, parameter in decoder.named_parameters():
        assert (parameter.grad is not None) == name.startswith(TRAINABLE), name


CPU = torch.device("cpu")


def noise_of(seed: int, maps: int, cells: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return gumbel_noise(maps, cells, generator=generator, device=CPU)


def test_the_top_cells_come_in_the_order_of_their_index():
    scores = torch.tensor([[0.1, 0.9, 0.3, 0.8, 0.2], [0.5, 0.1, 0.4, 0.2, 0.3]])
    picks = top_picks(scores, 2)
    assert picks.cells.tolist() == [[1, 3], [0, 2]]
    assert picks.weights.tolist() == [[1, 1], [1, 1]]


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000), cells=st.integers(4, 300), count=st.integers(1, 4),
    scale=st.sampled_from([1e-3, 1.0, 30.0]),
)  # fmt: skip
def test_sampled_cells_are_distinct_ascending_and_weigh_exactly_one(seed, cells, count, scale):
    scores = scale * torch.randn(3, cells, generator=torch.Generator().manual_seed(seed))
    picks = gumbel_picks(scores, count, noise_of(seed, 3, cells)[:, 0])
    assert (picks.cells.diff(dim=1) > 0).all()
    assert torch.equal(picks.weights, torch.ones(3, count))


def test_without_noise_the_sample_is_the_top():
    scores = torch.randn(5, 50, generator=torch.Generator().manual_seed(0))
    sampled = gumbel_picks(scores, 4, torch.zeros(5, 50))
    assert torch.equal(sampled.cells, top_picks(scores, 4).cells)


def test_the_gradient_is_that_of_the_relaxed_vector():
    scores = torch.randn(1, 9, dtype=torch.float32, requires_grad=True)
    noise = noise_of(1, 1, 9)[:, 0]
    picks = gumbel_picks(scores, 2, noise)
    along = torch.tensor([[0.7, -1.3]])
    (found,) = torch.autograd.grad((picks.weights * along).sum(), scores)

    logits = scores + noise
    first = logits.softmax(-1)
    second = (logits + (1 - first).log()).softmax(-1)
    relaxed = (first + second).gather(1, picks.cells)
    (expected,) = torch.autograd.grad((relaxed * along).sum(), scores)
    torch.testing.assert_close(found, expected)
    assert found.abs().min() > 0  # every cell is reached through the softmaxes


def test_one_seed_gives_the_same_noise_and_another_seed_other_noise():
    assert torch.equal(noise_of(3, 2, 20), noise_of(3, 2, 20))
    assert not torch.equal(noise_of(3, 2, 20), noise_of(4, 2, 20))


def test_noise_is_drawn_map_by_map_and_positive_first():
    flat = noise_of(5, 1, 4 * 10).flatten()[:10]
    assert torch.equal(noise_of(5, 2, 10)[0, 0], flat)


def test_noise_is_gumbel_distributed():
    noise = noise_of(0, 4, 20_000)
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.02)
    assert noise.var().item() == pytest.approx(1.6449, rel=0.03)


def test_too_small_a_map_is_refused_by_its_size():
    with pytest.raises(ShapeError, match="cannot take 4 points from a map of 3 cells"):
        top_picks(torch.zeros(1, 3), 4)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_scale_and_temperature_of_one_change_no_bit(seed):
    scores = torch.randn(2, 60, generator=torch.Generator().manual_seed(seed), requires_grad=True)
    noise = noise_of(seed, 2, 60)[:, 0]
    plain = gumbel_picks(scores, 3, noise)
    scaled = PointSampler(points=3).pick("gumbel", scores, noise)
    assert torch.equal(plain.cells, scaled.cells)
    assert torch.equal(plain.weights, scaled.weights)


def test_a_large_scale_brings_the_sample_to_the_top_and_a_small_one_away():
    scores = torch.rand(40, 1024, generator=torch.Generator().manual_seed(0)) * 2 - 1
    noise = noise_of(0, 40, 1024)[:, 0]

    def agreement(scale):
        picks = PointSampler(points=4, score_scale=scale).pick("gumbel", scores, noise)
        return scores.gather(1, picks.cells).mean().item()

    assert agreement(1000.0) == pytest.approx(scores.topk(4).values.mean().item(), abs=1e-2)
    assert agreement(0.001) < agreement(1.0) < agreement(30.0) < agreement(1000.0)


def test_a_low_temperature_leaves_the_gradient_to_few_cells():
    scores = torch.randn(1, 200, generator=torch.Generator().manual_seed(2), requires_grad=True)
    noise = noise_of(2, 1, 200)[:, 0]

    def cells_that_share(temperature):
        picks = PointSampler(points=1, temperature=temperature).pick("gumbel", scores, noise)
        (gradient,) = torch.autograd.grad(picks.weights[0, 0], scores)
        others = gradient[gradient < 0]
        return (others.sum() ** 2 / others.square().sum()).item()

    assert cells_that_share(0.3) < cells_that_share(1.0) < cells_that_share(3.0)


def test_random_points_know_nothing_of_the_scores_and_fixed_ones_never_change():
    sampler = PointSampler(points=3)

    def cells(mode, scores, seed):
        generator = torch.Generator().manual_seed(seed)
        noise = PointSampler.noise(mode, len(scores), 50, generator=generator, device=CPU)
        return sampler.pick(mode, scores, noise[:, 0]).cells

    some, other = torch.randn(2, 50), torch.randn(2, 50)
    assert torch.equal(cells("random", some, 1), cells("random", other, 1))
    assert not torch.equal(cells("random", some, 1), cells("random", some, 2))
    fixed = cells("fixed", some, 1)
    assert torch.equal(fixed, cells("fixed", other, 2))
    assert torch.equal(fixed[0], fixed[1])


def test_the_top_needs_no_noise():
    assert PointSampler.noise("top", 2, 50, generator=None, device=CPU) is None
    with pytest.raises(AssertionError, match="picking by 'random' needs noise"):
        PointSampler(points=2).pick("random", torch.zeros(1, 9), None)
