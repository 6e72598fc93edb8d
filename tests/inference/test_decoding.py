"""One pass of a decoder, and the base's beside it."""

from __future__ import annotations

import pytest
import torch
from inference_models import picture

from pasam.inference.predictor import decode
from pasam.models.segmenter import Prompts

BOXES = Prompts(
    indices=torch.tensor([5, 3]),
    boxes=torch.tensor([[4.0, 4, 40, 40], [10, 20, 60, 50]]),
    points=None,
    point_labels=None,
    masks=None,
)


@pytest.fixture
def run(predictor):
    image = predictor.embed(picture(60, 90))
    return lambda **options: decode(
        predictor.segmenter,
        images=image.padded()[None],
        encoded=image.encoded,
        image_index=torch.zeros(2, dtype=torch.int64),
        prompts=BOXES,
        **{"multimask": False, "with_sam": True, **options},
    )


def test_the_places_of_the_prompts_do_not_matter(run):
    assert run().masks.shape == (2, 1, 32, 32)


def test_candidates_leave_an_adapters_mask_as_it_is(run, predictor):
    one, three = run(), run(multimask=True)
    assert three.sam_masks.shape == (2, 3, 32, 32)
    assert three.sam_scores.shape == (2, 3)
    if predictor.is_adapted:
        assert torch.equal(one.masks, three.masks)
        assert torch.equal(one.scores, three.scores)
    else:
        assert torch.equal(three.masks, three.sam_masks)


def test_without_sam_the_base_is_not_asked(run, predictor, monkeypatch):
    if predictor.is_adapted:
        monkeypatch.setattr(predictor.segmenter.base.sam.mask_decoder, "decode", None)
    found = run(with_sam=False)
    assert torch.equal(found.masks, found.sam_masks)


def test_nothing_carries_a_gradient(run):
    assert not run().masks.requires_grad
