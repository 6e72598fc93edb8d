"""The uncertain band is that of repeated erosion, with the reference's two borders."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pasam.models.losses import (
    balanced_uncertainty_loss,
    band_radius,
    uncertainty_loss,
    uncertainty_target,
)


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
