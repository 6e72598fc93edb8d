"""One way in for every name that a model has."""

from __future__ import annotations

from pathlib import Path

import pytest

from pasam.errors import ParamsError
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
    assert load_predictor(name, adapters=Path("data/adapters")).name == called


def test_an_entry_asks_for_the_folder_of_adapters(promoted):
    with pytest.raises(ParamsError, match="say in which folder its adapter lies"):
        load_predictor("pa_sam")


def test_a_name_that_nobody_knows_is_said(promoted):
    with pytest.raises(ParamsError, match="there is no model 'best'"):
        load_predictor("best")
