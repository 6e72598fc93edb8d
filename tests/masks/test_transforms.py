"""Views keep image and masks together, and follow the reference's order and rounding."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional

from pasam.errors import ShapeError
from pasam.masks.transforms import augment, squash, squash_mask


class Scripted(np.random.Generator):
    """A generator whose draws are known."""

    def __init__(self, *, first: float, scale: float, offset: int = 0) -> None:
        super().__init__(np.random.PCG64(0))
        self.first, self.scale, self.offset = first, scale, offset

    def random(self) -> float:  # type: ignore[override]
        return self.first

    def uniform(self, low: float, high: float) -> float:  # type: ignore[override]
        assert low <= self.scale <= high
        return self.scale

    def integers(self, low: int, high: int) -> int:  # type: ignore[override]
        assert low == 0
        return min(self.offset, high - 1)


def torch_bilinear(array: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    planes = torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1)[None]
    resized = functional.interpolate(planes, size=size, mode="bilinear", align_corners=False)
    return resized[0].permute(1, 2, 0).numpy()


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(30, 41), (64, 64), (25, 9), (200, 120)])
def test_squash_equals_torchs_bilinear_truncated_to_uint8(size):
    image = picture(*size)
    expected = torch_bilinear(image, (48, 48))
    ours = squash(image, 48).astype(np.float32)
    assert (ours <= expected + 0.01).all()
    assert (ours > expected - 1.01).all()


@pytest.mark.parametrize("size", [(30, 41), (25, 9), (200, 120)])
def test_squashed_mask_agrees_with_float_on_both_sides_of_128(size):
    mask = picture(*size, seed=1)[:, :, :1]
    exact = torch_bilinear(mask, (64, 64))[:, :, 0]
    clear = np.abs(exact - 128) > 0.01
    ours = squash_mask(mask[:, :, 0], 64)
    np.testing.assert_array_equal((ours > 128)[clear], (exact > 128)[clear])
    np.testing.assert_array_equal((ours >= 128)[clear], (exact >= 128)[clear])
    assert np.abs(ours - exact).max() <= 1.01


@given(value=st.integers(0, 255), height=st.integers(1, 50), width=st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_a_constant_image_stays_constant(value, height, width):
    assert (squash(np.full((height, width, 3), value, np.uint8), 37) == value).all()


def test_squash_of_the_right_size_changes_nothing():
    image = picture(16, 16)
    np.testing.assert_array_equal(squash(image, 16), image)


@pytest.mark.parametrize(("first", "flipped"), [(0.499, False), (0.5, True), (0.9, True)])
def test_flip_happens_from_one_half_on(first, flipped):
    image = picture(16, 16)
    rng = Scripted(first=first, scale=1.0)
    view = augment(image, image[None, :, :, 0], side=16, jitter=(0.1, 2.0), rng=rng)
    expected = image[:, ::-1] if flipped else image
    np.testing.assert_array_equal(view.image, expected)
    np.testing.assert_array_equal(view.masks[0], expected[:, :, 0])


def test_a_small_image_is_padded_right_and_below_with_grey_and_empty_label():
    image = np.full((20, 40, 3), 10, np.uint8)
    masks = np.full((1, 20, 40), 255, np.uint8)
    rng = Scripted(first=0.0, scale=0.5)
    view = augment(image, masks, side=32, jitter=(0.1, 2.0), rng=rng)
    assert (view.image[:8, :16] == 10).all()
    assert (view.image[8:] == 128).all()
    assert (view.image[:, 16:] == 128).all()
    assert view.masks.sum() == 8 * 16 * 255


def test_the_crop_takes_the_same_part_of_image_and_mask():
    image = picture(16, 16)
    rng = Scripted(first=0.0, scale=2.0, offset=5)
    view = augment(image, image[None, :, :, 0], side=16, jitter=(0.1, 2.0), rng=rng)
    large = torch_bilinear(image, (32, 32))[5:21, 5:21]
    assert np.abs(view.image - np.floor(large)).max() <= 1
    assert np.abs(view.masks[0] - large[:, :, 0]).max() <= 1.01


@given(
    height=st.integers(1, 60), width=st.integers(1, 60), count=st.integers(0, 3),
    seed=st.integers(0, 1000),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_a_view_has_its_shape_for_every_input(height, width, count, seed):
    rng = np.random.default_rng(seed)
    masks = np.full((count, height, width), 255, np.uint8)
    view = augment(picture(height, width), masks, side=24, jitter=(0.1, 2.0), rng=rng)
    assert view.image.shape == (24, 24, 3)
    assert view.masks.shape == (count, 24, 24)
    assert view.image.dtype == view.masks.dtype == np.uint8


def test_equal_generators_give_equal_views():
    image, masks = picture(30, 50), np.full((2, 30, 50), 255, np.uint8)
    first, second = (
        augment(image, masks, side=24, jitter=(0.5, 2.0), rng=np.random.default_rng(4))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.masks, second.masks)


def test_masks_of_another_size_are_refused():
    with pytest.raises(ShapeError, match=r"\(8, 9\).*\(1, 9, 8\)"):
        augment(
            picture(8, 9), np.zeros((1, 9, 8), np.uint8),
            side=8, jitter=(1, 1), rng=np.random.default_rng(0),
        )  # fmt: skip
