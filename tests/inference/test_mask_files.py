"""Masks on disk, as other programs read them."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from pasam.inference.mask_record import (
    CocoSet,
    FoundMask,
    write_json,
    write_masks,
    write_records,
    write_uncertainty,
)
from pasam.masks.run_lengths import decode


def found(seed: int) -> FoundMask:
    rng = np.random.default_rng(seed)
    mask, unsure = rng.random((8, 10)) > 0.5, rng.random((8, 10), np.float32)
    return FoundMask(mask, 0.5, {"box": [0, 0, 5, 5]}, unsure if seed else None)


def test_a_png_holds_0_and_255_at_the_pictures_size(tmp_path):
    (path,) = write_masks(tmp_path, "photo", [found(0)])
    assert path.name == "photo_mask.png"
    pixels = np.array(Image.open(path))
    assert np.array_equal(pixels, found(0).mask * np.uint8(255))


def test_several_masks_are_numbered(tmp_path):
    paths = write_masks(tmp_path, "photo", [found(0), found(1)])
    assert [path.name for path in paths] == ["photo_mask_1.png", "photo_mask_2.png"]


def test_a_map_is_grey_and_a_mask_without_one_gives_no_file(tmp_path):
    (path,) = write_uncertainty(tmp_path, "photo", [found(0), found(1)])
    assert path.name == "photo_uncertainty_2.png"
    pixels = np.array(Image.open(path))
    np.testing.assert_allclose(pixels / 255, found(1).uncertainty, atol=1 / 500)


def test_records_hold_every_mask(tmp_path):
    path = write_records(tmp_path, "photo", [found(0), found(1)])
    records = json.loads(path.read_text())
    assert np.array_equal(decode(records[1]["segmentation"]), found(1).mask)


def test_a_coco_set_is_one_that_pycocotools_reads(tmp_path):
    made = CocoSet()
    made.add(Path("x/one.jpg"), (8, 10), [found(0), found(1)])
    made.add(Path("x/none.jpg"), (8, 10), [])
    made.add(Path("x/two.jpg"), (8, 10), [found(2)])
    made.write(tmp_path / "coco.json", {1: "object"})
    with contextlib.redirect_stdout(io.StringIO()):
        read = COCO(tmp_path / "coco.json")
    assert [image["file_name"] for image in read.loadImgs(read.getImgIds())] == [
        "one.jpg",
        "none.jpg",
        "two.jpg",
    ]
    assert len(read.getAnnIds(imgIds=[1])) == 2
    (annotation,) = read.loadAnns(read.getAnnIds(imgIds=[3]))
    assert np.array_equal(decode(read.annToRLE(annotation)), found(2).mask)
    assert annotation["area"] == found(2).mask.sum()


def test_a_file_that_cannot_be_written_leaves_no_draft(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", {"a": object()})
    assert list(tmp_path.iterdir()) == []
