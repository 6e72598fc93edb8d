"""The command `pasam predict`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from inference_models import picture
from PIL import Image
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.cli.model_option import named_model
from pasam.masks.run_lengths import decode

BOX = "12,8,70,50"


@pytest.fixture
def photos(tmp_path):
    """Two pictures in a folder of their own."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in enumerate(("one", "two")):
        Image.fromarray(picture(60, 90, seed)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def pasam(model_project):
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


def test_a_box_gives_the_librarys_own_mask_and_an_overlay(pasam, photos, tmp_path):
    out = tmp_path / "out"
    result = pasam("predict", photos / "one.png", "--box", BOX, "--out", out)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == ["one_mask.png", "one_overlay.png"]
    predictor = named_model("pa_sam")
    predictor.set_image(picture(60, 90, 0))
    expected = predictor.predict(box=[12, 8, 70, 50], multimask_output=False)[0][0]
    assert np.array_equal(np.array(Image.open(out / "one_mask.png")) > 0, expected)


def test_a_folder_and_points_and_another_model(pasam, photos, tmp_path):
    arguments = ("--point", "20,20", "--point", "5,5,0", "--model", "sam", "--json")
    result = pasam("predict", photos, *arguments, "--out", tmp_path / "out", "--format", "rle")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["image"].rpartition("/")[2] for line in lines] == ["one.png", "two.png"]
    assert {line["model"] for line in lines} == {"sam"}
    assert lines[0]["prompt"] == {"points": [[20, 20], [5, 5]], "labels": [1, 0]}
    kept = json.loads((tmp_path / "out" / "two.json").read_text())
    assert kept[0]["segmentation"] == lines[1]["segmentation"]
    assert decode(kept[0]["segmentation"]).shape == (60, 90)


def test_everything_obeys_its_options(pasam, photos, tmp_path):
    loose = ("--everything", "--pred-iou-thresh", "-9", "--stability-score-thresh", "0.01")
    arguments = (photos / "one.png", *loose, "--points-per-side", "3", "--json")
    result = pasam("predict", *arguments, "--format", "coco", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert found
    points = {tuple(point) for line in found for point in line["prompt"]["points"]}
    assert points <= {(x, y) for x in (15, 45, 75) for y in (10, 30, 50)}
    written = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert len(written["annotations"]) == len(found)


def test_a_detectors_boxes_give_masks_with_its_categories(pasam, photos, tmp_path):
    images = [
        {"id": 5, "file_name": "one.png", "height": 60, "width": 90},
        {"id": 6, "file_name": "two.png", "height": 60, "width": 90},
    ]
    known = {"images": images, "annotations": [], "categories": [{"id": 3, "name": "dog"}]}
    (tmp_path / "set.json").write_text(json.dumps(known))
    found = [{"image_id": 6, "category_id": 3, "bbox": [12, 8, 58, 42], "score": 0.9}]
    (tmp_path / "found.json").write_text(json.dumps(found))
    arguments = ("--detections", tmp_path / "found.json", "--annotations", tmp_path / "set.json")
    result = pasam("predict", photos, *arguments, "--format", "coco", "--out", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    (line,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert line["image"].endswith("two.png")
    assert (line["category"], line["detection_score"]) == ("dog", 0.9)
    written = json.loads((tmp_path / "coco.json").read_text())
    assert written["categories"] == [{"id": 3, "name": "dog"}]
    assert [a["category_id"] for a in written["annotations"]] == [3]


def test_a_turned_photograph_is_answered_as_viewers_show_it(pasam, tmp_path):
    upright = picture(60, 90)
    turned = Image.fromarray(np.rot90(upright))  # stored lying; the tag says turn it clockwise
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    result = pasam(
        "predict", tmp_path / "turned.png", "--box", BOX, "--format", "png", "--out", tmp_path
    )
    assert result.exit_code == 0, result.output
    assert np.array(Image.open(tmp_path / "turned_mask.png")).shape == (60, 90)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say what to segment"),
        (("--everything", "--box", BOX), "say what to segment"),
        (("--box", "1,2,3"), "--box is '1,2,3'"),
        (("--box", "1,2,300,40"), "outside the image of 90 x 60"),
        (("--box", BOX, "--model", "nobody"), "there is no model 'nobody'"),
        (("--box", BOX, "--format", "gif"), "there is no format 'gif'"),
        (("--box", BOX, "--device", "tpu"), "the device is 'tpu'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, words, pasam, photos, tmp_path):
    result = pasam("predict", photos / "one.png", *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_its_help_has_an_example(pasam):
    assert "Example: pasam predict photo.jpg --box" in pasam("predict", "--help").output
