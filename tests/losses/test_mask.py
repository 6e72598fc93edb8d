"""Mask losses count the pixels they should and treat masks alike."""

import pytest
import torch

from pasam.models.losses import bce_loss, dice_loss, selected_bce_loss


@pytest.fixture
def logits() -> torch.Tensor:
    return 3 * torch.randn(3, 6, 7, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def target() -> torch.Tensor:
    return torch.rand(3, 6, 7, generator=torch.Generator().manual_seed(1))


def halves(like: torch.Tensor) -> torch.Tensor:
    selected = torch.zeros_like(like)
    selected[..., :3] = 1
    return selected


def test_cross_entropy_follows_its_formula_on_soft_labels(logits, target):
    p = logits.double().sigmoid()
    expected = -(target * p.log() + (1 - target) * (1 - p).log()).mean()
    assert bce_loss(logits, target).item() == pytest.approx(expected.item(), rel=1e-5)


def test_all_pixels_selected_is_the_plain_loss(logits, target):
    everything = torch.ones_like(logits)
    torch.testing.assert_close(
        selected_bce_loss(logits, target, everything), bce_loss(logits, target)
    )
    torch.testing.assert_close(dice_loss(logits, target, everything), dice_loss(logits, target))


def test_pixels_outside_the_selection_have_no_influence(logits, target):
    selected = halves(logits)
    changed = torch.where(selected > 0, logits, -logits)
    for loss in (selected_bce_loss, dice_loss):
        assert torch.equal(loss(logits, target, selected), loss(changed, target, selected))


def test_the_selected_part_counts_as_if_it_were_the_whole_mask(logits, target):
    cut = selected_bce_loss(logits[..., :3], target[..., :3], torch.ones(3, 6, 3))
    torch.testing.assert_close(selected_bce_loss(logits, target, halves(logits)), cut)
    torch.testing.assert_close(
        dice_loss(logits, target, halves(logits)), dice_loss(logits[..., :3], target[..., :3])
    )


@pytest.mark.parametrize("loss", [selected_bce_loss, dice_loss])
def test_an_empty_selection_counts_as_zero(loss, logits, target):
    assert loss(logits, target, torch.zeros_like(logits)).item() == 0


@pytest.mark.parametrize("loss", [bce_loss, dice_loss])
def test_every_mask_weighs_the_same(loss, logits, target):
    singles = [loss(logits[i : i + 1], target[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(loss(logits, target), torch.stack(singles).mean())


def test_dice_of_a_perfect_mask_is_nearly_zero_and_of_a_wrong_one_nearly_one():
    label = torch.zeros(1, 20, 20)
    label[:, :10] = 1
    certain = 40 * (2 * label - 1)
    assert dice_loss(certain, label).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(-certain, label).item() == pytest.approx(1 - 1 / 401, abs=1e-6)
