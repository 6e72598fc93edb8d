"""The pool holds one's own training pictures and scenes of its own, hurriedly annotated."""

import numpy as np
import pandas as pd
import pytest

from pasam.data.catalogue import TRAINING_SET
from pasam.masks.images import write_png
from pasam.training.promptable_batches import LONGEST_SIDE, draw_pool, read_pool


def read(frame):
    return read_pool(frame, coarseness=0.05, workers=1)


def draw(count, *, seed=7):
    return draw_pool(count, seed=seed, side=64, coarseness=0.05, workers=1)


def iou(one, other):
    return ((one > 128) & (other > 128)).sum() / ((one > 128) | (other > 128)).sum()


def test_only_ones_own_training_images_are_read(manifest):
    generated = manifest[manifest["image"] == manifest["image"][0]].assign(dataset=TRAINING_SET)
    found = read(pd.concat([manifest[manifest["image"] != manifest["image"][0]], generated]))
    assert len(found) == 3  # four for training, one of them generated; one for a benchmark
    assert [len(picture.fine) for picture in found] == [3, 3, 3]


def test_fine_masks_are_the_files_own(manifest):
    picture = read(manifest)[0]
    assert picture.image.shape == (64, 64, 3)
    assert picture.fine[0].sum() == 255 * 22 * 22


def test_coarse_masks_are_near_the_fine_ones_and_always_the_same(manifest):
    for first, again in zip(read(manifest), read(manifest), strict=True):
        np.testing.assert_array_equal(first.coarse, again.coarse)
        assert first.coarse.shape == first.fine.shape
        assert not np.array_equal(first.coarse[:2], first.fine[:2])
        for fine, coarse in zip(first.fine[:2], first.coarse[:2], strict=True):
            assert iou(fine, coarse) > 0.7


@pytest.mark.parametrize("shape", [(200, 768), (768, 200)])
def test_large_photographs_are_brought_down_with_their_aspect(shape, tmp_path):
    mask = np.zeros(shape, np.uint8)
    mask[:100, :100] = 255
    write_png(tmp_path / "image.png", np.zeros((*shape, 3), np.uint8))
    write_png(tmp_path / "mask.png", mask)
    frame = pd.DataFrame(
        [{"split": "train", "dataset": "own",
          "image": str(tmp_path / "image.png"), "mask": str(tmp_path / "mask.png")}]
    )  # fmt: skip
    (picture,) = read(frame)
    assert picture.image.shape[:2] == tuple(length // 2 for length in shape)
    assert max(picture.image.shape) == LONGEST_SIDE
    assert (picture.fine[0] > 128).sum() == 50 * 50


def test_drawn_scenes_repeat_and_differ_from_each_other():
    first, second = draw(2)
    np.testing.assert_array_equal(draw(2)[1].coarse, second.coarse)
    assert not np.array_equal(first.image, second.image)
    assert not np.array_equal(first.image, draw(1, seed=8)[0].image)


def test_a_larger_pool_begins_with_the_smaller():
    np.testing.assert_array_equal(draw(2)[0].image, draw(1)[0].image)


def test_every_drawn_object_can_be_seen():
    for picture in draw(3):
        assert 1 <= len(picture.fine) == len(picture.coarse) <= 3
        assert ((picture.fine > 128).sum(axis=(1, 2)) > 0).all()
