"""Points are the top cells in prediction and a straight-through Gumbel sample in training."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pasam.errors import ShapeError
from pasam.models.prompt_adapter import PointSampler, gumbel_noise, gumbel_picks, top_picks

CPU = torch.device("cpu")


def noise_of(seed: int, maps: int, cells: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return gumbel_noise(maps, cells, generator=generator, device=CPU)


def test_the_top_cells_come_in_the_order_of_their_index():
    scores = torch.tensor([[0.1, 0.9, 0.3, 0.8, 0.2], [0.5, 0.1, 0.4, 0.2, 0.3]])
    picks = top_picks(scores, 2)
    assert picks.cells.tolist() == [[1, 3], [0, 2]]
    assert picks.weights.tolist() == [[1, 1], [1, 1]]


@settings(max_examples=40, deadline=None)
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


@settings(max_examples=20, deadline=None)
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
