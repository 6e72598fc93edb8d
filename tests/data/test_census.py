"""The inventory measures what is fit, names what is not, and survives its file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pasam.data.manifest import (
    INVENTORY_COLUMNS,
    Fault,
    invalid_row,
    inventory_frame,
    measure_image,
    read_inventory,
    soft_fraction,
    stored_form,
    valid_rows,
    write_inventory,
)
from pasam.errors import DataError

RNG = np.random.default_rng(3)
COARSE = np.kron(RNG.integers(0, 200, (6, 8, 3)), np.ones((20, 20, 1))).astype(np.uint8)


def bits(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def fault(kind: str, mask: str | None = "gt/a.png") -> Fault:
    return Fault(
        kind=kind, split="train", dataset="cats", image=Path("im/a.jpg"),
        mask=None if mask is None else Path(mask), message="what to do",
    )  # fmt: skip


def test_light_is_measured_in_grey_values():
    measured = measure_image(np.full((8, 8, 3), 77, np.uint8))
    assert (measured["brightness"], measured["contrast"]) == (77, 0)


def test_hashes_stay_close_when_a_picture_is_scaled_and_made_lighter():
    before = measure_image(COARSE)
    changed = np.asarray(Image.fromarray(COARSE).resize((100, 70))).astype(np.uint8) + 40
    after = measure_image(changed)
    other = measure_image(COARSE[::-1].copy())
    for name in ("phash", "dhash"):
        assert len(before[name]) == 16
        assert bits(before[name], after[name]) <= 4
        assert bits(before[name], other[name]) > 8


@pytest.mark.parametrize(
    ("array", "mode", "suffix", "depth"),
    [
        (COARSE, None, "png", 8),
        (COARSE, None, "jpg", 8),
        (COARSE[..., 0], None, "png", 8),
        (COARSE[..., 0].astype(np.uint16) * 256, None, "png", 16),
        (COARSE[..., 0].astype(np.float32), None, "tif", 32),
        (COARSE[..., 0], "1", "png", 1),
    ],
)
def test_the_depth_is_that_of_the_file(tmp_path, array, mode, suffix, depth):
    picture = Image.fromarray(array)
    path = tmp_path / f"a.{suffix}"
    (picture.convert(mode) if mode else picture).save(path)
    assert stored_form(path) == {"depth": depth, "orientation": 1}


def test_16_bits_per_colour_are_noticed(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), COARSE.astype(np.uint16) * 256)
    assert stored_form(tmp_path / "a.png")["depth"] == 16


def test_the_orientation_is_that_of_the_tag(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COARSE).save(tmp_path / "a.jpg", exif=exif)
    assert stored_form(tmp_path / "a.jpg")["orientation"] == 6


def test_soft_pixels_are_neither_black_nor_white():
    assert soft_fraction(np.array([[0, 255], [1, 254]], np.uint8)) == 0.5


def test_the_inventory_survives_its_file_whatever_the_order_of_its_rows(tmp_path):
    rows = [invalid_row(fault("empty_mask", f"gt/a_{part}.png")) for part in range(3)]
    rows.append(invalid_row(fault("image_without_mask", None)))
    fit = dict.fromkeys(INVENTORY_COLUMNS, 1) | {"fault": None, "message": None, "split": "val"}
    fit |= dict.fromkeys(("id", "dataset", "image", "mask", "image_sha256"), "x")
    fit |= dict.fromkeys(("mask_sha256", "phash", "dhash"), "0")
    rows.append(fit)
    for name, order in (("a", rows), ("b", rows[::-1])):
        write_inventory(inventory_frame(order), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    inventory = read_inventory(tmp_path / "a")
    assert tuple(inventory.columns) == INVENTORY_COLUMNS
    assert len(inventory) == 5
    assert valid_rows(inventory)["id"].tolist() == ["x"]
    assert inventory["id"].tolist()[:4] == ["cats/a_0", "cats/a_1", "cats/a_2", "cats/a"]


def test_a_missing_inventory_says_how_to_make_it(tmp_path):
    with pytest.raises(DataError, match="none does not exist. Run `dvc repro prepare`"):
        read_inventory(tmp_path / "none")


def test_another_file_is_no_inventory(tmp_path):
    (tmp_path / "a").write_text("id")
    with pytest.raises(DataError, match="a is not a readable parquet file"):
        read_inventory(tmp_path / "a")
    inventory_frame([invalid_row(fault("empty_mask"))])[["id"]].to_parquet(tmp_path / "b")
    with pytest.raises(DataError, match=r"b is not a inventory: it has the columns \['id'\]"):
        read_inventory(tmp_path / "b")
