"""A batch of pretraining depends on the seed and the step alone, and prompts for what it shows."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pasam.errors import DataError
from pasam.training.promptable_batches import MOST_POINTS, PromptableBatches

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
