"""A model's params choose its loss terms, and each choice changes the term that it names."""

import pytest
import torch
from variants import hq_sam, image_adapter, pa_sam

from pasam.models.pa_mask_decoder import PaPrediction
from pasam.models.segmenter import Prediction
from pasam.training.fit import objective_of

MASK = {"loss_mask", "loss_dice"}
MAPS = {"loss_mask_final", "loss_dice_final", "loss_uncertain_map"}
IMAGE = image_adapter()
NO_TOKENS = {"adapter_tokens": False, "mining_method": "none"}


@pytest.fixture
def labels():
    labels = torch.zeros(2, 64, 64, dtype=torch.uint8)
    labels[:, 10:40, 20:50] = 255
    return labels


@pytest.fixture
def prediction():
    noise = torch.Generator().manual_seed(0)
    masks, *maps = (torch.randn(2, 1, side, side, generator=noise) for side in (32, 8, 8, 8))
    details = PaPrediction(
        masks=masks, iou=torch.rand(2, 4), uncertainty=maps[0].sigmoid(), final=maps[1],
        coarse=maps[1], refined=maps[2], positive=None, negative=None,
    )  # fmt: skip
    return Prediction(masks=masks, iou=torch.rand(2, 1, generator=noise), details=details)


def terms(variant, prediction, labels):
    return objective_of(variant)(prediction, labels, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        (pa_sam(), MASK | MAPS),
        (hq_sam(), MASK),
        (IMAGE, MASK),
        (pa_sam(**NO_TOKENS), MASK),
        (pa_sam(iou_head="trained"), MASK | MAPS | {"loss_quality"}),
        (pa_sam(**NO_TOKENS, iou_head="trained"), MASK | {"loss_quality"}),
    ],
    ids=["pa_sam", "hq_sam", "image", "no_tokens", "quality", "no_tokens_quality"],
)
def test_a_model_has_the_terms_of_what_it_has(variant, expected, prediction, labels):
    found = terms(variant, prediction, labels)
    assert set(found) == expected | {"loss"}
    assert found["loss"].item() == pytest.approx(sum(found[name].item() for name in expected))


def test_hq_sam_learns_at_points_and_the_others_on_all_pixels(prediction, labels):
    points = terms(hq_sam(), prediction, labels)
    assert torch.equal(
        terms(IMAGE, prediction, labels)["loss_mask"],
        terms(pa_sam(), prediction, labels)["loss_mask"],
    )
    assert not torch.equal(points["loss_mask"], terms(IMAGE, prediction, labels)["loss_mask"])


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"uncertainty_loss": "balanced"}, {"loss_uncertain_map", "loss"}),
        ({"mining_score_scale": 9.0, "gradient": "image", "prompts": "intended"}, set()),
    ],
)
def test_a_switch_changes_the_terms_that_it_names(changes, changed, prediction, labels):
    before, after = (
        terms(variant, prediction, labels) for variant in (pa_sam(), pa_sam(**changes))
    )
    assert {name for name in before if not torch.equal(before[name], after[name])} == changed
