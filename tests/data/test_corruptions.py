"""Corruptions: worse with strength, the same for everyone who asks, never of another size."""

import numpy as np
import pytest

from pasam.evaluation.conditions import Corruption, corrupt, corruptions

AMOUNTS = {"blur": [0.004, 0.008, 0.016], "noise": [10, 25, 50], "jpeg": [40, 20, 8]}
ALL = corruptions(AMOUNTS)


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (20, 30, 3), np.uint8)
    return blocks.repeat(6, axis=0).repeat(6, axis=1)


def worse(image, corruption, name="a.png", seed=1):
    return corrupt(image, corruption, name=name, seed=seed)


def test_every_kind_comes_at_every_strength_by_its_name():
    names = [corruption.name for corruption in ALL]
    assert names == [f"{kind}_{k}" for kind in ("blur", "noise", "jpeg") for k in (1, 2, 3)]


@pytest.mark.parametrize("kind", AMOUNTS)
def test_each_strength_is_further_from_the_image_than_the_one_before(image, kind):
    errors = [
        np.abs(worse(image, corruption).astype(int) - image).mean()
        for corruption in ALL
        if corruption.kind == kind
    ]
    assert 0 < errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("corruption", ALL, ids=lambda c: c.name)
def test_size_and_type_stay_and_a_second_call_gives_the_same(image, corruption):
    before = image.copy()
    found = worse(image, corruption)
    assert found.shape == image.shape
    assert found.dtype == np.uint8
    assert np.array_equal(found, worse(image, corruption))
    assert np.array_equal(image, before)


def test_noise_belongs_to_the_images_name_and_the_seed(image):
    noise = Corruption("noise", 1, 20)
    assert not np.array_equal(worse(image, noise), worse(image, noise, name="b.png"))
    assert not np.array_equal(worse(image, noise), worse(image, noise, seed=2))


def test_noise_of_all_strengths_is_one_noise_made_louder():
    grey = np.full((40, 40, 3), 128, np.uint8)
    low, high = (worse(grey, Corruption("noise", 1, amount)) for amount in (8, 16))
    doubled = 2 * (low.astype(int) - 128)
    assert np.abs(high.astype(int) - 128 - doubled).max() <= 2


def test_blur_is_a_share_of_the_image_and_not_of_a_pixel():
    def width(side):
        edge = np.zeros((side, side, 3), np.uint8)
        edge[:, side // 2 :] = 255
        line = worse(edge, Corruption("blur", 1, 0.02))[side // 2, :, 0]
        return ((line > 25) & (line < 230)).sum()

    assert width(400) == pytest.approx(2 * width(200), abs=2)


def test_colours_are_not_swapped_by_jpeg():
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 250
    found = worse(red, Corruption("jpeg", 1, 90))
    assert np.abs(found.astype(int) - red).max() < 12
