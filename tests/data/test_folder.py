"""Own data is paired by CSV or by layout, and whatever does not pair is named."""

from pathlib import Path

import pytest

from pasam.data.folder import (
    Pair,
    count_pairs,
    find_pairs,
    pairs_of_pictures,
    registered_sets,
    survey_pairs,
)
from pasam.errors import DataError

HEADER = "split,dataset,image,mask,licence\n"


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names(own: Path) -> list[tuple[str, str, str, str]]:
    return [
        (pair.split, pair.dataset, pair.image.name, pair.mask.relative_to(own).as_posix())
        for pair in find_pairs(own)
    ]


def test_a_folder_with_only_a_readme_holds_no_pairs(tmp_path):
    assert find_pairs(touch(tmp_path, "README.md")) == ()


def test_a_missing_folder_names_the_params_key(tmp_path):
    with pytest.raises(DataError, match=r"nowhere \(params.yaml: data.own\) does not exist"):
        find_pairs(tmp_path / "nowhere")


def test_a_csv_pairs_relative_to_itself_and_sorted(tmp_path):
    touch(tmp_path, "a.jpg", "b.jpg", "m/a0.png", "m/a1.png", "m/b.png")
    (tmp_path / "manifest.csv").write_text(
        HEADER
        + "val,dogs,b.jpg,m/b.png,free\n"
        + "train,cats, a.jpg ,m/a1.png,\n"
        + "train,cats,a.jpg,m/a0.png,\n"
    )
    assert find_pairs(tmp_path) == (
        Pair(split="train", dataset="cats", image=tmp_path / "a.jpg", mask=tmp_path / "m/a0.png"),
        Pair(split="train", dataset="cats", image=tmp_path / "a.jpg", mask=tmp_path / "m/a1.png"),
        Pair(split="val", dataset="dogs", image=tmp_path / "b.jpg", mask=tmp_path / "m/b.png"),
    )


def test_a_byte_order_mark_before_the_header_is_ignored(tmp_path):
    touch(tmp_path, "a.jpg", "a.png")
    text = HEADER + "train,cats,a.jpg,a.png,\n"
    (tmp_path / "manifest.csv").write_text(text, encoding="utf-8-sig")
    assert len(find_pairs(tmp_path)) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("test,cats,a.jpg,a.png", r"row 3: split is 'test', expected one of \['train', 'val'\]"),
        ("train,cats,a.jpg,gone.png", r"row 3: mask .*gone.png does not exist"),
        ("train,cats,gone.jpg,a.png", r"row 3: image .*gone.jpg does not exist"),
        ("train,,a.jpg,a.png", "row 3: 'dataset' is empty"),
        ("train,cats", "row 3: 'image' is empty"),
        ("train,cats,a.jpg,a.png", r"lists .*a.png twice"),
    ],
)
def test_a_bad_row_is_named_with_its_number(tmp_path, row, message):
    touch(tmp_path, "a.jpg", "a.png")
    (tmp_path / "manifest.csv").write_text(HEADER + "train,cats,a.jpg,a.png,\n" + row + "\n")
    with pytest.raises(DataError, match=message):
        find_pairs(tmp_path)


def test_missing_columns_are_named(tmp_path):
    (tmp_path / "manifest.csv").write_text("split,image,label\n")
    with pytest.raises(DataError, match=r"lacks the columns \['dataset', 'mask'\]"):
        find_pairs(tmp_path)


def test_a_csv_in_another_encoding_is_named(tmp_path):
    (tmp_path / "manifest.csv").write_bytes(HEADER.encode() + b"train,c\xe4ts,a,b,\n")
    with pytest.raises(DataError, match="is not a CSV file in UTF-8"):
        find_pairs(tmp_path)


def test_a_layout_pairs_by_name_suffix_and_folder(tmp_path):
    touch(tmp_path, *(f"train/cats/im/{name}" for name in ("a.jpg", "b.png", "c_1.webp", "c.JPG")))
    touch(tmp_path, *(f"train/cats/gt/{name}" for name in ("a.png", "b_left.png", "b_2_x.png")))
    touch(tmp_path, "train/cats/gt/c_1.png", "train/cats/gt/c_1_9.png", "train/cats/gt/c/0.png")
    touch(tmp_path, "val/dogs/im/a.tif", "val/dogs/gt/a.png", "val/dogs/gt/.hidden.png")
    assert names(tmp_path) == [
        ("train", "cats", "a.jpg", "train/cats/gt/a.png"),
        ("train", "cats", "b.png", "train/cats/gt/b_2_x.png"),
        ("train", "cats", "b.png", "train/cats/gt/b_left.png"),
        ("train", "cats", "c.JPG", "train/cats/gt/c/0.png"),
        ("train", "cats", "c_1.webp", "train/cats/gt/c_1.png"),
        ("train", "cats", "c_1.webp", "train/cats/gt/c_1_9.png"),
        ("val", "dogs", "a.tif", "val/dogs/gt/a.png"),
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["train/c/im/a.jpg", "train/c/im/b.jpg", "train/c/gt/a.png"], r"b.jpg has no mask \(1"),
        (["train/c/im/a.jpg", "train/c/gt/a.png", "train/c/gt/ab.png"], "ab.png belongs to no"),
        (["train/c/im/a.jpg", "train/c/gt/z/0.png"], "gt/z/0.png belongs to no image"),
        (["train/c/im/a.jpg", "train/c/im/a.png", "train/c/gt/a.png"], "share the name 'a'"),
        (["train/c/im/a.jpg"], "lacks the folder 'gt'"),
        (["validation/c/im/a.jpg"], r"folder 'validation', expected \['train', 'val'\]"),
    ],
)
def test_what_does_not_pair_is_named(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        find_pairs(touch(tmp_path, *files))


def test_all_faults_of_the_pairing_are_listed_at_once(tmp_path):
    touch(tmp_path, "train/c/im/a.jpg", "train/c/im/b.jpg", "train/c/gt/a.png", "train/c/gt/z.png")
    pairs, faults = survey_pairs(tmp_path)
    assert [pair.image.name for pair in pairs] == ["a.jpg"]
    assert ["z.png belongs to no image" in faults[0], "b.jpg has no mask" in faults[1]] == [
        True
    ] * 2


@pytest.mark.parametrize("loose", ["table", "layout", "nothing"])
def test_registered_sets_stand_beside_either_form(tmp_path, loose):
    touch(tmp_path, "cats/set.json", "cats/a.jpg", "cats/a.png", "train/dogs/im/b.jpg")
    touch(tmp_path, "train/dogs/gt/b.png")
    row = "train,cats,a.jpg,a.png,\n"
    (tmp_path / "cats" / "manifest.csv").write_text(HEADER + row)
    if loose == "table":
        row = "train,dogs,train/dogs/im/b.jpg,train/dogs/gt/b.png,\n"
        (tmp_path / "manifest.csv").write_text(HEADER + row)
    if loose == "nothing":
        (tmp_path / "train/dogs/gt/b.png").unlink()
        (tmp_path / "train/dogs/im/b.jpg").unlink()
    dogs = [] if loose == "nothing" else [("train", "dogs", "b.jpg", "train/dogs/gt/b.png")]
    assert names(tmp_path) == [("train", "cats", "a.jpg", "cats/a.png"), *dogs]
    assert registered_sets(tmp_path) == [tmp_path / "cats"]


def test_a_registered_set_without_its_table_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cats has a set.json but no manifest.csv"):
        find_pairs(touch(tmp_path, "cats/set.json"))


def test_a_folder_that_does_not_exist_has_no_registered_sets(tmp_path):
    assert registered_sets(tmp_path / "nowhere") == []


def test_images_and_masks_in_one_folder_are_told_apart_by_suffix(tmp_path):
    touch(tmp_path, "a.jpg", "a.png", "b.jpg", "b.png", "c.jpg", "d.png")
    pairs, left_out = pairs_of_pictures(
        tmp_path, tmp_path, split="train", dataset="x", image_suffix=".jpg", mask_suffix=".png"
    )
    assert [(pair.image.name, pair.mask.name) for pair in pairs] == [
        ("a.jpg", "a.png"),
        ("b.jpg", "b.png"),
    ]
    assert [path.name for path in left_out] == ["c.jpg", "d.png"]


def test_images_and_masks_are_counted_by_split_and_set(tmp_path):
    touch(tmp_path, *(f"val/cats/{name}" for name in ("im/a.jpg", "gt/a_0.png", "gt/a_1.png")))
    touch(tmp_path, "train/cats/im/b.jpg", "train/cats/gt/b.png")
    assert count_pairs(find_pairs(tmp_path)) == {("val", "cats"): (1, 2), ("train", "cats"): (1, 1)}
