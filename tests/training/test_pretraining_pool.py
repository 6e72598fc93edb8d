"""The pool holds one's own training pictures and scenes of its own, hurriedly annotated."""

import dataclasses
from collections import Counter

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from pasam.data.catalogue import TRAINING_SET
from pasam.errors import DataError
from pasam.masks.images import write_png
from pasam.training.promptable_batches import (
    LONGEST_SIDE,
    MOST_POINTS,
    PromptableBatches,
    coarsen,
    draw_pool,
    read_pool,
)


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


STEPS = 60  # enough for every kind of step to occur


class Counted(list):
    """Pictures that count how often each is looked at."""

    def __init__(self, items):
        super().__init__(items)
        self.seen = Counter()

    def __getitem__(self, number):
        self.seen[number] += 1
        return super().__getitem__(number)


def batches(pictures, *, seed=1, batch_size=2, prompts=2, jitter=(0.9, 1.1), steps=STEPS):
    return PromptableBatches(
        pictures, side=64, batch_size=batch_size, prompts_per_image=prompts, jitter=jitter,
        seed=seed, steps=steps,
    )  # fmt: skip


def equal(one, other):
    fields = [field.name for field in dataclasses.fields(one)]
    pairs = [(getattr(one, name), getattr(other, name)) for name in fields]
    return all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else a == b
        for a, b in pairs
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(workers, pictures):
    made = batches(pictures, steps=5)
    loaded = list(DataLoader(made, batch_size=None, num_workers=workers))
    assert len(loaded) == len(made) == 5
    assert all(equal(batch, made[step]) for step, batch in enumerate(loaded))


def test_steps_and_seeds_differ(pictures):
    made = batches(pictures)
    assert equal(made[3], batches(pictures)[3])
    assert not equal(made[3], made[4])
    assert not equal(made[3], batches(pictures, seed=2)[3])


def test_shapes_are_as_promised(pictures):
    for step in range(STEPS):
        batch = batches(pictures)[step]
        assert batch.images.shape == (2, 3, 64, 64)
        assert batch.images.is_contiguous()
        assert batch.targets.shape == (4, 32, 32)
        assert batch.detail.shape == (2, 4, 32, 32)
        assert 0 <= batch.detail.min() <= batch.detail.max() <= 1
        assert batch.targets.unique().tolist() == [0, 1]
        assert batch.image_index.tolist() == [0, 0, 1, 1]


def test_a_step_prompts_with_boxes_or_with_points_and_both_occur(pictures):
    made = [batches(pictures)[step] for step in range(STEPS)]
    assert all((batch.boxes is None) != (batch.points is None) for batch in made)
    counts = {batch.points.shape[1] for batch in made if batch.points is not None}
    assert len(counts) > 1
    assert counts <= set(range(1, MOST_POINTS + 1))
    assert {batch.boxes is None for batch in made} == {True, False}
    assert {batch.iterate for batch in made} == {True, False}


def test_points_lie_on_the_fine_mask_of_their_image(pictures):
    for step in range(STEPS):
        batch = batches(pictures)[step]
        if batch.points is not None:
            for points, image in zip(batch.points.long() // 2, batch.image_index, strict=True):
                assert (batch.detail[image, 3, points[:, 1], points[:, 0]] > 0).all()


def test_boxes_surround_their_object_give_or_take_the_jitter(pictures):
    for step in range(STEPS):
        batch = batches(pictures)[step]
        if batch.boxes is not None:
            for box, target in zip(batch.boxes, batch.targets, strict=True):
                rows, columns = torch.nonzero(target, as_tuple=True)
                exact = 2 * torch.stack([columns.min(), rows.min(), columns.max(), rows.max()])
                assert (box - exact).abs().max() <= 0.2 * 27 + 2


def test_every_picture_is_seen_once_before_any_is_seen_again(pictures):
    counted = Counted(pictures)
    made = batches(counted, batch_size=3, prompts=1)
    for step in range(4):
        made[step]
    assert counted.seen == dict.fromkeys(range(4), 3)


def test_missing_objects_are_made_up_for_by_prompting_again(make_picture):
    mask = np.zeros((64, 64), np.uint8)
    mask[20:44, 20:44] = 255
    batch = batches([make_picture(mask)], batch_size=1, prompts=3)[0]
    assert batch.image_index.tolist() == [0, 0, 0]
    assert torch.equal(batch.targets[0], batch.targets[2])


def test_no_object_in_any_view_is_an_error_that_names_the_params(make_picture):
    speck = np.zeros((64, 64), np.uint8)
    speck[:7, :7] = 255
    with pytest.raises(DataError, match=r"None of 2 .* 64 pixels.*pretrain\.batch_size"):
        batches([make_picture(speck)], jitter=(1.0, 1.0))[0]


SIDE = 256


def disk(radius: int, centre: tuple[int, int] = (128, 128)) -> NDArray[np.uint8]:
    return cv2.circle(np.zeros((SIDE, SIDE), np.uint8), centre, radius, 255, -1)


def wheel() -> NDArray[np.uint8]:
    canvas = cv2.circle(np.zeros((SIDE, SIDE), np.uint8), (128, 128), 90, 255, 8)
    for angle in np.linspace(0, np.pi, 12, endpoint=False):
        dx, dy = int(90 * np.cos(angle)), int(90 * np.sin(angle))
        cv2.line(canvas, (128 - dx, 128 - dy), (128 + dx, 128 + dy), 255, 4)
    return canvas


def comb() -> NDArray[np.uint8]:
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    canvas[60:90, 40:220] = 255
    for x in range(40, 220, 24):
        canvas[90:190, x : x + 4] = 255
    return canvas


def wire() -> NDArray[np.uint8]:
    x = np.arange(20, 236)
    y = (128 + 60 * np.sin(x / 20)).astype(int)
    points = np.stack([x, y], axis=1).astype(np.int32)
    return cv2.polylines(np.zeros((SIDE, SIDE), np.uint8), [points], False, 255, 2)


def outline_length(mask: NDArray[np.uint8]) -> float:
    contours, _ = cv2.findContours(
        (mask > 128).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    return sum(cv2.arcLength(contour, True) for contour in contours)


def complexity(mask: NDArray[np.uint8]) -> float:
    return outline_length(mask) ** 2 / (4 * np.pi * (mask > 128).sum())


def overlap(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(((one > 128) & (other > 128)).sum() / ((one > 128) | (other > 128)).sum())


def coarse(mask: NDArray[np.uint8], share: float = 0.03, seed: int = 0) -> NDArray[np.uint8]:
    return coarsen(mask, radius_fraction=share, rng=np.random.default_rng(seed))


@given(radius=st.integers(32, 110), seed=st.integers(0, 99), share=st.floats(0.005, 0.03))
@settings(max_examples=40, deadline=None)
def test_a_simple_disk_stays(radius, seed, share):
    assert overlap(coarse(disk(radius), share, seed), disk(radius)) > 0.9


@given(seed=st.integers(0, 9999), share=st.floats(0, 0.2), ink=st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_no_object_is_ever_lost(seed, share, ink):
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(1, 80, 2))
    mask = np.zeros((height, width), np.uint8)
    mask[rng.integers(0, height, ink), rng.integers(0, width, ink)] = 255
    result = coarsen(mask, radius_fraction=share, rng=rng)
    assert result.any()
    assert set(np.unique(result)) <= {0, 255}
    assert result.shape == mask.shape
    assert result.dtype == np.uint8


@pytest.mark.parametrize("shape", [wheel, comb, wire])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_outline_becomes_much_simpler(shape, seed):
    assert complexity(coarse(shape(), seed=seed)) < 0.5 * complexity(shape())


def test_gaps_between_spokes_are_filled_and_teeth_are_lost():
    assert (coarse(wheel(), 0.08)[100:156, 100:156] == 255).all()
    shortened = coarse(comb(), 0.02)
    assert not shortened[150:, :].any()
    assert shortened[62:88, 60:200].mean() > 250


def test_a_wheel_becomes_one_solid_disk():
    result = coarse(wheel(), 0.02)
    assert overlap(result, disk(94)) > 0.95
    assert cv2.connectedComponents(result)[0] == 2


def test_a_large_hole_stays_a_hole():
    ring = disk(110) - disk(80)
    assert not coarse(ring, 0.02)[100:156, 100:156].any()


def test_a_thin_wire_is_drawn_thick_rather_than_dropped():
    result = coarse(wire())
    assert (result[wire() > 128] == 255).mean() > 0.8


def test_objects_at_the_rim_of_the_image_stay_there():
    mask = disk(80, centre=(0, 128))
    result = coarse(mask)
    assert overlap(result, mask) > 0.9
    assert result[100:156, 0].all()


@pytest.mark.parametrize("value", [0, 255])
def test_an_empty_and_a_full_mask_stay_what_they_are(value):
    assert (coarse(np.full((30, 40), value, np.uint8)) == value).all()


def test_no_radius_only_thresholds():
    soft = np.array([[0, 128, 129, 255]], np.uint8)
    np.testing.assert_array_equal(coarse(soft, 0.0), [[0, 0, 255, 255]])


def test_the_random_factor_changes_the_result_and_a_seed_repeats_it():
    results = [coarse(wheel(), seed=seed) for seed in (0, 1, 0)]
    np.testing.assert_array_equal(results[0], results[2])
    assert (results[0] != results[1]).any()


RING = np.zeros((64, 64), np.uint8)
RING[12:44, 10:50] = 255
FILLED = RING.copy()
RING[20:36, 20:40] = 0


@pytest.fixture
def hollow(make_picture):
    """An object with a hole, which the hurried annotator has filled."""
    return dataclasses.replace(make_picture(RING), coarse=FILLED[None])


def boxes_of(batch):
    return [] if batch.boxes is None else batch.boxes


def halved(mask):
    return torch.from_numpy(mask.reshape(32, 2, 32, 2).mean(axis=(1, 3)) / 255).float()


def test_the_detail_to_keep_is_of_the_fine_masks_and_the_target_of_the_coarse_ones(hollow):
    for step in range(8):
        batch = batches([hollow], batch_size=1, prompts=1, jitter=(1.0, 1.0))[step]
        flipped = not torch.equal(batch.targets[0], (halved(FILLED) > 0.5).float())
        fine, coarse = (halved(mask[:, ::-1] if flipped else mask) for mask in (RING, FILLED))
        assert torch.equal(batch.targets[0], (coarse > 0.5).float())
        assert torch.equal(batch.detail[0, 3], fine)


def test_about_half_of_the_boxes_are_tight_and_the_others_are_jittered(hollow):
    made = batches([hollow], batch_size=1, prompts=2, jitter=(1.0, 1.0), steps=200)
    boxes = [box.tolist() for step in range(200) for box in boxes_of(made[step])]
    tight = ([10, 12, 49, 43], [14, 12, 53, 43])  # as it is, and flipped
    found = [box in tight for box in boxes]
    assert len(found) > 200
    assert 0.4 < np.mean(found) < 0.6
