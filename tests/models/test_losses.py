"""Mask losses count the pixels they should and treat masks alike."""

from math import log

import pytest
import torch

from pasam.models.losses import (
    POINTS,
    PointDraws,
    balanced_cross_entropy,
    bce_loss,
    dice_loss,
    draw,
    iou_head_loss,
    promptable_loss,
    selected_bce_loss,
    soft_dice_loss,
    uncertain_points,
    values_at,
)


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


CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def draws() -> PointDraws:
    return draw(2, generator=torch.Generator().manual_seed(0), device=CPU)


@pytest.fixture
def point_sampled_logits() -> torch.Tensor:
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


def test_kept_candidates_are_nearer_to_the_boundary_than_all_others(draws, point_sampled_logits):
    points = uncertain_points(point_sampled_logits, draws)
    assert points.shape == (2, POINTS, 2)
    kept = values_at(point_sampled_logits, points[:, :9408]).abs()
    everything = values_at(point_sampled_logits, draws.candidates).abs().sort(dim=1).values
    torch.testing.assert_close(kept.sort(dim=1).values, everything[:, :9408])


def test_all_fresh_points_are_kept(draws, point_sampled_logits):
    assert torch.equal(uncertain_points(point_sampled_logits, draws)[:, 9408:], draws.fresh)


def test_the_choice_carries_no_gradient(draws, point_sampled_logits):
    assert not uncertain_points(point_sampled_logits.requires_grad_(), draws).requires_grad


def test_a_value_at_a_pixels_centre_is_that_pixels():
    maps = torch.arange(12.0).reshape(1, 1, 3, 4)
    centres = torch.tensor([[[0.5 / 4, 0.5 / 3], [2.5 / 4, 1.5 / 3], [1 / 4, 0.5 / 3]]])
    torch.testing.assert_close(values_at(maps, centres), torch.tensor([[0.0, 6.0, 0.5]]))


def test_outside_the_map_there_is_zero():
    value = values_at(torch.ones(1, 1, 4, 4), torch.tensor([[[0.0, 0.5]]]))
    torch.testing.assert_close(value, torch.tensor([[0.5]]))


def square(side: int, height: int) -> torch.Tensor:
    label = torch.zeros(1, side, side, dtype=torch.uint8)
    label[:, :height] = 255
    return label


@pytest.mark.parametrize(("found", "expected"), [(8, 1.0), (4, 0.5), (0, 0.0)])
def test_the_loss_vanishes_at_the_masks_own_iou(found, expected):
    masks = (square(16, found)[:, None] > 0).float() * 20 - 10
    label = square(16, 8)
    assert iou_head_loss(torch.tensor([[expected]]), masks, label).item() == pytest.approx(0)
    off = iou_head_loss(torch.tensor([[expected + 0.3]]), masks, label)
    assert off.item() == pytest.approx(0.09)


def test_only_the_prediction_of_quality_learns():
    masks = torch.randn(2, 1, 8, 8, requires_grad=True)
    iou = torch.rand(2, 1, requires_grad=True)
    iou_head_loss(iou, masks, torch.cat([square(16, 4), square(16, 9)])).backward()
    assert iou.grad.abs().sum() > 0
    assert masks.grad is None


def test_nothing_predicted_of_nothing_counts_as_no_overlap():
    loss = iou_head_loss(torch.tensor([[0.0]]), torch.full((1, 1, 4, 4), -1.0), square(8, 0))
    assert loss.item() == 0


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


def test_the_single_mask_is_no_candidate_even_where_it_is_best():
    near = RIGHT / SURE
    logits = masks(near, UNDECIDED, UNDECIDED, UNDECIDED)
    terms = promptable_loss(logits, torch.zeros(1, 4), TARGET, ambiguous=True)
    assert terms["loss_candidates"].item() == pytest.approx(2 * log(2) + 2 * 0.5)
    terms["loss_candidates"].backward()
    learns = logits.grad[0].abs().sum(dim=(1, 2)) > 0
    assert not learns[0]
    assert learns[1:].any()


def test_a_soft_edge_counts_as_the_object_from_above_128_on():
    label = torch.zeros(1, 4, 4)
    label[0, 0] = torch.tensor([100.0, 128.0, 129.0, 255.0])
    right = torch.full((1, 1, 4, 4), -1.0)
    right[0, 0, 0, 2:] = 1.0
    assert iou_head_loss(torch.tensor([[1.0]]), right, label).item() == 0
