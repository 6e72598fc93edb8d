"""The commands `pasam params`, as a person types them."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.cli.options import complete_preset
from pasam.config.presets import compose_text, known_presets


@pytest.fixture
def pasam():
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, arguments)


@pytest.fixture
def project(root, in_empty_folder):
    """A current folder with the repository's sizes and its default in place."""
    (in_empty_folder / "params").mkdir()
    for path in (root / "params").glob("*.yaml"):
        (in_empty_folder / "params" / path.name).write_text(path.read_text())
    default = (in_empty_folder / "params" / "default.yaml").read_text()
    (in_empty_folder / "params.yaml").write_text(default)
    return in_empty_folder


def test_the_shell_completes_names_of_sizes(project):
    assert complete_preset("") == known_presets()
    assert complete_preset("sm") == ["smoke"]


def test_use_puts_a_size_in_place_and_shows_the_difference(pasam, project):
    result = pasam("params", "use", "smoke")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert {"report.n_resamples: 10000 -> 500", "ablations.adapter_only: gone"} <= {*lines}
    assert not any(line.startswith("ablations.adapter_only.") for line in lines)  # a line for all
    assert lines[-2].startswith("# About a minute for the whole pipeline")
    assert len(lines) < 60  # what a screen or two show; --json has the whole difference
    assert "params.yaml is now the preset 'smoke'." in result.output
    assert (project / "params.yaml").read_text() == compose_text("smoke")


def test_the_whole_difference_is_in_json(pasam, project):
    found = json.loads(pasam("params", "use", "smoke", "--json").output)
    assert "-  n_resamples: 10000" in found["difference"]
    assert "report.n_resamples: 10000 -> 500" in found["changed"]


def test_use_says_when_nothing_changes(pasam, project):
    assert (
        pasam("params", "use", "default").output == "params.yaml already is the preset 'default'.\n"
    )


def test_the_difference_is_plain_text_outside_a_terminal(pasam, project):
    assert "\x1b" not in pasam("params", "use", "paper").output


def test_show_prints_what_a_program_can_read(pasam, project):
    content = json.loads(pasam("params", "show", "--json").output)
    assert content["train"]["seed"] == 42
    assert list(content)[:2] == ["preset", "data"]


def test_show_prints_yaml_without_comments(pasam, project):
    output = pasam("params", "show").output
    assert "seed: 42" in output
    assert "#" not in output


def test_show_refuses_a_params_file_that_the_pipeline_would_refuse(pasam, project):
    text = (project / "params.yaml").read_text().replace("accelerator: cpu", "accelerator: tpu")
    (project / "params.yaml").write_text(text)
    result = pasam("params", "show")
    assert result.exit_code == 2
    assert "embed.accelerator is 'tpu'" in result.stderr  # the first section that has one
