"""The commands `pasam track`, as a person types them."""

from __future__ import annotations

import json

from tracked_world import KEPT
from typer.testing import CliRunner

from pasam.cli.app import app


def pasam(*arguments):
    return CliRunner().invoke(app, arguments)


def test_results_are_recorded_once_and_shown(tracked):
    first = pasam("track", "sync")
    assert first.exit_code == 0, first.output
    assert first.output.startswith(f"{len(KEPT)} recorded now, 0 before, in sqlite:///")
    again = json.loads(pasam("track", "sync", "--json").output)
    assert again["new"] == []
    assert "not recorded" not in pasam("track", "show").output
    rows = json.loads(pasam("track", "show", "--json").output)
    assert {row["stage"]: row["run"] for row in rows} == again["runs"]


def test_a_missing_file_is_named_with_what_to_run(tracked):
    tracked.path("data/adapters/pa_sam.safetensors").unlink()
    output = pasam("track", "sync").output
    assert "missing  train@pa_sam: data/adapters/pa_sam.safetensors is not there" in output
    assert "Record what is missing with `pasam track sync`" in pasam("track", "show").output


def test_without_a_lock_it_is_one_line_and_exit_code_2(in_empty_folder):
    result = pasam("track", "sync")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: dvc.lock does not exist: nothing has run yet.")
