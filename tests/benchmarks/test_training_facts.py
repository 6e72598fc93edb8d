"""Facts count what learns by part, and tell a frozen tensor that moved."""

import json

import pytest
import torch
from small_world import small_base
from variants import pa_sam

from pasam.evaluation.model_set import training_facts, write_facts
from pasam.models.build import build_trainable, digest, frozen_tensors


def build(**changes):
    torch.manual_seed(0)
    return build_trainable(small_base(), pa_sam(**changes))


def facts_of(segmenter, before=""):
    return training_facts(segmenter, model="some", frozen_before=before, base="b")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"trains": "adapter"}, {"guiding_conv", "prompt_adapter"}),
        (
            {"trains": "mask_head", "iou_head": "trained"},
            {"guiding_conv", "prompt_adapter", "mask_tokens", "output_upscaling",
             "output_hypernetworks_mlps", "iou_prediction_head"},
        ),
        (
            {"adapter_dense": False, "adapter_sparse": False, "adapter_tokens": False,
             "mining_method": "none"},
            {"mask_tokens", "output_upscaling", "output_hypernetworks_mlps"},
        ),
        (
            {"trains": "everything"},
            {"guiding_conv", "prompt_adapter", "mask_tokens", "output_upscaling",
             "output_hypernetworks_mlps", "iou_prediction_head", "iou_token", "transformer",
             "image_encoder", "prompt_encoder"},
        ),
    ],
    ids=["adapter", "head", "head_only", "everything"],
)  # fmt: skip
def test_what_learns_is_counted_by_part(changes, parts):
    facts = facts_of(build(**changes))
    assert set(facts["trained"]) == parts
    assert facts["trainable"] == sum(facts["trained"].values())
    assert all(count > 0 for count in facts["trained"].values())


def test_all_parameters_are_those_of_the_encoders_and_the_one_decoder_that_is_used():
    segmenter = build()
    encoders = (segmenter.base.sam.image_encoder, segmenter.base.sam.prompt_encoder)
    used = sum(p.numel() for part in (*encoders, segmenter.decoder) for p in part.parameters())
    assert facts_of(segmenter)["parameters"] == used


def test_the_frozen_digest_tells_whether_a_frozen_tensor_moved():
    segmenter = build()
    before = digest(frozen_tensors(segmenter))
    assert facts_of(segmenter, before)["frozen_after"] == before
    with torch.no_grad():
        segmenter.decoder.mask_tokens.weight.add_(1)  # it learns
    assert facts_of(segmenter, before)["frozen_after"] == before
    with torch.no_grad():
        segmenter.decoder.iou_token.weight.add_(1)  # it does not
    assert facts_of(segmenter, before)["frozen_after"] != before


def test_the_file_holds_the_facts(tmp_path):
    segmenter = build()
    path = tmp_path / "deep" / "some.json"
    write_facts(path, segmenter, model="some", frozen_before="x", base="b")
    assert json.loads(path.read_text()) == facts_of(segmenter, "x")
    assert [file.name for file in path.parent.iterdir()] == ["some.json"]
