"""One way in for every name that a model has."""

from __future__ import annotations

import pytest

from pasam.commands import model_option
from pasam.errors import ParamsError
from pasam.registry import load
from pasam.registry.load import load_predictor


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("champion", "pa_sam (version 1)"),
        ("hq_sam", "hq_sam"),
        ("sam", "sam"),
        ("data/adapters/pa_sam.safetensors", "pa_sam"),
    ],
)
def test_a_model_opens_by_each_of_its_names(name, called, promoted):
    assert load_predictor(name).name == called


def test_a_name_that_nobody_knows_is_said(promoted):
    with pytest.raises(ParamsError, match="there is no model 'best'"):
        load_predictor("best")


def test_commands_look_for_adapters_at_the_same_place():
    assert load.ADAPTERS == model_option.ADAPTERS
