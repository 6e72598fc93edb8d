"""The total is the plain sum of its named terms, at any size and precision."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pasam.errors import ShapeError
from pasam.models.losses import (
    balanced_cross_entropy,
    balanced_uncertainty_loss,
    band_radius,
    bce_loss,
    draw,
    hq_sam_loss,
    localised_cross_entropy,
    mask_loss,
    object_bce_loss,
    pa_sam_loss,
    total,
    uncertainty_loss,
    uncertainty_target,
)

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


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000), height=st.integers(1, 90), width=st.integers(1, 700),
    density=st.sampled_from([0.0, 0.002, 0.05, 0.998, 1.0]),
)  # fmt: skip
def test_the_target_equals_repeated_erosion(seed, height, width, density):
    dice = np.random.RandomState(seed)
    label = (255 * (dice.uniform(size=(height, width)) < density)).astype(np.uint8)
    found = uncertainty_target(torch.from_numpy(label)[None])
    assert np.array_equal(found[0].numpy(), by_erosion(label))


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
