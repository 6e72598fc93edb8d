"""Folders and tables give candidates, and every fault of the pairing at once."""

from pathlib import Path

import pytest

from pasam.data.pairing import PairCandidate, from_csv, from_folders
from pasam.errors import DataError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def table(folder, *lines):
    (folder / "t.csv").write_text("\n".join(lines))
    return folder / "t.csv"


def test_two_folders_are_paired_with_all_masks_of_an_image(tmp_path):
    touch(tmp_path, "im/a.jpg", "im/in/b.jpg", "gt/a_1.png", "gt/a_2.png", "gt/in/b.png")
    source = from_folders(tmp_path / "im", tmp_path / "gt")
    assert source.candidates == (
        PairCandidate(
            image=tmp_path / "im/a.jpg",
            name="a",
            masks=(tmp_path / "gt/a_1.png", tmp_path / "gt/a_2.png"),
        ),
        PairCandidate(
            image=tmp_path / "im/in/b.jpg", name="in/b", masks=(tmp_path / "gt/in/b.png",)
        ),
    )
    assert (source.kind, source.faults) == ("folders", ())


def test_all_that_does_not_pair_is_named(tmp_path):
    touch(tmp_path, "im/a.jpg", "im/a.png", "im/b.jpg", "im/c.jpg", "gt/a.png", "gt/z.png")
    faults = from_folders(tmp_path / "im", tmp_path / "gt").faults
    assert "a.jpg and" in faults[0]
    assert "a.png share a name" in faults[0]
    assert any("b.jpg has no mask" in fault for fault in faults)
    assert any("c.jpg has no mask" in fault for fault in faults)
    assert "z.png belongs to no image" in faults[-1]


def test_one_folder_for_both_takes_jpeg_for_images_and_png_for_masks(tmp_path):
    touch(tmp_path, "a.jpg", "a.png", "b.jpeg", "b_1.png")
    found = from_folders(tmp_path, tmp_path).candidates
    assert [(item.name, [mask.name for mask in item.masks]) for item in found] == [
        ("a", ["a.png"]),
        ("b", ["b_1.png"]),
    ]


def test_one_folder_of_png_files_cannot_be_told_apart(tmp_path):
    with pytest.raises(DataError, match="Put them into two folders"):
        from_folders(touch(tmp_path, "a.png", "b.png"), tmp_path)


@pytest.mark.parametrize(("expression", "group"), [("^[^_]+", "tom"), (r"_(\d+)$", "1")])
def test_a_group_is_found_in_the_name(tmp_path, expression, group):
    touch(tmp_path, "im/tom_1.jpg", "gt/tom_1.png")
    source = from_folders(tmp_path / "im", tmp_path / "gt", group=expression)
    assert source.candidates[0].group == group


def test_a_name_without_the_group_is_a_fault(tmp_path):
    touch(tmp_path, "im/tom.jpg", "gt/tom.png")
    source = from_folders(tmp_path / "im", tmp_path / "gt", group="[0-9]+")
    assert source.faults == ("'[0-9]+' (--group) finds nothing in the name tom.",)


@pytest.mark.parametrize(
    ("images", "group", "message"),
    [
        ("none", None, r"none \(--images\) does not exist"),
        ("empty", None, r"empty \(--images\) holds no JPEG"),
        ("im", "(", "is no regular expression"),
    ],
)
def test_folders_that_cannot_be_read_are_named(tmp_path, images, group, message):
    touch(tmp_path, "im/a.jpg", "gt/a.png", "empty/notes.txt")
    with pytest.raises(DataError, match=message):
        from_folders(tmp_path / images, tmp_path / "gt", group=group)


def test_a_table_gives_masks_splits_and_groups(tmp_path):
    touch(tmp_path, "a.jpg", "a0.png", "a1.png", "b.jpg", "b.png")
    path = table(
        tmp_path, "image,mask,split,group,who", "a.jpg,a0.png,val,g1,x", "b.jpg,b.png,,,",
        "a.jpg,a1.png,val,g1,y",
    )  # fmt: skip
    first, second = from_csv(path).candidates
    assert [mask.name for mask in first.masks] == ["a0.png", "a1.png"]
    assert (first.split, first.group, second.split, second.group) == ("val", "g1", None, None)
    assert from_csv(path, group="who").faults[0].endswith("'who' is empty, but --group names it.")


def test_every_bad_row_is_named_with_its_number(tmp_path):
    touch(tmp_path, "a.jpg", "a.png")
    path = table(
        tmp_path, "image,mask,split", "a.jpg,a.png,train", "a.jpg,gone.png,train", "a.jpg,,train",
        "a.jpg,a.png,test", "a.jpg,a.png,val",
    )  # fmt: skip
    faults = from_csv(path).faults
    assert f"row 3: mask {tmp_path / 'gone.png'} does not exist" in faults[0]
    assert "row 4: 'mask' is empty" in faults[1]
    assert "row 5: split is 'test', expected one of ['train', 'val'] or nothing" in faults[2]
    assert "more than one split" in faults[3]
    assert "lists a mask of" in faults[4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"picture,mask\n",
            r"lacks the columns \['image'\]; it needs .* and has \['picture', 'mask'\]",
        ),
        (b"image,mask\n\xe4,b\n", "is not a CSV file in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        from_csv(tmp_path / "t.csv")


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(DataError, match=r"t\.csv does not exist.* \(--csv\)"):
        from_csv(tmp_path / "t.csv")
