"""One prompt's part of a pass, at its image's size."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from pasam.inference.image_transform import ImageTransform
from pasam.inference.predictor import Decoded, postprocess
from pasam.models.pa_mask_decoder import PaPrediction

HERE = ImageTransform(30, 20, 64, "longest")


def decoded() -> Decoded:
    left = torch.full((2, 1, 16, 16), -1.0)
    left[1, :, :, :4] = 1  # of the second prompt, the left quarter of the input
    return Decoded(left, torch.tensor([[0.1], [0.9]]), left, torch.tensor([[0.1], [0.9]]), None)


def test_a_mask_is_where_the_logits_are_above_zero():
    found = postprocess(decoded(), 1, HERE, return_logits=False, return_details=False)
    assert found.masks.shape == (1, 30, 20)
    assert found.masks[0, :, :6].all()
    assert not found.masks[0, :, 10:].any()
    assert found.scores.tolist() == [np.float32(0.9)]
    assert found.details is None


def test_logits_are_cut_where_masks_are():
    masks = postprocess(decoded(), 1, HERE, return_logits=False, return_details=True)
    logits = postprocess(decoded(), 1, HERE, return_logits=True, return_details=True)
    assert np.array_equal(logits.masks > 0, masks.masks)
    assert np.array_equal(logits.details.sam_masks > 0, masks.details.sam_masks)


def test_a_result_does_not_keep_its_batch_in_memory():
    found = postprocess(decoded(), 1, HERE, return_logits=False, return_details=False)
    assert found.low_res.base is None or found.low_res.base.nbytes == found.low_res.nbytes


@pytest.mark.parametrize("side", [4, 8])
def test_points_stay_in_their_cells_however_fine_the_maps_are(side):
    whole, flat = decoded(), torch.zeros(2, 1, side, side)
    cells = torch.tensor([[0, 5], [1, 4]])  # of a grid of 4 x 4 cells under 16 x 16 logits
    maps = PaPrediction(
        masks=whole.masks, iou=torch.zeros(2, 4), uncertainty=flat, final=flat, coarse=flat,
        refined=flat, positive=cells, negative=None,
    )  # fmt: skip
    found = postprocess(
        dataclasses.replace(whole, maps=maps), 0, HERE, return_logits=False, return_details=True
    )
    assert np.array_equal(found.details.positive, HERE.cell_centres(cells[0], 4))
    assert found.details.negative is None
    assert found.details.uncertainty.shape == (30, 20)
