"""A trained model's values are checked on their own and against each other."""

import re

import pytest
from variants import hq_sam, image_adapter, pa_sam

from pasam.config.models import HqSamParams
from pasam.errors import ParamsError

NO_TOKENS = {"adapter_tokens": False, "mining_method": "none"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs is 0, expected 1 or more."),
        ({"lr_step_size": 0}, "lr_step_size is 0, expected 1 or more."),
        ({"prompts_per_mask": 0}, "prompts_per_mask is 0, expected 1 or more."),
        ({"mining_points": 0}, "points is 0, expected 1 or more."),
        ({"mining_from_epoch": -1}, "from_epoch is -1, expected 0 or more."),
        ({"mining_score_scale": 0.0}, "score_scale is 0.0, expected more than 0."),
        ({"mining_temperature": -1.0}, "temperature is -1.0, expected more than 0."),
        (
            {"adapter_tokens": False},
            "mining.method is 'gumbel', expected 'none' where adapter.tokens is false, since both "
            "tokens' maps are needed for it.",
        ),
        (
            {**NO_TOKENS, "adapter_maps": "double"},
            "adapter.maps is 'double', expected 'grid' where",
        ),
        (
            {**NO_TOKENS, "uncertainty_loss": "balanced"},
            "uncertainty_loss is 'balanced', expected 'plain' where adapter.tokens is false",
        ),
        (
            {**NO_TOKENS, "adapter_dense": False, "adapter_sparse": False, "trains": "adapter"},
            "adapter is 'without any part', expected one part of the adapter or more where trains",
        ),
    ],
)
def test_an_impossible_pa_sam_is_refused(changes, message):
    with pytest.raises(ParamsError, match=f"^{re.escape(message)}"):
        pa_sam(**changes)


@pytest.mark.parametrize("key", ["epochs", "lr_step_size"])
def test_the_others_need_an_epoch_too(key):
    with pytest.raises(ParamsError, match=f"^{key} is 0, expected 1 or more"):
        hq_sam(**{key: 0})
    with pytest.raises(ParamsError, match=f"^{key} is 0, expected 1 or more"):
        image_adapter(**{key: 0})


def test_every_part_can_be_missing_alone():
    pa_sam(adapter_dense=False)
    pa_sam(adapter_sparse=False)
    assert not pa_sam(**NO_TOKENS).adapter.tokens
    assert not pa_sam(**NO_TOKENS, adapter_dense=False, adapter_sparse=False).adapter.any()


def test_hq_sam_is_trained_with_one_prompt_per_mask():
    assert HqSamParams.prompts_per_mask == hq_sam().prompts_per_mask == 1
