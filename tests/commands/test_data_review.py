"""The commands `pasam data quarantine` and `accept`, as a person types them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.data.manifest import inventory_frame, write_inventory
from pasam.data.preparation import collect_own
from pasam.data.quarantine import Quarantine, read_quarantine
from pasam.masks.images import write_png
from pasam.validation.drift import read_accepted

MASK = "data/own/train/cats/gt/b.png"


@pytest.fixture
def pasam(in_empty_folder):
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, ("data", *arguments))


@pytest.fixture
def project(in_empty_folder):
    """Two pairs, the mask of one of them black, and an empty quarantine."""
    label = np.zeros((8, 8), np.uint8)
    label[2:4] = 255
    for name, mask in (("a", label), ("b", label * 0)):
        write_png(Path(f"data/own/train/cats/im/{name}.png"), np.full((8, 8, 3), 90, np.uint8))
        write_png(Path(f"data/own/train/cats/gt/{name}.png"), mask)
    Path("data/quarantine.csv").write_text("file,sha256,reason\n")
    rows = collect_own(Path("data/own"), Quarantine(), workers=1)
    write_inventory(inventory_frame(rows), Path("data/inventory.parquet"))


@pytest.mark.usefixtures("project")
def test_all_that_was_found_unfit_goes_into_the_table(pasam):
    result = pasam("quarantine")
    assert result.exit_code == 0
    assert f"{MASK}: {MASK} is all black" in result.output
    assert "1 file is in data/quarantine.csv now. Look at them, commit it" in result.output
    assert list(read_quarantine(Path("data/quarantine.csv")).entries) == [MASK]
    before = Path("data/quarantine.csv").read_bytes()
    assert "Nothing to add" in pasam("quarantine").output
    assert Path("data/quarantine.csv").read_bytes() == before


@pytest.mark.usefixtures("project")
def test_a_person_names_a_file_and_the_reason(pasam):
    image = "data/own/train/cats/im/a.png"
    assert pasam("quarantine", image, "--reason", "not a cat").exit_code == 0
    (entry,) = read_quarantine(Path("data/quarantine.csv")).entries.values()
    assert (entry.file, entry.reason) == (image, "not a cat")


@pytest.mark.usefixtures("project")
def test_a_file_without_a_reason_is_refused_in_one_line(pasam):
    result = pasam("quarantine", MASK)
    assert result.exit_code == 2
    assert "needs a reason" in result.output


@pytest.mark.usefixtures("project")
def test_the_present_version_is_accepted_without_what_is_unfit(pasam):
    result = pasam("accept")
    assert result.exit_code == 0
    assert "train cats: 1 masks" in result.output
    assert read_accepted(Path("data/accepted.json"))["train", "cats"].masks == 1


def test_before_a_first_run_there_is_nothing_to_review(pasam):
    for command in ("quarantine", "accept"):
        Path("data").mkdir(exist_ok=True)
        Path("data/quarantine.csv").write_text("file,sha256,reason\n")
        result = pasam(command)
        assert result.exit_code == 2
        assert "data/inventory.parquet does not exist. Run `dvc repro prepare`" in result.output


@pytest.mark.parametrize("command", ["quarantine", "accept"])
def test_help_shows_an_example(pasam, command):
    assert "Example: pasam data" in pasam(command, "--help").output
