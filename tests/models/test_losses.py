"""Mask losses count the pixels they should and treat masks alike."""

from math import log

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits as bce_with_logits

from pasam.errors import ShapeError
from pasam.models.losses import (
    balanced_cross_entropy,
    balanced_uncertainty_loss,
    band,
    band_radius,
    bce_loss,
    dice_loss,
    hq_sam_loss,
    iou_head_loss,
    keep_loss,
    localised_cross_entropy,
    mask_loss,
    object_bce_loss,
    outline_loss,
    pa_sam_loss,
    pooled_band,
    promptable_loss,
    selected_bce_loss,
    soft_dice_loss,
    total,
    uncertainty_loss,
    uncertainty_target,
)
from pasam.models.map_values import (
    POINTS,
    PointDraws,
    draw,
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
    assert values_at(torch.ones(1, 1, 4, 4), torch.tensor([[[0.0, 0.5]]])).item() == 0.5


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
    corner = torch.tensor([[[[4.0, -4.0], [-4.0, -4.0]]]])  # once interpolated 15 pixels of 64
    assert iou_head_loss(torch.tensor([[15 / 64]]), corner, square(8, 8)).item() == 0


def test_keeping_costs_nothing_at_sams_own_masks(logits):
    sam = 3 * torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    masks = sam.clone().requires_grad_(True)
    loss = keep_loss(masks, sam, torch.cat([square(64, 32), square(64, 16)]))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert masks.grad.abs().max().item() < 1e-6
    assert keep_loss(masks + 1, sam, torch.cat([square(64, 32), square(64, 16)])).item() > 0.01


def test_masks_are_kept_where_sam_is_right_and_no_outline_is_near():
    label = square(64, 32)  # rows 0 to 31; its band is 1 pixel wide on both sides
    sam = torch.full((1, 1, 8, 8), -2.0)
    sam[..., :4, :] = 2.0  # a row of a mask is 8 pixels of the label
    sam[..., 6, :] = 2.0  # wrong: nothing is to be kept
    masks = torch.zeros(1, 1, 8, 8, requires_grad=True)
    keep_loss(masks, sam, label).backward()
    held = masks.grad[0, 0].abs() > 0
    # Where the object meets the image's border there is an outline, too.
    assert held[:, 3].tolist() == [False, True, True, False, False, True, False, True]
    assert held[1].tolist() == [False, *[True] * 6, False]
    assert held[5].all()


def test_the_outline_counts_a_wrong_pixel_near_it_more_than_one_far_off():
    label = square(64, 32)  # rows 0 to 31; the band is 2 pixels wide on both sides
    right = torch.full((1, 1, 64, 64), -40.0)
    right[..., :32, :] = 40.0
    near, far = right.clone(), right.clone()
    near[..., 32, :8] = 40.0
    far[..., 60, :8] = 40.0
    losses = [outline_loss(masks, label).item() for masks in (right, near, far)]
    assert losses[0] == pytest.approx(0, abs=1e-5)
    assert losses[1] > 2 * losses[2] > 0
    unsure, target, near = torch.zeros(1, 1, 64, 64), label / 255, band(label, 2)
    overlap = dice_loss(unsure[0], target) + dice_loss(unsure[0], target, near)
    assert (outline_loss(unsure, label) - overlap).item() == pytest.approx(0.5 * log(2))
    with pytest.raises(ShapeError, match="masks"):
        outline_loss(right, label[:, :, :32].repeat(2, 1, 1))


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


PA_TERMS = {
    "loss_mask",
    "loss_dice",
    "loss_mask_final",
    "loss_dice_final",
    "loss_uncertain_map",
}


def prediction(masks: int = 2, grid: int = 8) -> dict[str, torch.Tensor]:
    noise = torch.Generator().manual_seed(0)
    maps = {
        name: torch.randn(masks, 1, scale * grid, scale * grid, generator=noise)
        for name, scale in (("masks", 4), ("coarse", 1), ("refined", 1), ("uncertainty", 1))
    }
    maps["uncertainty"] = maps["uncertainty"].sigmoid()
    return maps


def label_of(masks: int, height: int, width: int) -> torch.Tensor:
    label = torch.zeros(masks, height, width, dtype=torch.uint8)
    label[:, height // 4 : height // 2, width // 4 :] = 255
    return label


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 80), (7, 200)])
def test_pa_sams_total_is_the_sum_of_five_terms_at_any_label_size(height, width):
    losses = pa_sam_loss(**prediction(), label=label_of(2, height, width))
    assert set(losses) == PA_TERMS | {"loss"}
    assert losses["loss"].item() == pytest.approx(sum(losses[t].item() for t in PA_TERMS))
    assert all(torch.isfinite(value) for value in losses.values())


def test_each_adapter_mask_learns_only_where_it_is_in_charge():
    parts = prediction()
    parts["uncertainty"] = torch.zeros(2, 1, 8, 8)
    parts["uncertainty"][..., :4] = 1  # refined is in charge of the left half
    for name in ("coarse", "refined"):
        parts[name].requires_grad_()
    losses = pa_sam_loss(**parts, label=label_of(2, 64, 64))
    (losses["loss_mask_final"] + losses["loss_dice_final"]).backward()
    refined, coarse = parts["refined"].grad, parts["coarse"].grad
    assert refined[..., :4].all()
    assert not refined[..., 5:].any()
    assert coarse[..., 4:].all()
    assert not coarse[..., :3].any()


def test_the_choice_between_them_gives_the_uncertainty_no_gradient():
    parts = prediction()
    parts["uncertainty"].requires_grad_()
    losses = pa_sam_loss(**parts, label=label_of(2, 64, 64))
    assert losses["loss_uncertain_map"].requires_grad
    assert not losses["loss_mask_final"].requires_grad


def test_losses_are_taken_in_single_precision_inside_autocast():
    parts, label = prediction(), label_of(2, 64, 64)
    expected = pa_sam_loss(**{k: v.bfloat16().float() for k, v in parts.items()}, label=label)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = pa_sam_loss(**{k: v.bfloat16() for k, v in parts.items()}, label=label)
    for name, value in expected.items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name], value)


def test_the_right_mask_costs_less_than_its_opposite():
    label = label_of(2, 32, 32)
    certain = 20 * (2.0 * (label[:, None] > 128) - 1)
    for loss in (
        lambda masks: pa_sam_loss(**{**prediction(), "masks": masks}, label=label),
        lambda masks: hq_sam_loss(masks=masks, label=label, generator=torch.Generator()),
    ):
        assert loss(certain)["loss"] < loss(-certain)["loss"]


def test_hq_sams_total_is_the_sum_of_two_terms_and_a_seed_determines_it():
    masks, label = prediction()["masks"], label_of(2, 50, 70)

    def loss(seed):
        generator = torch.Generator().manual_seed(seed)
        return hq_sam_loss(masks=masks, label=label, generator=generator)

    first = loss(0)
    assert set(first) == {"loss_mask", "loss_dice", "loss"}
    torch.testing.assert_close(first["loss"], first["loss_mask"] + first["loss_dice"])
    assert torch.equal(first["loss"], loss(0)["loss"])
    assert not torch.equal(first["loss"], loss(1)["loss"])


def test_given_draws_stand_for_the_generator():
    masks, label = prediction()["masks"], label_of(2, 64, 64)
    draws = draw(2, generator=torch.Generator().manual_seed(5), device=masks.device)
    generator = torch.Generator().manual_seed(5)
    assert torch.equal(
        hq_sam_loss(masks=masks, label=label, draws=draws)["loss"],
        hq_sam_loss(masks=masks, label=label, generator=generator)["loss"],
    )


@pytest.mark.parametrize("name", ["masks", "coarse", "refined", "uncertainty"])
def test_parts_of_another_number_are_refused_by_name(name):
    parts = prediction()
    parts[name] = parts[name][:1]
    with pytest.raises(ShapeError, match=rf"{name} must be .* got \(1, 1, .*\) and \(2, 64, 64\)"):
        pa_sam_loss(**parts, label=label_of(2, 64, 64))


def test_the_masks_own_terms_are_those_of_the_whole():
    parts, label = prediction(), label_of(2, 64, 64)
    whole, alone = pa_sam_loss(**parts, label=label), mask_loss(masks=parts["masks"], label=label)
    assert set(alone) == {"loss_mask", "loss_dice", "loss"}
    assert all(torch.equal(alone[name], whole[name]) for name in ("loss_mask", "loss_dice"))
    assert torch.equal(alone["loss"], alone["loss_mask"] + alone["loss_dice"])


def test_another_band_loss_changes_that_term_alone():
    parts, label = prediction(), label_of(2, 64, 64)
    plain = pa_sam_loss(**parts, label=label)
    balanced = pa_sam_loss(**parts, label=label, band_loss=balanced_uncertainty_loss)
    assert {k for k in plain if not torch.equal(plain[k], balanced[k])} == {
        "loss_uncertain_map", "loss",
    }  # fmt: skip


def test_a_small_object_counts_as_much_as_a_large_one_in_its_neighbourhood():
    small, large = torch.zeros(1, 128, 128), torch.zeros(1, 128, 128)
    small[:, 40:56, 40:60] = 1
    large[:, 20:100, 10:110] = 1
    nothing = torch.full((1, 128, 128), -6.0)
    over_image = bce_loss(nothing, small) / bce_loss(nothing, large)
    assert over_image < 0.05
    ratio = object_bce_loss(nothing, small) / object_bce_loss(nothing, large)
    assert 0.3 < ratio < 3


def test_a_leak_costs_by_the_pixel_whatever_the_object():
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., 40:50, 40:50] = 1
    right = 12 * mask - 6
    leaked = right.clone()
    leaked[..., 60:80, 60:70] = 6  # twice the object's area
    assert localised_cross_entropy(leaked, mask) > localised_cross_entropy(right, mask) + 1
    assert balanced_cross_entropy(leaked, mask) < balanced_cross_entropy(right, mask) + 0.1


@pytest.mark.parametrize(("side", "around"), [(1, 128), (6, 144), (40, 4096)])
def test_a_neighbourhood_is_four_boxes_but_neither_a_speck_nor_more_than_the_image(side, around):
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :side, :side] = 1
    found = localised_cross_entropy(torch.zeros(1, 1, 64, 64), mask)
    assert found.item() == pytest.approx(4096 * log(2) / around, rel=1e-5)


def test_an_objects_neighbourhood_is_four_times_its_box_whichever_way_it_lies():
    lying = torch.zeros(1, 1, 128, 128)
    lying[..., 40:50, 20:60] = 1
    nothing = torch.full((1, 1, 128, 128), -6.0)
    each = bce_with_logits(nothing, lying, reduction="none")
    for mask in (lying, lying.mT):
        found = localised_cross_entropy(nothing, mask)
        assert found.item() == pytest.approx(each.sum().item() / (4 * 10 * 40), rel=1e-4)


def test_maps_of_any_side_are_taken_at_the_labels_size():
    parts, label = prediction(), label_of(2, 64, 64)
    double = {
        name: value if name == "masks" else value.repeat_interleave(2, -1).repeat_interleave(2, -2)
        for name, value in parts.items()
    }
    assert torch.isfinite(pa_sam_loss(**double, label=label)["loss"])


def test_a_total_is_the_plain_sum():
    assert total({"a": torch.tensor(1.0), "b": torch.tensor(2.5)})["loss"].item() == 3.5


def eroded(mask: np.ndarray, times: int, border: int) -> np.ndarray:
    """Erode by 3 x 3 ones, `times` times, each time with the same value outside."""
    for _ in range(times):
        padded = np.pad(mask, 1, constant_values=border)
        mask = cv2.erode(padded, np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    return mask


def by_erosion(label: np.ndarray) -> np.ndarray:
    times = band_radius(*label.shape)
    foreground = (label >= 128).astype(np.uint8)
    background = 1 - foreground
    return (foreground - eroded(foreground, times, 0)) + (background - eroded(background, times, 1))


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000), height=st.integers(1, 90), width=st.integers(1, 700),
    density=st.sampled_from([0.0, 0.002, 0.05, 0.998, 1.0]),
)  # fmt: skip
def test_the_target_equals_repeated_erosion(seed, height, width, density):
    dice = np.random.RandomState(seed)
    label = (255 * (dice.uniform(size=(height, width)) < density)).astype(np.uint8)
    labels = torch.from_numpy(label)[None]
    expected = by_erosion(label)
    assert np.array_equal(uncertainty_target(labels)[0].numpy(), expected)
    on_a_gpu = pooled_band(labels, band_radius(height, width))
    assert np.array_equal(on_a_gpu[0].numpy(), expected)


@pytest.mark.parametrize(("side", "radius"), [(1024, 7), (256, 2), (512, 4), (10, 1)])
def test_the_band_grows_with_the_image(side, radius):
    assert band_radius(side, side) == radius


def test_foreground_is_uncertain_at_the_image_border_and_background_is_not():
    full = uncertainty_target(torch.full((1, 10, 10), 255, dtype=torch.uint8))
    assert full.sum() == 10 * 10 - 8 * 8
    assert uncertainty_target(torch.zeros(1, 10, 10, dtype=torch.uint8)).sum() == 0


def test_a_soft_edge_is_foreground_from_128():
    label = torch.zeros(1, 9, 9, dtype=torch.uint8)
    label[0, 4, 4] = 127
    assert uncertainty_target(label).sum() == 0
    label[0, 4, 4] = 128
    assert uncertainty_target(label).sum() == 9


def test_the_loss_puts_corners_on_corners():
    uncertainty = torch.tensor([[[[0.9, 0.1], [0.1, 0.1]]]])
    label = torch.zeros(1, 3, 3, dtype=torch.uint8)  # target 0 everywhere
    values = torch.tensor([[0.9, 0.5, 0.1], [0.5, 0.3, 0.1], [0.1, 0.1, 0.1]])
    expected = -(1 - values).log().mean()
    torch.testing.assert_close(uncertainty_loss(uncertainty, label), expected)


def test_a_certain_mistake_costs_a_finite_amount():
    label = torch.full((1, 8, 8), 255, dtype=torch.uint8)  # its 28 border pixels are uncertain
    loss = uncertainty_loss(torch.zeros(1, 1, 4, 4), label)
    assert loss.item() == pytest.approx(100 * 28 / 64)


def test_a_map_of_ones_stays_a_probability_when_resized():
    label = torch.zeros(1, 37, 91, dtype=torch.uint8)
    assert torch.isfinite(uncertainty_loss(torch.ones(1, 1, 7, 7), label))


def test_the_balanced_loss_lets_band_and_rest_count_alike():
    label = torch.zeros(1, 32, 32, dtype=torch.uint8)
    label[0, 10:14, 10:14] = 255
    target = uncertainty_target(label)
    flat = torch.full((1, 1, 8, 8), 0.2)
    on_band, on_rest = -torch.log(torch.tensor(0.2)), -torch.log(torch.tensor(0.8))
    torch.testing.assert_close(balanced_uncertainty_loss(flat, label), 0.5 * (on_band + on_rest))
    share = target.mean()
    torch.testing.assert_close(
        uncertainty_loss(flat, label), share * on_band + (1 - share) * on_rest
    )


def test_a_mask_without_a_band_costs_the_rest_alone():
    label = torch.zeros(1, 16, 16, dtype=torch.uint8)
    loss = balanced_uncertainty_loss(torch.full((1, 1, 4, 4), 0.5), label)
    assert loss.item() == pytest.approx(0.5 * 0.6931472)
