"""`pasam doctor`, as a person types it and as a program reads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pasam.cli.app import app


@pytest.fixture
def doctor(in_empty_folder, root):
    shutil.copytree(root / "params", "params")
    shutil.copy(root / "params/default.yaml", "params.yaml")
    shutil.copy(root / "requirements.lock", "requirements.lock")
    for folder in ("data/own", "data/base", ".dvc"):
        Path(folder).mkdir(parents=True)
    shutil.copy(root / "data/base/vit_tiny.safetensors", "data/base")
    return lambda *arguments: CliRunner().invoke(app, ("doctor", *arguments))


def test_help_has_an_example(doctor):
    assert "Example: pasam doctor " in doctor("--help").output


def test_the_default_is_ready(doctor):
    result = doctor()
    assert result.exit_code == 0
    assert result.output.endswith("Ready for params.yaml: dvc repro\n")


def test_the_paper_says_what_is_missing_and_the_commands_that_fetch_it(doctor):
    result = doctor("--profile", "paper")
    assert result.exit_code == 2
    said, todo = result.output.split("Not ready for params/paper.yaml. To do:\n")
    assert "  pasam data fetch sam_vit_l\n  pasam data fetch hqseg44k\n" in todo
    words = "".join(said.split())
    assert "HRSOD" in words
    assert "sam_vit_l_0b3195.pth" in words
    assert "weights1.2GB,encoder12.9GB" in words


def test_a_program_gets_every_check(doctor):
    result = doctor("--profile", "paper", "--json")
    content = json.loads(result.output)
    assert (result.exit_code, content["ready"]) == (2, False)
    sizes = {c["found"].partition(" ")[0]: c["size"] for c in content["checks"] if c["size"]}
    assert sizes["DIS5K.zip"] == 3_530_000_000
    assert sizes["data/catalogue/sam_vit_l/sam_vit_l_0b3195.pth"] == 1_249_524_607


def test_an_unknown_size_is_one_line(doctor):
    result = doctor("--profile", "huge")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: there is no preset 'huge' in params/. Known presets: [")
