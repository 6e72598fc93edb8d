"""From a typed name to the model."""

from __future__ import annotations

import pytest
import typer

from pasam.commands.model_option import chosen_resize, named_model
from pasam.errors import ParamsError


def test_a_trained_model_is_found_where_the_pipeline_leaves_it(model_project):
    assert named_model("pa_sam").name == "pa_sam"


def test_a_name_that_nobody_knows_is_refused(model_project):
    with pytest.raises(ParamsError, match="there is no model 'nobody'"):
        named_model("nobody")


def test_the_two_ways_to_resize_are_known():
    assert [chosen_resize(name) for name in ("longest", "squash")] == ["longest", "squash"]
    with pytest.raises(typer.BadParameter, match="'stretch' is neither longest nor squash"):
        chosen_resize("stretch")
