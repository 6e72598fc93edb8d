"""The adapters' batches from photographs: fine masks, prompts of their own, repeatable."""

import pytest
import torch
from photograph_pool import picture, rectangle

from pasam.errors import DataError
from pasam.training.object_batches import ObjectSampler, ViewShares
from pasam.training.photograph_samples import PhotographBatches
from pasam.training.samples import Sampling

THIN = rectangle(64, 64, 10, 30, 40, 3)


@pytest.fixture(scope="module")
def make():
    pictures = [picture("s", THIN, rectangle(64, 64, 4, 4, 2, 2), coarseness=0.1)]
    sampler = ObjectSampler(pictures, generated_share=0.5)

    def batches(epoch=0, **changes):
        values = {"batch_size": 3, "mix": "effective", "mask_side": 32, "seed": 1, **changes}
        return PhotographBatches(
            pictures, sampler=sampler, views=ViewShares(whole=1.0, crop=0.0),
            sampling=Sampling(**values), epoch=epoch, side=64, samples=10,
        )  # fmt: skip

    return batches


def test_labels_are_the_masks_as_they_are(make):
    labels = torch.cat([make()[step].labels for step in range(3)])
    areas = (labels > 128).flatten(1).sum(1).tolist()
    assert all(area <= THIN.astype(bool).sum() for area in areas)  # the coarse mask is thicker
    assert min(areas) >= 16  # an object of four pixels is passed over


def test_an_epoch_has_its_steps_and_is_a_function_of_its_number(make):
    assert len(make()) == 3
    first, again, other = make(0)[1], make(0)[1], make(1)[1]
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


def test_every_mask_may_have_several_prompts(make):
    batch = make(prompts_per_mask=2)[0]
    assert batch.image_index.tolist() == [0, 0, 1, 1, 2, 2]
    assert batch.labels.shape == (6, 64, 64)
    assert sorted(torch.cat([group.indices for group in batch.prompts]).tolist()) == list(range(6))


def test_objects_too_small_for_any_prompt_are_an_error():
    pictures = [picture("s", rectangle(64, 64, 4, 4, 2, 2))]
    batches = PhotographBatches(
        pictures, sampler=ObjectSampler(pictures, generated_share=0.5),
        views=ViewShares(whole=1.0, crop=0.0),
        sampling=Sampling(batch_size=1, mix="effective", mask_side=32, seed=1), epoch=0, side=64,
        samples=1,
    )  # fmt: skip
    with pytest.raises(DataError, match="fewer than 16 pixels"):
        batches[0]
