"""A base so small that training takes a moment, and pictures that fit it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import small_world
import torch

from pasam.masks.images import write_png
from pasam.training.embeddings import open_store, training_tasks, write_store

SIDE = 64


def small_base(seed: int = 0):
    """A base of 64 x 64 input pixels, an 8 x 8 grid and 32 channels, with random weights."""
    torch.manual_seed(seed)
    return small_world.small_base()


def object_in(side: int, left: int, top: int, size: int) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    mask[top : top + size, left : left + size] = 255
    return mask


def image_of(masks, *, seed: int) -> np.ndarray:
    """Noise, on which every object has a colour of its own."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 90, (*masks[0].shape, 3), np.uint8)
    for mask in masks:
        image[mask > 128] += rng.integers(60, 160, 3, np.uint8)
    return image


@pytest.fixture(scope="session")
def make_base():
    return small_base


@pytest.fixture(scope="session")
def manifest(tmp_path_factory):
    """Four training images and one benchmark image; columns that training reads."""
    folder = tmp_path_factory.mktemp("images")
    rows = []
    for number in range(5):
        masks = [object_in(SIDE, 4 + number, 8, 22), object_in(SIDE, 36, 36, 20 + number)]
        masks.append(object_in(SIDE, 60, 2, 3))  # 9 pixels: too small to be prompted for
        image = folder / f"{number}.png"
        write_png(image, image_of(masks, seed=number))
        for part, mask in enumerate(masks):
            path = folder / f"{number}_{part}.png"
            write_png(path, mask)
            split = "train" if number < 4 else "val"
            rows.append(
                {"id": f"own/{number}_{part}", "dataset": "own", "split": split,
                 "image": str(image), "mask": str(path)}
            )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def ids(manifest):
    return dict(zip(manifest["mask"], manifest["id"], strict=True))


@pytest.fixture(scope="session")
def store(manifest, ids, tmp_path_factory):
    """Two views of each of the four training images, encoded by `small_base(0)`."""
    folder = tmp_path_factory.mktemp("store")
    write_store(
        folder,
        training_tasks(manifest, views=2, seed=3),
        ids,
        small_base().eval(),
        jitter=(0.9, 1.0),
        batch_size=4,
        workers=1,
        origin={"base": "none"},
    )
    return open_store(folder)
