"""Clicks of the training lie where the answer is most wrong, and change what is learnt."""

import pytest
import torch
from photograph_pool import picture, rectangle

from pasam.models.build import build_lite
from pasam.training.clickable import Clickable, worst_click
from pasam.training.object_batches import ObjectBatches, ObjectSampler, ViewMix


def masks(*rectangles):
    out = torch.zeros(1, 32, 32)
    for x, y, across, down in rectangles:
        out[0, y : y + down, x : x + across] = 1
    return out


def test_a_missed_part_is_clicked_on_the_object():
    click, sign = worst_click(masks() - 1.0, masks((4, 8, 9, 9)), side=64)
    assert sign.tolist() == [[1.0]]
    x, y = ((click[0, 0] + 0.5) / 2 - 0.5).tolist()
    assert abs(x - 8) <= 2
    assert abs(y - 12) <= 2


def test_a_larger_surplus_is_clicked_as_ground():
    answer = 2 * masks((2, 2, 4, 4), (16, 16, 10, 10)) - 1
    click, sign = worst_click(answer, masks((2, 2, 4, 4), (2, 20, 3, 3)), side=64)
    assert sign.tolist() == [[0.0]]
    x, y = ((click[0, 0] + 0.5) / 2 - 0.5).tolist()
    assert 16 <= x < 26
    assert 16 <= y < 26


def test_a_thick_error_counts_more_than_a_long_thin_one():
    answer = masks() - 1.0
    click, _ = worst_click(answer, masks((0, 0, 32, 1), (20, 20, 6, 6)), side=32)
    assert click[0, 0, 1] >= 20


def test_every_click_is_on_an_error():
    torch.manual_seed(0)
    answer, target = torch.randn(20, 16, 16), (torch.rand(20, 16, 16) < 0.3).float()
    click, sign = worst_click(answer, target, side=16)
    for n in range(20):
        x, y = click[n, 0].round().long().tolist()
        assert target[n, y, x] == sign[n, 0]
        assert (answer[n, y, x] > 0) != (target[n, y, x] > 0.5)


@pytest.fixture(scope="module")
def steps():
    pictures = [picture("s", rectangle(64, 64, 8, 8, 24, 24), rectangle(64, 64, 40, 36, 20, 20))]
    made = ObjectBatches(
        pictures, sampler=ObjectSampler(pictures, generated_fraction=0.5),
        views=ViewMix(whole=1.0, crop=0.0), side=64, full_side=64, batch_size=2,
        prompts_per_image=2, box_fraction=0.5, seed=1,
    )  # fmt: skip
    return [made[k] for k in range(80)]


@pytest.mark.parametrize("rounds", [0, 1, 2])
@pytest.mark.parametrize("kind", ["boxes", "points"])
def test_every_kind_of_step_teaches(steps, kind, rounds):
    batch = next(b for b in steps if getattr(b, kind) is not None and b.rounds == rounds)
    torch.manual_seed(0)
    model = Clickable(build_lite(side=64, dim=32), detail_weight=0.5)
    terms = model(batch)
    terms["loss"].backward()
    assert torch.isfinite(terms["loss"])
    assert model.base.sam.image_encoder.trunk.stem.conv.weight.grad.any()
    assert (terms["loss_candidates"] > 0) == (kind == "points" and rounds == 0)
