"""The command `pasam evaluate`."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from inference_models import picture
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.cli.options import named_model
from pasam.data.manifest import describe_pair, manifest_frame, write_manifest
from pasam.evaluation.protocol import score_set
from pasam.masks.images import write_png


@pytest.fixture
def pasam(model_project):
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(a) for a in ("evaluate", *arguments)])


@pytest.fixture
def folders(tmp_path):
    """Two images with a mask each, and one more of both that belong to nothing."""
    images, masks = tmp_path / "im", tmp_path / "gt"
    label = np.zeros((60, 90), np.uint8)
    label[10:40, 20:70] = 255
    for seed, name in enumerate(("a", "b", "alone")):
        write_png(images / f"{name}.png", picture(60, 90, seed))
    for name in ("a", "b_1", "stray"):
        write_png(masks / f"{name}.png", label)
    return images, masks


def test_folders_are_paired_by_name_and_what_is_left_is_said(pasam, folders):
    images, masks = folders
    result = pasam("--model", "sam", "--images", images, "--masks", masks, "--json")
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)
    pairs = [(images / "a.png", [masks / "a.png"]), (images / "b.png", [masks / "b_1.png"])]
    expected = score_set(named_model("sam", resize="squash"), pairs, boundary_fraction=0.02)
    assert (found["model"], found["data"], found["masks"]) == ("sam", "im", 2)
    assert found["iou"] == expected.iou
    assert found["boundary_iou"] == expected.boundary_iou
    assert "1 images have no mask" in result.stderr
    assert "1 masks have no image" in result.stderr


def test_several_models_on_a_set_of_the_manifest(pasam, folders, tmp_path):
    images, masks = folders
    label = np.full((60, 90), 255, np.uint8)
    row = describe_pair(
        split="val", dataset="mine", image=images / "a.png", mask=masks / "a.png",
        label=label, image_sha256="0",
    )  # fmt: skip
    write_manifest(manifest_frame([row]), tmp_path / "m.parquet")
    result = pasam(
        "--model",
        "sam",
        "--model",
        "pa_sam",
        "--data",
        "mine",
        "--manifest",
        tmp_path / "m.parquet",
    )
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0][:4] == ["Model", "Set", "Masks", "mIoU"]
    assert [line[:3] for line in lines[1:]] == [["sam", "mine", "1"], ["pa_sam", "mine", "1"]]
    unknown = pasam("--data", "other", "--manifest", tmp_path / "m.parquet")
    assert "has no set 'other'; it holds ['mine']" in unknown.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say which set"),
        (("--images", "x"), "--images and --masks go together"),
        (("--images", "x", "--masks", "y"), "the folder x does not exist"),
        (("--images", "x", "--masks", "y", "--data", "z"), "not both"),
        (("--data", "z", "--manifest", "gone.parquet"), "gone.parquet does not exist"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, words, pasam):
    result = pasam(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_folders_that_share_no_name_are_refused(pasam, folders, tmp_path):
    write_png(tmp_path / "other" / "zzz.png", np.full((4, 4), 255, np.uint8))
    result = pasam("--images", folders[0], "--masks", tmp_path / "other")
    assert "is named like an image of" in result.stderr


def test_its_help_has_an_example(pasam):
    assert "Example: pasam evaluate --model pa_sam" in pasam("--help").output


def test_the_table_has_the_numbers_of_the_json_each_under_its_title(pasam, folders):
    images, masks = folders
    label = np.zeros((60, 90), np.uint8)
    label[5:20, 5:30] = 255
    write_png(masks / "a.png", label)  # of another size, so that pooling makes a difference
    arguments = ("--images", images, "--masks", masks, "--model", "sam")
    (row,) = json.loads(pasam(*arguments, "--json").stdout)
    lines = pasam(*arguments).stdout.splitlines()[:2]
    titles, values = (re.split(r"\s{2,}", line.strip()) for line in lines)
    shown = dict(zip(titles, values, strict=True))
    wanted = {"mIoU": "iou", "mBIoU": "boundary_iou", "Pooled IoU": "pooled_iou"}
    assert {title: shown[title] for title in wanted} == {
        title: f"{100 * row[key]:.2f}" for title, key in wanted.items()
    }
    assert len({row[key] for key in wanted.values()}) == 3  # or a swap would not show
