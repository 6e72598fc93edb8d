"""`pasam data check`, as a person types it and as a program reads it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.masks.images import write_png


@pytest.fixture
def cats(in_empty_folder, root):
    """Two pairs in the folder of one's own data."""
    shutil.copy(root / "params" / "default.yaml", "params.yaml")
    folder = in_empty_folder / "data/own/train/cats"
    for number in range(2):
        mask = np.zeros((16, 20), np.uint8)
        mask[2 : 12 + number, 3:15] = 255
        write_png(folder / f"im/{number}.png", np.full((16, 20, 3), number, np.uint8))
        write_png(folder / f"gt/{number}.png", mask)
    return folder


def check(*arguments):
    return CliRunner().invoke(app, ("data", "check", *arguments, "--workers", "1"))


def test_help_has_an_example():
    assert "Example: pasam data check " in check("--help").output


@pytest.mark.parametrize("what", [[], ["cats"], ["data/own"]])
def test_a_sound_set_is_summed_up(cats, what):
    result = check(*what)
    assert result.exit_code == 0
    assert "2 0/255" in result.output
    assert result.output.endswith("Nothing is wrong: `dvc repro` can use it.\n")


def test_faults_of_pairing_and_of_content_end_with_code_2(cats):
    (cats / "im/0.png").write_bytes(b"no picture")
    (cats / "gt/lost.png").write_bytes(b"")
    result = check()
    assert result.exit_code == 2
    assert "2 faults" in result.output
    assert "lost.png belongs to no image" in result.output
    assert "0.png cannot be decoded" in result.output
    assert "Nothing is wrong" not in result.output


def test_a_program_gets_everything(cats):
    write_png(cats / "gt/0.png", np.zeros((16, 20), np.uint8))
    result = check("--json")
    content = json.loads(result.output)
    assert result.exit_code == 2
    assert content["sets"][0]["masks"] == 1
    assert content["sets"][0]["smallest"] == [20, 16]
    assert "is all black" in content["faults"][0]


def test_many_warnings_are_cut_short(cats):
    for number in range(30):
        mask = np.zeros((16, 20), np.uint8)
        mask[3, 3:9] = 255
        write_png(cats / f"gt/0_{number}.png", mask)
    output = check().output
    assert "30 warnings" in output
    assert "- and 10 more (all of them: --json)" in output


def test_an_unknown_set_is_one_line(cats):
    result = check("dogs")
    assert result.exit_code == 2
    assert "'dogs' is no folder, no set of the catalogue, and none of data/own" in result.stderr
    assert "['cats']" in result.stderr


def test_a_public_set_that_is_not_there_names_the_command(cats):
    result = check("HRSOD")
    assert result.exit_code == 2
    assert "Run `pasam data fetch HRSOD`" in result.stderr
