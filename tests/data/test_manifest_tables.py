"""Manifest and inventory describe items truly, have the same bytes, and are read strictly."""

import csv
import hashlib
import importlib.metadata
import math
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pasam.data.manifest import (
    COLUMNS,
    INVENTORY_COLUMNS,
    KINDS,
    OF_IMAGE,
    OF_TABLE,
    QUARANTINED,
    Fault,
    complexity,
    describe_pair,
    file_sha256,
    invalid_row,
    inventory_frame,
    manifest_frame,
    measure_image,
    pair_id,
    project_path,
    read_inventory,
    read_manifest,
    soft_fraction,
    stored_form,
    valid_rows,
    write_inventory,
    write_manifest,
)
from pasam.data.own_sets import held_out
from pasam.data.pairing import from_csv
from pasam.errors import DataError
from pasam.masks.images import located, package_path, write_png

LABEL = np.zeros((4, 5), np.uint8)
LABEL[:2] = 255
LABEL[2] = 128


def row(
    folder: Path, *, split: str = "train", dataset: str = "cats", mask: str = "gt/a_0.png",
    group: str = "",
):  # fmt: skip
    write_png(folder / "im/a.png", np.zeros((4, 5, 3), np.uint8))
    write_png(folder / mask, LABEL)
    return describe_pair(
        split=split, dataset=dataset, image=folder / "im/a.png", mask=folder / mask,
        label=LABEL, image_sha256=file_sha256(folder / "im/a.png"), group=group,
    )  # fmt: skip


def disk(radius: int) -> np.ndarray:
    return cv2.circle(np.zeros((260, 260), np.uint8), (130, 130), radius, 255, -1)


@given(radius=st.integers(12, 120))
@settings(max_examples=30)
def test_a_disk_has_complexity_one(radius):
    assert complexity(disk(radius)) == pytest.approx(1, abs=0.06)


def test_complexity_counts_holes_and_rises_with_detail():
    ring = disk(100) - disk(50)
    expected = (2 * math.pi * 150) ** 2 / (4 * math.pi * math.pi * (100**2 - 50**2))
    assert complexity(ring) == pytest.approx(expected, rel=0.03)


def test_complexity_does_not_depend_on_scale():
    small, large = disk(25), disk(100)
    small[128:132, 130:160] = 255
    large[122:138, 130:250] = 255
    assert complexity(large) == pytest.approx(complexity(small), rel=0.06)


def test_an_empty_mask_has_complexity_zero():
    assert complexity(np.full((3, 3), 128, np.uint8)) == 0


def test_a_row_has_every_column_and_the_true_figures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = row(tmp_path / "own")
    assert tuple(values) == COLUMNS
    assert values["id"] == "cats/a_0"
    assert (values["height"], values["width"], values["area"]) == (4, 5, 0.5)
    assert (values["image"], values["mask"]) == ("own/im/a.png", "own/gt/a_0.png")
    content = (tmp_path / "own/gt/a_0.png").read_bytes()
    assert values["mask_sha256"] == hashlib.sha256(content).hexdigest()


def test_an_image_is_a_group_of_its_own_unless_it_belongs_to_one(tmp_path):
    assert row(tmp_path)["group"] == row(tmp_path)["image_sha256"]
    assert row(tmp_path, group="film 3")["group"] == "film 3"


def test_a_mask_in_its_images_folder_carries_the_images_name(tmp_path):
    assert row(tmp_path, mask="gt/a/left.png")["id"] == "cats/a_left"


def test_paths_are_relative_inside_the_project_and_absolute_outside(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    assert project_path(Path("data/own/../own/a.png")) == "data/own/a.png"
    assert project_path(tmp_path / "project" / "b.png") == "b.png"
    assert project_path(Path("../c.png")) == (tmp_path / "c.png").as_posix()
    beside = tmp_path / "project2" / "e.png"  # whose name merely begins like the project's
    assert project_path(beside) == beside.as_posix()
    (tmp_path / "disk").mkdir()
    Path("own").symlink_to(tmp_path / "disk")  # where a disk is mounted is no matter of the project
    assert project_path(Path("own/d.png")) == "own/d.png"


def test_rows_are_sorted_and_survive_the_file(tmp_path):
    rows = [
        row(tmp_path, split="val", dataset="cats"),
        row(tmp_path, dataset="dogs"),
        row(tmp_path, dataset="ants", mask="gt/b.png"),
        row(tmp_path, dataset="ants"),
    ]
    frame = manifest_frame(rows)
    assert frame["id"].tolist() == ["ants/a_0", "ants/b", "dogs/a_0", "cats/a_0"]
    write_manifest(frame, tmp_path / "new/manifest.parquet")
    back = read_manifest(tmp_path / "new/manifest.parquet")
    assert tuple(back.columns) == COLUMNS
    pd.testing.assert_frame_equal(back, frame, check_dtype=False)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["manifest.parquet"]


def test_the_order_of_rows_does_not_change_the_bytes(tmp_path):
    rows = [row(tmp_path, mask=f"gt/{name}.png") for name in ("b", "a", "c")]
    for name, order in (("one", rows), ("two", rows[::-1])):
        write_manifest(manifest_frame(order), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_two_masks_of_one_id_are_refused_by_name(tmp_path):
    rows = [row(tmp_path / "x"), row(tmp_path / "y")]
    with pytest.raises(DataError, match=r"x/gt/a_0\.png and .*y/gt/a_0\.png .*'cats/a_0'"):
        manifest_frame(rows)


def test_a_frame_without_a_column_is_not_written(tmp_path):
    frame = manifest_frame([row(tmp_path)]).drop(columns="area")
    with pytest.raises(DataError, match=r"lack \['area'\]"):
        write_manifest(frame, tmp_path / "m.parquet")


def test_a_value_of_another_type_is_not_written(tmp_path):
    frame = manifest_frame([{**row(tmp_path), "height": "tall"}])
    with pytest.raises(DataError, match="in .*height.*expected whole numbers.*tall"):
        write_manifest(frame, tmp_path / "m.parquet")
    assert not (tmp_path / "m.parquet").exists()


def test_a_missing_manifest_says_how_to_make_it(tmp_path):
    with pytest.raises(DataError, match=r"m\.parquet does not exist. Run `dvc repro prepare`"):
        read_manifest(tmp_path / "m.parquet")


def test_a_file_of_another_kind_is_named(tmp_path):
    (tmp_path / "m.parquet").write_text("id,split")
    with pytest.raises(DataError, match="is not a parquet file"):
        read_manifest(tmp_path / "m.parquet")


def test_missing_and_mistyped_columns_are_named(tmp_path):
    write_manifest(manifest_frame([row(tmp_path)]), tmp_path / "m.parquet")
    table = pq.read_table(tmp_path / "m.parquet").drop_columns(["mask"])
    place = table.schema.get_field_index("height")
    table = table.set_column(place, "height", pa.array(["4"]))
    pq.write_table(table, tmp_path / "m.parquet")
    with pytest.raises(
        DataError, match="mask is missing, expected string; height is string, expected int32"
    ):
        read_manifest(tmp_path / "m.parquet")


def test_an_unknown_split_is_named(tmp_path):
    write_manifest(manifest_frame([row(tmp_path, split="dev")]), tmp_path / "m.parquet")
    with pytest.raises(DataError, match=r"\['dev'\]"):
        read_manifest(tmp_path / "m.parquet")


def test_every_kind_is_explained():
    assert all(KINDS.values())
    assert QUARANTINED in KINDS


def test_a_fault_has_one_culprit():
    assert set(KINDS) >= OF_IMAGE
    assert set(KINDS) >= OF_TABLE
    assert not OF_IMAGE & OF_TABLE


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


def test_each_colour_counts_as_bright_as_it_is_seen_and_contrast_is_a_deviation():
    for channel, grey in enumerate((76, 150, 29)):
        image = np.zeros((6, 9, 3), np.uint8)
        image[..., channel] = 255
        assert measure_image(image)["brightness"] == grey
    halves = np.zeros((6, 8, 3), np.uint8)
    halves[:, :4] = 200
    measured = measure_image(halves)
    assert (measured["brightness"], measured["contrast"]) == (100, 100)


def test_the_hash_of_gradients_says_where_a_row_grows_brighter():
    ramp = np.repeat(np.linspace(0, 255, 90).astype(np.uint8)[None, :, None], 60, 0).repeat(3, 2)
    rising, falling = measure_image(ramp), measure_image(ramp[:, ::-1].copy())
    assert (rising["dhash"], falling["dhash"]) == ("f" * 16, "0" * 16)
    level = measure_image(ramp.swapaxes(0, 1).copy())
    assert level["dhash"] == "0" * 16
    assert rising["phash"] != falling["phash"]


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
    fit |= dict.fromkeys(("mask_sha256", "phash", "dhash", "group"), "0")
    rows.append(fit)
    for name, order in (("a", rows), ("b", rows[::-1])):
        write_inventory(inventory_frame(order), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    inventory = read_inventory(tmp_path / "a")
    assert tuple(inventory.columns) == INVENTORY_COLUMNS
    assert len(inventory) == 5
    assert valid_rows(inventory)["id"].tolist() == ["x"]
    assert inventory["id"].tolist()[:4] == ["cats/a_0", "cats/a_1", "cats/a_2", "cats/a"]


def test_the_inventory_is_in_the_order_of_split_set_and_mask():
    rows = [
        invalid_row(Fault(kind="empty_mask", split=split, dataset=dataset, message="m",
                          image=Path(image), mask=Path(mask)))
        for split, dataset, image, mask in (
            ("val", "a", "1", "1"), ("train", "b", "1", "1"), ("train", "a", "2", "3"),
            ("train", "a", "1", "4"), ("train", "a", "3", "3"),
        )
    ]  # fmt: skip
    found = inventory_frame(rows)[["split", "dataset", "mask", "image"]].to_numpy().tolist()
    assert found == [
        ["train", "a", "3", "2"], ["train", "a", "3", "3"], ["train", "a", "4", "1"],
        ["train", "b", "1", "1"], ["val", "a", "1", "1"],
    ]  # fmt: skip


def test_faults_of_one_mask_come_by_their_kind_whatever_the_order_they_were_found_in():
    kinds = ["empty_mask", "listed_twice", "size_mismatch"]
    for found in (kinds, kinds[::-1]):
        inventory = inventory_frame([invalid_row(fault(kind)) for kind in found])
        assert inventory["fault"].tolist() == kinds


def test_a_missing_inventory_says_how_to_make_it(tmp_path):
    with pytest.raises(DataError, match="none does not exist. Run `dvc repro prepare`"):
        read_inventory(tmp_path / "none")


def test_another_file_is_no_inventory(tmp_path):
    (tmp_path / "a").write_text("id")
    with pytest.raises(DataError, match="a is not a readable parquet file"):
        read_inventory(tmp_path / "a")
    inventory_frame([invalid_row(fault("empty_mask"))])[["id"]].to_parquet(tmp_path / "b")
    with pytest.raises(DataError, match="b is not an inventory: .*dataset is missing"):
        read_inventory(tmp_path / "b")


@pytest.mark.parametrize(
    ("image", "mask", "name"),
    [
        ("im/cat.png", "gt/cat/left.png", "d/cat_left"),
        ("im/cat.png", "gt/cat.png", "d/cat"),
        ("im/g.png", "gt/g.png", "d/g"),  # whose folder merely begins so
        ("im/cat.png", "gt/cats/left.png", "d/left"),
        ("im/cat.png", "gt/cat.old/left.png", "d/left"),
        (None, "gt/cat/left.png", "d/left"),
        ("im/cat.png", None, "d/cat"),
        (None, None, "d/"),
    ],
)
def test_a_mask_in_a_folder_named_like_its_image_has_both_names(image, mask, name):
    image, mask = (None if path is None else Path(path) for path in (image, mask))
    assert pair_id("d", image, mask) == name


def test_the_rim_of_an_image_is_outline_like_any_other():
    mask = np.full((9, 12), 255, np.uint8)
    mask[:4, 5:] = 0
    assert complexity(mask) == complexity(np.pad(mask, 5))


@given(count=st.integers(2, 40), fraction=st.floats(0.01, 0.99))
def test_no_fewer_are_held_out_than_the_fraction_says_and_one_is_left(count, fraction):
    keys = [f"film {number}" for number in range(count)]
    held = held_out(keys, val_fraction=fraction)
    assert min(round(fraction * count), count - 1) <= len(held) < count
    assert held <= set(keys)


def test_an_image_of_a_package_is_that_of_its_own_version_wherever_its_path_lies():
    path = package_path("scikit-image", "skimage/data/coffee.png")
    assert located(path).is_file()
    assert located(Path("/some/project") / path) == located(path)
    (first, *rest), version = path.parts, importlib.metadata.version("scikit-image")
    for other in (first[:-1], f"{first}.1"):  # of 0.26.0 neither 0.26. nor 0.26.0.1
        with pytest.raises(OSError, match=f"scikit-image {version} is installed, and the manif"):
            located(Path(other, *rest))


@pytest.mark.parametrize(
    "head", ['image,mask,"note; a; b; c"', "image,mask,Image", "Mask,image,IMAGE,mask,Image"]
)
def test_names_of_columns_may_hold_delimiters_and_stand_beside_their_like(head, tmp_path):
    (tmp_path / "a.png").touch()
    cells = {"image": "a.png", "mask": "a.png"}
    named = next(csv.reader([head]))
    row = ",".join(cells.get(name, "another") for name in named)
    (tmp_path / "t.csv").write_text(f"{head}\n{row}\n")
    assert from_csv(tmp_path / "t.csv").candidates[0].masks == (tmp_path / "a.png",)


def test_columns_alike_in_all_but_capitals_are_refused_where_none_is_as_it_should(tmp_path):
    (tmp_path / "t.csv").write_text("IMAGE,mask,Image\na.png,a.png,b.png\n")
    with pytest.raises(DataError, match="has the column 'image' twice"):
        from_csv(tmp_path / "t.csv")


@pytest.mark.parametrize("name", ["Group", "GROUP", "Split", "group", "patient"])
@pytest.mark.parametrize("written", [str, str.lower, str.upper])
def test_the_column_of_groups_may_be_called_as_another_is_in_other_capitals(
    name, written, tmp_path
):
    (tmp_path / "a.png").touch()
    (tmp_path / "t.csv").write_text(f"image,mask,{written(name)}\na.png,a.png,film 1\n")
    (one,) = from_csv(tmp_path / "t.csv", group=name).candidates
    assert one.group == "film 1"
