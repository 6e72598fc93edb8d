"""Points are the most uncertain candidates and fresh uniform ones."""

import pytest
import torch

from pasam.models.losses import POINTS, Draws, draw, uncertain_points, values_at

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def draws() -> Draws:
    return draw(2, generator=torch.Generator().manual_seed(0), device=CPU)


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def test_three_candidates_are_drawn_per_point_and_a_quarter_fresh(draws):
    assert draws.candidates.shape == (2, 37632, 2)
    assert draws.fresh.shape == (2, 3136, 2)
    assert min(d.min() for d in draws) >= 0
    assert max(d.max() for d in draws) < 1


def test_a_seed_determines_the_draws(draws):
    again = draw(2, generator=torch.Generator().manual_seed(0), device=CPU)
    other = draw(2, generator=torch.Generator().manual_seed(1), device=CPU)
    assert torch.equal(draws.candidates, again.candidates)
    assert torch.equal(draws.fresh, again.fresh)
    assert not torch.equal(draws.fresh, other.fresh)


def test_kept_candidates_are_nearer_to_the_boundary_than_all_others(draws, logits):
    points = uncertain_points(logits, draws)
    assert points.shape == (2, POINTS, 2)
    kept = values_at(logits, points[:, :9408]).abs()
    everything = values_at(logits, draws.candidates).abs().sort(dim=1).values
    torch.testing.assert_close(kept.sort(dim=1).values, everything[:, :9408])


def test_all_fresh_points_are_kept(draws, logits):
    assert torch.equal(uncertain_points(logits, draws)[:, 9408:], draws.fresh)


def test_the_choice_carries_no_gradient(draws, logits):
    assert not uncertain_points(logits.requires_grad_(), draws).requires_grad


def test_a_value_at_a_pixels_centre_is_that_pixels():
    maps = torch.arange(12.0).reshape(1, 1, 3, 4)
    centres = torch.tensor([[[0.5 / 4, 0.5 / 3], [2.5 / 4, 1.5 / 3], [1 / 4, 0.5 / 3]]])
    torch.testing.assert_close(values_at(maps, centres), torch.tensor([[0.0, 6.0, 0.5]]))


def test_outside_the_map_there_is_zero():
    value = values_at(torch.ones(1, 1, 4, 4), torch.tensor([[[0.0, 0.5]]]))
    torch.testing.assert_close(value, torch.tensor([[0.5]]))
