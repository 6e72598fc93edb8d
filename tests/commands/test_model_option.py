"""From a typed name to the model."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.cli.model_option import REGISTERED, chosen_resize, complete_model, named_model
from pasam.config.params_file import read_params
from pasam.errors import ParamsError


def test_a_trained_model_is_found_where_the_pipeline_leaves_it(model_project):
    assert named_model("pa_sam").name == "pa_sam"


def test_a_name_that_nobody_knows_is_refused(model_project):
    with pytest.raises(ParamsError, match="there is no model 'nobody'"):
        named_model("nobody")


def test_the_shell_completes_names_of_models(model_project, monkeypatch, tmp_path):
    assert complete_model("") == ["sam", *read_params()["models"], *REGISTERED]
    assert complete_model("pa") == [m for m in read_params()["models"] if m.startswith("pa")]
    monkeypatch.chdir(tmp_path)
    assert complete_model("c") == ["champion", "candidate"]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("pasam predict --model hq", "hq_sam"),
        ("pasam serve --model hq", "hq_sam"),
        ("pasam demo --model hq", "hq_sam"),
        ("pasam evaluate --model hq", "hq_sam"),
        ("pasam export --model hq", "hq_sam"),
        ("pasam checkpoint export hq", "hq_sam"),
        ("pasam predict --format ov", "overlay"),
    ],
)
def test_the_shells_completion_knows_what_may_stand_there(typed, completed, model_project):
    asked = {
        "_PASAM_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(typed.count(" ")),
    }
    result = CliRunner().invoke(app, prog_name="pasam", env=asked)
    assert result.output.split() == [completed]


def test_the_two_ways_to_resize_are_known():
    assert [chosen_resize(name) for name in ("longest", "squash")] == ["longest", "squash"]
    with pytest.raises(typer.BadParameter, match="'stretch' is neither longest nor squash"):
        chosen_resize("stretch")
