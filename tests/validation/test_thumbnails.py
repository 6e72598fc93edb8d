"""Thumbnails show any file that can be shown, and mark where a mask is."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pasam.masks.images import write_png
from pasam.validation.page import SIDE, mask_picture, outlined, picture


def pixels(uri: str) -> np.ndarray:
    head, _, content = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))).astype(int)


@pytest.fixture
def grey(tmp_path):
    write_png(tmp_path / "im.png", np.full((400, 600, 3), 90, np.uint8))
    return str(tmp_path / "im.png")


@pytest.fixture
def dot(tmp_path):
    label = np.zeros((400, 600), np.uint8)
    label[200:204, 300:304] = 255
    write_png(tmp_path / "gt.png", label)
    return str(tmp_path / "gt.png")


def test_a_picture_keeps_its_shape(grey):
    assert pixels(picture(grey)).shape == (SIDE * 2 // 3, SIDE, 3)


def test_a_tiny_picture_is_enlarged(tmp_path):
    write_png(tmp_path / "im.png", np.full((3, 6, 3), 90, np.uint8))
    assert pixels(picture(str(tmp_path / "im.png"))).shape == (SIDE // 2, SIDE, 3)


def test_what_cannot_be_read_has_no_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    assert picture(None) is None
    assert picture(str(tmp_path / "a.png")) is None
    assert mask_picture(str(tmp_path / "b.png")) is None
    assert outlined(str(tmp_path / "a.png"), str(tmp_path / "a.png")) is None


def test_a_label_map_can_be_seen(tmp_path):
    Image.fromarray(np.kron([[0, 3]], np.ones((9, 9))).astype(np.uint8)).save(tmp_path / "m.png")
    assert pixels(mask_picture(str(tmp_path / "m.png"))).max() > 240


def test_a_small_mask_is_boxed_and_the_rest_stays(grey, dot):
    changed = np.abs(pixels(outlined(grey, dot)) - pixels(picture(grey))).max(axis=2) > 60
    rows, columns = np.nonzero(changed)
    assert abs(rows.mean() - SIDE / 3) < 3
    assert abs(columns.mean() - SIDE / 2) < 3
    assert 10 < np.ptp(rows) < 20
    assert not changed[:30].any()


def test_an_unfit_mask_leaves_the_image_bare(grey, tmp_path):
    (tmp_path / "m.png").write_bytes(b"")
    assert outlined(grey, str(tmp_path / "m.png")) == picture(grey)


def test_the_same_files_give_the_same_text(grey, dot):
    assert outlined(grey, dot) == outlined(grey, dot)
    assert Path(grey).exists()
