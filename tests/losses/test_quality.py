"""The quality head is right when it says the mask's own IoU, and teaches the mask nothing."""

import pytest
import torch

from pasam.models.losses import quality_loss


def square(side: int, height: int) -> torch.Tensor:
    label = torch.zeros(1, side, side, dtype=torch.uint8)
    label[:, :height] = 255
    return label


@pytest.mark.parametrize(("found", "expected"), [(8, 1.0), (4, 0.5), (0, 0.0)])
def test_the_loss_vanishes_at_the_masks_own_iou(found, expected):
    masks = (square(16, found)[:, None] > 0).float() * 20 - 10
    label = square(16, 8)
    assert quality_loss(torch.tensor([[expected]]), masks, label).item() == pytest.approx(0)
    off = quality_loss(torch.tensor([[expected + 0.3]]), masks, label)
    assert off.item() == pytest.approx(0.09)


def test_only_the_prediction_of_quality_learns():
    masks = torch.randn(2, 1, 8, 8, requires_grad=True)
    iou = torch.rand(2, 1, requires_grad=True)
    quality_loss(iou, masks, torch.cat([square(16, 4), square(16, 9)])).backward()
    assert iou.grad.abs().sum() > 0
    assert masks.grad is None


def test_nothing_predicted_of_nothing_counts_as_no_overlap():
    loss = quality_loss(torch.tensor([[0.0]]), torch.full((1, 1, 4, 4), -1.0), square(8, 0))
    assert loss.item() == 0
