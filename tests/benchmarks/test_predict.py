"""Masks depend on the image and the prompt, however many of them share a call."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pasam.evaluation.protocol import (
    at_original_size,
    batches,
    encode,
    encoded_rows,
    point_prompts,
    predict,
)
from pasam.training.samples import box_prompts

BOXES = [np.array(box, np.float32) for box in ([4, 4, 40, 50], [10, 20, 60, 60], [0, 0, 9, 9])]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64), np.uint8)


def test_an_image_encoded_now_is_what_the_store_keeps_of_it(base, store):
    now, packed = encode(base, store.images[[2]]), encoded_rows(store, [2])
    torch.testing.assert_close(now.embedding, packed.embedding, rtol=0, atol=2e-3)
    torch.testing.assert_close(now.early, packed.early, rtol=0, atol=2e-3)
    assert torch.equal(now.embedding, now.embedding.half().float())


def test_several_prompts_of_an_image_are_predicted_as_each_alone(base, lineup, images):
    encoded = encode(base, images)
    for contender in lineup.contenders:
        index = np.array([0, 1, 1])
        together = predict(
            contender.segmenter, images, encoded, box_prompts(BOXES), image_index=index
        ).masks
        for place, (image, box) in enumerate(zip(index, BOXES, strict=True)):
            one = images[[image]]
            alone = predict(contender.segmenter, one, encode(base, one), box_prompts([box])).masks
            torch.testing.assert_close(together[place], alone[0], rtol=1e-4, atol=1e-4)


def test_without_an_index_there_is_a_prompt_for_each_image(base, lineup, images):
    encoded = encode(base, images)
    sam = lineup.contenders[0].segmenter
    found = predict(sam, images, encoded, box_prompts(BOXES[:2])).masks
    index = np.array([0, 1])
    stated = predict(sam, images, encoded, box_prompts(BOXES[:2]), image_index=index).masks
    assert torch.equal(found, stated)


def test_points_are_foreground_and_keep_their_order():
    points = [np.array([[1, 2], [3, 4]], np.float32), np.array([[5, 6], [7, 8]], np.float32)]
    (group,) = point_prompts(points)
    assert group.points.tolist() == np.stack(points).tolist()
    assert group.point_labels.tolist() == [[1, 1], [1, 1]]
    assert group.indices.tolist() == [0, 1]
    assert group.boxes is None


def test_another_point_gives_another_mask(base, lineup, images):
    encoded = encode(base, images[:1])
    masks = [
        predict(
            lineup.contenders[0].segmenter, images[:1], encoded,
            point_prompts([np.array([[x, 30]], np.float32)]),
        ).masks
        for x in (5, 55)
    ]  # fmt: skip
    assert not torch.equal(*masks)


@pytest.mark.parametrize("size", [(13, 21), (64, 40), (8, 8)])
def test_logits_are_resized_straight_to_the_original_size_and_cut_at_zero(size):
    logits = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(logits[None], size=size, mode="bilinear", align_corners=False)
    assert np.array_equal(at_original_size(logits, size), expected[0, 0].numpy() > 0)


def test_batches_cover_every_place_once():
    assert [range(10)[part] for part in batches(10, 4)] == [range(4), range(4, 8), range(8, 10)]
    assert list(batches(0, 4)) == []
