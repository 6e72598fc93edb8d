"""What is left behind for each picture, and what is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pasam.cli.predict import FORMATS, PredictionOutputs
from pasam.errors import ParamsError
from pasam.inference.mask_record import MaskRecord

IMAGE = np.full((8, 10, 3), 90, np.uint8)
MASK = np.zeros((8, 10), bool)
MASK[2:6, 3:7] = True
FOUND = MaskRecord(MASK, 0.5, {"box": [3, 2, 6, 5]}, MASK.astype(np.float32))


def written(folder: Path, formats, masks, **choices) -> list[str]:
    outputs = PredictionOutputs(folder, formats, model="m", **{"as_json": False, **choices})
    outputs.add(Path("x/photo.jpg"), "photo", IMAGE, masks)
    outputs.finish({1: "object"})
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize(
    ("formats", "names"),
    [
        (["png"], ["photo_mask.png"]),
        (["overlay"], ["photo_overlay.png"]),
        (["rle"], ["photo.json"]),
        (["coco"], ["coco.json"]),
        (["uncertainty"], ["photo_uncertainty.png"]),
        (["png", "overlay"], ["photo_mask.png", "photo_overlay.png"]),
        ([], []),
    ],
)
def test_what_was_asked_for_is_written_and_nothing_else(formats, names, tmp_path, capsys):
    assert written(tmp_path / "out", formats, [FOUND]) == names


def test_every_format_is_tried(tmp_path):
    assert len(written(tmp_path / "out", FORMATS, [FOUND])) == len(FORMATS)


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ParamsError, match="there is no format 'gif'"):
        written(tmp_path / "out", ["png", "gif"], [FOUND])
    assert not (tmp_path / "out").exists()


def test_people_read_a_line_per_picture(tmp_path, capsys):
    written(tmp_path, ["png"], [FOUND])
    written(tmp_path, ["png"], [FOUND, FOUND])
    written(tmp_path, [], [])
    mask = tmp_path / "photo_mask.png"
    assert capsys.readouterr().out.splitlines() == [
        f"x/photo.jpg: 1 mask, score 0.50 -> {mask}",
        f"x/photo.jpg: 2 masks -> {tmp_path / 'photo_mask_1.png'} and 1 more",
        "x/photo.jpg: 0 masks",
    ]


def test_programs_read_a_json_line_per_mask(tmp_path, capsys):
    written(tmp_path, ["png", "overlay", "coco"], [FOUND, FOUND], as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["image"] for line in lines] == ["x/photo.jpg"] * 2
    assert lines[1]["files"] == {
        "png": str(tmp_path / "photo_mask_2.png"),
        "overlay": str(tmp_path / "photo_overlay.png"),
    }
    assert lines[0]["area"] == 16
    assert lines[0]["segmentation"]["size"] == [8, 10]
