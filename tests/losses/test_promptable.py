"""The pretraining loss has the values of its formulas and teaches only whom it should."""

from math import log

import pytest
import torch

from pasam.losses.promptable import (
    balanced_cross_entropy,
    localised_cross_entropy,
    promptable_loss,
    soft_dice_loss,
)

SURE = 40.0  # a logit whose probability is 1 in float32

# One object pixel of four.
TARGET = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
RIGHT = torch.tensor([[SURE, -SURE], [-SURE, -SURE]])
WRONG = -RIGHT
UNDECIDED = torch.zeros(2, 2)


def masks(*four):
    return torch.stack(four).unsqueeze(0).requires_grad_()


def test_object_and_ground_count_alike_whatever_their_sizes():
    logits = torch.tensor([[[[log(3), 0.0], [0.0, 0.0]]]])
    loss = balanced_cross_entropy(logits, TARGET.unsqueeze(1))
    assert loss.item() == pytest.approx(-log(0.75) + log(2))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_mask_without_object_or_without_ground_counts_what_there_is(value):
    target = torch.full((1, 1, 2, 2), value)
    loss = balanced_cross_entropy(torch.zeros(1, 1, 2, 2), target)
    assert loss.item() == pytest.approx(log(2))


def test_dice_has_the_value_of_its_formula():
    logits = torch.stack([RIGHT, UNDECIDED, WRONG]).unsqueeze(0)
    loss = soft_dice_loss(logits, TARGET.unsqueeze(1))
    # 1 - 3/3;  1 - (2 * 0.5 + 1) / (2 + 1 + 1);  1 - 1 / (3 + 1 + 1)
    assert loss[0].tolist() == pytest.approx([0.0, 0.5, 0.8])


def test_an_ambiguous_prompt_has_the_losses_of_its_masks():
    quality = torch.tensor([[0.5, 1.0, 0.0, 0.25]])
    terms = promptable_loss(
        masks(UNDECIDED, RIGHT, UNDECIDED, WRONG), quality, TARGET, ambiguous=True
    )
    assert terms["loss_single"].item() == pytest.approx(2 * log(2) + 2 * 0.5)
    assert terms["loss_candidates"].item() == pytest.approx(0)
    # IoU of "nothing", the object, nothing and everything but the object: 0, 1, 0, 0.
    assert terms["loss_quality"].item() == pytest.approx((0.5**2 + 0 + 0 + 0.25**2) / 4)
    assert terms["iou"].item() == 0
    parts = (terms[f"loss_{part}"] for part in ("single", "candidates", "quality"))
    assert terms["loss"].item() == pytest.approx(sum(part.item() for part in parts))


def test_only_the_best_candidate_learns():
    near = RIGHT / SURE  # right, but not sure of it
    logits = masks(UNDECIDED, UNDECIDED, near, -near)
    promptable_loss(logits, torch.zeros(1, 4), TARGET, ambiguous=True)["loss"].backward()
    learns = logits.grad[0].abs().sum(dim=(1, 2)) > 0
    assert learns.tolist() == [True, False, True, False]


def test_every_prompt_has_its_own_best_candidate():
    near = RIGHT / SURE
    first = torch.stack([UNDECIDED, near, UNDECIDED, UNDECIDED])
    second = torch.stack([UNDECIDED, UNDECIDED, UNDECIDED, near])
    logits = torch.stack([first, second]).requires_grad_()
    target = TARGET.expand(2, 2, 2)
    promptable_loss(logits, torch.zeros(2, 4), target, ambiguous=True)["loss"].backward()
    learns = logits.grad.abs().sum(dim=(2, 3)) > 0
    assert learns.tolist() == [[True, True, False, False], [True, False, False, True]]


def test_a_clear_prompt_leaves_the_candidates_and_their_quality_alone():
    logits = masks(UNDECIDED, UNDECIDED, RIGHT, WRONG)
    quality = torch.full((1, 4), 0.5, requires_grad=True)
    terms = promptable_loss(logits, quality, TARGET, ambiguous=False)
    terms["loss"].backward()
    assert terms["loss_candidates"].item() == 0
    assert logits.grad[0, 0].abs().sum() > 0
    assert logits.grad[0, 1:].abs().sum() == 0
    assert quality.grad[0].ne(0).tolist() == [True, False, False, False]


def test_the_quality_head_does_not_pull_at_the_masks():
    logits = masks(UNDECIDED, RIGHT, WRONG, UNDECIDED)
    quality = torch.zeros(1, 4, requires_grad=True)
    terms = promptable_loss(logits, quality, TARGET, ambiguous=True)
    (gradient,) = torch.autograd.grad(terms["loss_quality"], logits, allow_unused=True)
    assert gradient is None


def square(side, start, size):
    mask = torch.zeros(1, 1, side, side)
    mask[..., start : start + size, start : start + size] = 1
    return mask


def test_a_small_object_gains_nothing_by_a_leaking_mask():
    target = square(64, 20, 6)
    tight, leaking = (4 * square(64, start, size) - 2 for start, size in ((21, 4), (14, 18)))
    assert balanced_cross_entropy(leaking, target) < balanced_cross_entropy(tight, target)
    assert localised_cross_entropy(leaking, target) > localised_cross_entropy(tight, target)


def test_the_localised_cross_entropy_is_a_mean_where_the_object_fills_the_image():
    torch.manual_seed(0)
    logits, target = torch.randn(2, 3, 16, 16), square(16, 1, 14).expand(2, -1, -1, -1)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, target.expand_as(logits), reduction="none"
    ).mean(dim=(2, 3))
    torch.testing.assert_close(localised_cross_entropy(logits, target), expected)


def test_small_objects_keep_their_weight():
    errors = []
    for size in (8, 16):
        target = square(64, 20, size)
        errors.append(localised_cross_entropy(-20.0 * torch.ones_like(target), target))
    torch.testing.assert_close(errors[0], errors[1])
