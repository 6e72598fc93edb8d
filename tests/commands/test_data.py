"""The commands `pasam data`, as a person types them."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile

import pytest
import yaml
from filelock import FileLock
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.config.params_file import read_params

WEIGHTS = b"weights"


@pytest.fixture
def pasam(in_empty_folder):
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, ("data", *arguments))


@pytest.fixture
def own(in_empty_folder):
    """A catalogue of one's own and a folder with what it names."""
    entry = {
        "role": "checkpoint", "archives": ["own.pth"], "layout": None, "images": None,
        "licence": None, "citation": None,
    }  # fmt: skip
    content = {
        "archives": {"own.pth": {"address": None, "sha256": None, "size": len(WEIGHTS)}},
        "entries": {"own": {**entry, "hint": "Ask the team."}},
    }
    (in_empty_folder / "own.yaml").write_text(yaml.safe_dump(content))
    (in_empty_folder / "mirror").mkdir()
    (in_empty_folder / "mirror" / "own.pth").write_bytes(WEIGHTS)
    return ("own", "--extra", "own.yaml", "--from", "mirror")


@pytest.mark.parametrize("command", ["list", "show", "fetch"])
def test_each_help_has_an_example(pasam, command):
    assert f"Example: pasam data {command} " in pasam(command, "--help").output


def test_list_names_sizes_and_groups(pasam):
    output = pasam("list").output
    assert "HRSOD" in output
    assert "thin_object_detection.zip" in output
    assert "44,320" not in output  # sums are the reader's
    assert "hqseg44k_benchmarks: DIS5K-VD, COIFT, HRSOD, ThinObject5K-TE" in output


def test_list_of_one_role_leaves_the_others_out(pasam):
    entries = json.loads(pasam("list", "--role", "benchmark", "--json").output)
    assert [entry["name"] for entry in entries] == ["DIS5K-VD", "COIFT", "HRSOD", "ThinObject5K-TE"]


def test_an_unknown_role_is_one_line_and_exit_code_2(pasam):
    result = pasam("list", "--role", "test")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: There is no role 'test'. Known roles: ")
    assert result.stderr.count("\n") == 1


def test_show_prints_all_that_is_known(pasam):
    shown = yaml.safe_load(pasam("show", "HRSOD").output)
    assert shown["images"] == 287
    assert shown["layout"]["masks"] == "thin_object_detection/HRSOD/masks_max255"
    assert shown["archives"][0]["sha256"] is None


def test_show_prints_a_group_as_several_documents(pasam):
    shown = list(yaml.safe_load_all(pasam("show", "hqseg44k_benchmarks").output))
    assert [entry["images"] for entry in shown] == [470, 280, 287, 500]


def test_show_prints_a_group_for_programs(pasam):
    shown = json.loads(pasam("show", "sam", "--json").output)
    assert [entry["name"] for entry in shown] == ["sam_vit_b", "sam_vit_l", "sam_vit_h"]


def test_fetch_brings_records_and_says_so(pasam, own, in_empty_folder):
    result = pasam("fetch", *own)
    assert result.exit_code == 0
    assert result.output.startswith("own fetched to data/catalogue/own\n")
    assert "Nobody publishes checksums of own.pth: catalogue.lock now holds" in result.output
    assert (in_empty_folder / "data/catalogue/own/own.pth").read_bytes() == WEIGHTS
    recorded = yaml.safe_load((in_empty_folder / "catalogue.lock").read_text())
    assert recorded == {"own.pth": hashlib.sha256(WEIGHTS).hexdigest()}


def test_a_second_fetch_says_that_all_is_there(pasam, own):
    pasam("fetch", *own)
    assert pasam("fetch", *own).output == "own is there already: data/catalogue/own\n"


def test_without_an_address_the_hint_is_told(pasam, own):
    result = pasam("fetch", *own[:3])
    assert result.exit_code == 2
    assert result.stderr == "error: own cannot be fetched. Ask the team.\n"


def test_a_passing_fault_has_its_own_exit_code(pasam, own, in_empty_folder):
    (in_empty_folder / "root").mkdir()
    with FileLock(in_empty_folder / "root" / ".fetch.lock"):
        result = pasam("fetch", *own, "--root", "root")
    assert result.exit_code == 75
    assert result.stderr == "error: Another fetch is at work in root. Wait for its end.\n"


def test_a_count_that_differs_from_the_catalogues_is_a_warning(pasam, in_empty_folder):
    (in_empty_folder / "mirror").mkdir()
    with zipfile.ZipFile(in_empty_folder / "mirror" / "DIS5K.zip", "w") as packed:
        packed.writestr("DIS5K/DIS-VD/im/0.jpg", b"")
        packed.writestr("DIS5K/DIS-VD/gt/0.png", b"")
    output = pasam("fetch", "DIS5K-VD", "--from", "mirror", "--no-keep-archives").output
    line = "DIS5K-VD fetched to data/catalogue/DIS5K-VD, 1 images; warning: the catalogue says 470"
    assert output.startswith(f"{line}\n")
    assert "name them in params.yaml: data.catalogue" in output


def test_list_counts_generated_sets_and_ones_own(pasam, in_empty_folder, root):
    shutil.copy(root / "params" / "default.yaml", "params.yaml")
    for name in ("im/a.jpg", "gt/a_0.png", "gt/a_1.png"):
        path = in_empty_folder / "data/own/val/cats" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    images = {e["name"]: e["images"] for e in json.loads(pasam("list", "--json").output)}
    generated = read_params()["data"]["generated"]["train_images"]
    assert (images["generated_train"], images["dis_like"], images["cats"]) == (generated, 60, 1)
    (cats,) = json.loads(pasam("list", "--role", "own", "--json").output)
    assert cats["hint"] == "data/own: 1 val"
    assert "cats" not in pasam("list", "--role", "benchmark").output


def test_fetch_leaves_the_archives_in_a_folder_of_their_own(pasam, own, in_empty_folder):
    pasam("fetch", *own)
    assert (in_empty_folder / "data/archives/own.pth").is_file()
    assert not (in_empty_folder / "data/catalogue/archives").exists()
