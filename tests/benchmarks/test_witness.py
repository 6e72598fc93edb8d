"""A witness sees what the model does, in order, and leaves it as it is."""

import numpy as np
import pytest
import torch
from small_world import small_base
from variants import hq_sam, image_adapter, pa_sam

from pasam.evaluation.diagnostics import Witness, judge_maps
from pasam.models.build import build_decoder
from pasam.models.segmenter import Prompts, Segmenter

SIDE, GRID, BOXES = 64, 8, 3


def segmenter_of(variant) -> Segmenter:
    torch.manual_seed(0)
    base = small_base().eval().requires_grad_(False)
    return Segmenter(base=base, decoder=build_decoder(base, variant)).eval()


@torch.no_grad()
def predict(segmenter, boxes=BOXES):
    noise = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (boxes, 3, SIDE, SIDE), dtype=torch.uint8, generator=noise)
    corners = torch.tensor([[4.0, 6.0, 40.0, 50.0]]).repeat(boxes, 1)
    prompts = Prompts(torch.arange(boxes), corners, points=None, point_labels=None, masks=None)
    return segmenter(
        images=images, encoded=None, image_index=torch.arange(boxes), prompts=[prompts]
    )


def watched(variant):
    segmenter = segmenter_of(variant)
    with Witness(segmenter) as witness:
        prediction = predict(segmenter)
        predict(segmenter, 1)
    return witness.seen, prediction


def test_every_prompt_is_seen_in_order_and_nothing_after_the_watch():
    segmenter = segmenter_of(pa_sam())
    with Witness(segmenter) as witness:
        prediction = predict(segmenter)
        predict(segmenter, 1)
    predict(segmenter)
    assert len(witness.seen) == BOXES + 1
    for number in range(BOXES):
        one = witness.seen[number]
        assert one["predicted_iou"] == prediction.iou[number, 0]
        assert torch.equal(one["maps"]["coarse"], prediction.details.coarse[number, 0])
        assert torch.equal(one["maps"]["positive"], prediction.details.positive[number])


def test_watching_changes_no_prediction():
    segmenter = segmenter_of(pa_sam())
    alone = predict(segmenter)
    with Witness(segmenter):
        assert torch.equal(predict(segmenter).masks, alone.masks)


@pytest.mark.parametrize(
    ("variant", "changed", "still"),
    [
        (pa_sam(), {"dense_change", "sparse_change"}, set()),
        (pa_sam(adapter_dense=False), {"sparse_change"}, {"dense_change"}),
        (
            pa_sam(adapter_sparse=False, adapter_tokens=False, mining_method="none"),
            {"dense_change"},
            {"sparse_change"},
        ),
        (image_adapter(), set(), {"image_change"}),  # it begins as SAM
        (hq_sam(), set(), set()),
    ],
    ids=["whole", "no_dense", "dense_only", "image", "hq"],
)
def test_a_change_is_there_where_its_part_is(variant, changed, still):
    seen, _ = watched(variant)
    found = {name: value for name, value in seen[0].items() if name.endswith("_change")}
    assert {name for name, value in found.items() if value > 0} == changed
    assert {name for name, value in found.items() if value == 0} == still


def test_a_model_without_maps_leaves_none():
    seen, _ = watched(pa_sam(adapter_tokens=False, mining_method="none"))
    assert [one["maps"] for one in seen] == [None] * (BOXES + 1)


def maps_of(coarse, refined, uncertainty, **points):
    final = torch.where(uncertainty >= 0.5, refined, coarse)
    return {
        "coarse": coarse, "refined": refined, "uncertainty": uncertainty, "final": final, **points
    }  # fmt: skip


def left_half(side, columns):
    mask = torch.full((side, side), -9.0)
    mask[:, :columns] = 9.0
    return mask


def test_maps_are_judged_against_the_truth():
    label = np.zeros((8, 8), np.uint8)
    label[:, :4] = 255
    unsure = torch.zeros(8, 8)
    unsure[:, 4:6] = 1  # exactly where the coarse mask is wrong
    found = judge_maps(maps_of(left_half(8, 6), left_half(8, 4), unsure), label, grid=8)
    assert found == {
        "coarse_iou": pytest.approx(4 / 6),
        "refined_iou": 1.0,
        "final_iou": 1.0,
        "uncertainty_auroc": 1.0,
        "uncertain_share": 0.25,
    }


def test_points_are_judged_by_their_sign_and_their_distance():
    label = np.zeros((16, 16), np.uint8)
    label[:, :8] = 255
    flat = torch.zeros(4, 4)
    points = {
        "positive": torch.tensor([0, 2]),  # inside, outside
        "negative": torch.tensor([3, 15]),  # both outside
    }
    found = judge_maps(maps_of(flat, flat, flat, **points), label, grid=4)
    assert found["points_right"] == 0.75
    assert found["point_spread"] == pytest.approx((2 / 4 + 3 / 4) / 2)


def test_one_point_of_each_sign_has_no_spread():
    flat, one = torch.zeros(4, 4), torch.tensor([5])
    label = np.full((8, 8), 255, np.uint8)
    found = judge_maps(maps_of(flat, flat, flat, positive=one, negative=one), label, grid=4)
    assert found["point_spread"] is None
    assert found["points_right"] == 0.5
