"""Masks find their image by name, in a layout or in a table; what does not pair is named."""

import json
import re
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasam.data.fetch import pair_folders
from pasam.data.imports import SetPlaces, from_annotations
from pasam.data.names.folder_images import list_images
from pasam.data.names.mask_names import match_names
from pasam.data.pairing import (
    Pair,
    count_pairs,
    find_pairs,
    from_csv,
    from_folders,
    registered_sets,
)
from pasam.errors import DataError
from pasam.masks.images import write_png

IM, GT = Path("photos"), Path("masks")


def match(images, masks):
    return match_names(
        [IM / name for name in images], [GT / name for name in masks], image_root=IM, mask_root=GT
    )


def masks_of(images, masks):
    found = match(images, masks).masks_of
    return {
        image.relative_to(IM).as_posix(): [mask.relative_to(GT).as_posix() for mask in of_image]
        for image, of_image in found.items()
    }


def test_masks_are_found_by_name_suffix_and_folder():
    masks = ["a.png", "a_left.png", "b.jpg.png", "c/0.png", "c/deep_1.png", "c/deep/er/2.png"]
    masks += ["d/e.png", "d/e/left/3.png"]
    assert masks_of(["a.jpg", "b.jpg", "c.tif", "d/e.jpg"], masks) == {
        "a.jpg": ["a.png", "a_left.png"],
        "b.jpg": ["b.jpg.png"],
        "c.tif": ["c/0.png", "c/deep_1.png", "c/deep/er/2.png"],
        "d/e.jpg": ["d/e.png", "d/e/left/3.png"],
    }


def test_what_does_not_fit_a_pattern_belongs_to_nothing():
    images = [IM / f"{name}.png" for name in ("1_left", "2_other", "3_other", "left")]
    masks = [GT / f"{name}.png" for name in ("1_inst", "1_color", "4_inst")]
    found = match_names(
        images, masks, image_root=IM, mask_root=GT, pattern="{name}_left={name}_inst"
    )
    assert found.masks_of == {images[0]: (masks[0],)}
    assert found.without_mask == tuple(images[1:])
    assert (found.without_image, found.same_name) == ((masks[2],), ())


@pytest.mark.parametrize(
    "pattern",
    ["{name}", "{name}={name}{name}", "{name}-{name}={name}", "{name}=gt", "im={name}", "", "="],
)
def test_a_pattern_has_the_name_once_on_either_side(pattern):
    with pytest.raises(DataError, match=r"expected IMAGE=MASK with \{name\} once in each"):
        match_names([IM / "a"], [GT / "a"], image_root=IM, mask_root=GT, pattern=pattern)


def test_where_a_pattern_gives_every_image_its_mask_nothing_is_noted(tmp_path):
    touch(tmp_path, "im/a_l.jpg", "im/b/a_l.jpg", "gt/a_m.png", "gt/b/a_m.png", "gt/b/a.png")
    found = from_folders(tmp_path / "im", tmp_path / "gt", pattern="{name}_l={name}_m")
    assert [[one.name, *one.masks] for one in found.candidates] == [
        ["a_l", tmp_path / "gt/a_m.png"], ["b/a_l", tmp_path / "gt/b/a_m.png"]
    ]  # fmt: skip
    assert (found.faults, found.notes) == ((), ())


def test_letters_written_in_two_ways_are_one_also_where_the_suffix_is_kept():
    ways = [unicodedata.normalize(form, "über") for form in ("NFC", "NFD")]
    for image, mask in (ways, ways[::-1]):
        for name in (f"{mask}.png", f"{mask}.jpg.png", f"{mask}_left.png"):
            assert masks_of([f"{image}.jpg"], [name]) == {f"{image}.jpg": [name]}


def test_the_longest_image_name_wins_and_one_with_its_suffix_goes_before_all():
    assert masks_of(["a.jpg", "a_1.jpg"], ["a_1_2.png"]) == {"a_1.jpg": ["a_1_2.png"]}
    assert masks_of(["a.jpg", "a.tif"], ["a.tif.png"]) == {"a.tif": ["a.tif.png"]}
    assert masks_of(["x.jpg", "x/a.jpg"], ["x/a_0.png", "x/b.png"]) == {
        "x.jpg": ["x/b.png"], "x/a.jpg": ["x/a_0.png"]
    }  # fmt: skip


WORDS = ("mask", "masks", "gt", "label", "labels", "seg", "matte", "Mask", "GT")


@pytest.mark.parametrize("mark", ["-", ".", " "])
def test_a_mask_may_be_named_by_one_of_a_few_words_behind_its_images_name(mark):
    named = [f"a{mark}{word}.png" for word in WORDS]
    assert masks_of(["a.jpg"], named) == {"a.jpg": named}
    assert masks_of(["a.jpg"], [f"a{mark}left.png", "amask.png", f"a{mark}mask2.png"]) == {}


def test_what_has_no_partner_is_left():
    found = match(["a.jpg", "b.jpg"], ["a.png", "ab.png", "x/a.png"])
    assert found.without_mask == (IM / "b.jpg",)
    assert found.without_image == (GT / "ab.png", GT / "x/a.png")


def test_images_that_share_a_name_are_told():
    assert match(["a.jpg", "a.png"], ["a.png"]).same_name == ((IM / "a.jpg", IM / "a.png"),)


def test_pictures_are_listed_without_hidden_files_and_deep_on_request(tmp_path):
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "in/c.webp", ".no/d.png", "e.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "b.JPG"]
    assert [path.name for path in list_images(tmp_path, deep=True)] == ["a.png", "b.JPG", "c.webp"]


@given(st.lists(st.text("ab_/", min_size=1).map(lambda text: f"x{text}y"), unique=True))
def test_no_mask_is_lost_or_used_twice(names):
    images = [f"{name}.jpg" for name in names if "//" not in name][::2]
    masks = [f"{name}.png" for name in names if "//" not in name]
    found = match(images, masks)
    used = [mask for of_image in found.masks_of.values() for mask in of_image]
    assert sorted([*used, *found.without_image]) == sorted(GT / name for name in masks)
    assert sorted([*found.masks_of, *found.without_mask]) == sorted(IM / name for name in images)


HEADER = "split,dataset,image,mask,licence\n"


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names(own: Path) -> list[tuple[str, str, str, str]]:
    return [
        (pair.split, pair.dataset, pair.image.name, pair.mask.relative_to(own).as_posix())
        for pair in find_pairs(own)[0]
    ]


def test_a_folder_with_only_a_readme_holds_no_pairs(tmp_path):
    assert find_pairs(touch(tmp_path, "README.md")) == ((), ())


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
    assert find_pairs(tmp_path)[0] == (
        Pair(split="train", dataset="cats", image=tmp_path / "a.jpg", mask=tmp_path / "m/a0.png"),
        Pair(split="train", dataset="cats", image=tmp_path / "a.jpg", mask=tmp_path / "m/a1.png"),
        Pair(split="val", dataset="dogs", image=tmp_path / "b.jpg", mask=tmp_path / "m/b.png"),
    )


def test_a_column_group_says_what_an_image_belongs_to(tmp_path):
    touch(tmp_path, "a.jpg", "b.jpg", "a.png", "b.png")
    (tmp_path / "manifest.csv").write_text(
        "split,dataset,image,mask,group\nval,dogs,a.jpg,a.png,film 1\nval,dogs,b.jpg,b.png,\n"
    )
    assert [pair.group for pair in find_pairs(tmp_path)[0]] == ["film 1", ""]


def test_a_byte_order_mark_before_the_header_is_ignored(tmp_path):
    touch(tmp_path, "a.jpg", "a.png")
    text = HEADER + "train,cats,a.jpg,a.png,\n"
    (tmp_path / "manifest.csv").write_text(text, encoding="utf-8-sig")
    assert len(find_pairs(tmp_path)[0]) == 1


@pytest.mark.parametrize(
    ("row", "kind", "message"),
    [
        ("test,cats,a.jpg,a.png", "bad_row", "row 3: split is 'test', expected one of ['train',"),
        ("train,cats,a.jpg,gone.png", "missing_file", "gone.png does not exist"),
        ("train,cats,gone.jpg,a.png", "missing_file", "gone.jpg does not exist"),
        ("train,,a.jpg,a.png", "bad_row", "row 3: 'dataset' is empty"),
        ("train,cats", "bad_row", "row 3: 'image' is empty"),
        ("train,cats,a.jpg,a.png", "listed_twice", "a.png twice"),
    ],
)
def test_a_bad_row_is_a_fault_and_the_others_stay(tmp_path, row, kind, message):
    touch(tmp_path, "a.jpg", "a.png")
    (tmp_path / "manifest.csv").write_text(HEADER + "train,cats,a.jpg,a.png,\n" + row + "\n")
    pairs, (fault,) = find_pairs(tmp_path)
    assert fault.kind == kind
    assert message in fault.message
    assert [pair.mask.name for pair in pairs] == ["a.png"]


def test_missing_columns_are_named(tmp_path):
    (tmp_path / "manifest.csv").write_text("split,image,label\n")
    with pytest.raises(DataError, match=r"lacks the columns \['dataset', 'mask'\]"):
        find_pairs(tmp_path)


def test_a_csv_in_another_encoding_is_named(tmp_path):
    (tmp_path / "manifest.csv").write_bytes(HEADER.encode() + b"train,c\xe4ts,a,b,\n")
    with pytest.raises(DataError, match="cannot be read as text in UTF-8"):
        find_pairs(tmp_path)


def test_a_layout_pairs_by_name_suffix_and_folder(tmp_path):
    touch(tmp_path, *(f"train/cats/im/{name}" for name in ("a.jpg", "b.png", "c_1.webp", "c.JPG")))
    touch(tmp_path, *(f"train/cats/gt/{name}" for name in ("a.png", "b_left.png", "b_2_x.png")))
    touch(tmp_path, "train/cats/gt/c_1.png", "train/cats/gt/c_1_9.png", "train/cats/gt/c/0.png")
    touch(tmp_path, "val/dogs/im/a.tif", "val/dogs/gt/a.gif", "val/dogs/gt/.hidden.png")
    touch(tmp_path, ".git/im/a.jpg", "val/.cache/a.jpg", "val/dogs/gt/.old/a.png")
    assert names(tmp_path) == [
        ("train", "cats", "a.jpg", "train/cats/gt/a.png"),
        ("train", "cats", "b.png", "train/cats/gt/b_2_x.png"),
        ("train", "cats", "b.png", "train/cats/gt/b_left.png"),
        ("train", "cats", "c.JPG", "train/cats/gt/c/0.png"),
        ("train", "cats", "c_1.webp", "train/cats/gt/c_1.png"),
        ("train", "cats", "c_1.webp", "train/cats/gt/c_1_9.png"),
        ("val", "dogs", "a.tif", "val/dogs/gt/a.gif"),
    ]


@pytest.mark.parametrize(
    ("files", "kind", "message"),
    [
        (["im/b.jpg"], "image_without_mask", "b.jpg has no mask (1 such images in "),
        (["gt/ab.png"], "mask_without_image", "gt/ab.png belongs to no image"),
        (["gt/z/0.png"], "mask_without_image", "gt/z/0.png belongs to no image"),
        (["im/a.png"], "name_taken", "share the name 'a'"),
    ],
)
def test_what_does_not_pair_is_a_fault_and_the_others_stay(tmp_path, files, kind, message):
    base = touch(tmp_path / "train" / "c", "im/a.jpg", "gt/a.png", *files)
    pairs, (fault,) = find_pairs(tmp_path)
    assert (fault.kind, fault.split, fault.dataset) == (kind, "train", "c")
    assert message in fault.message
    assert [(pair.image, pair.mask) for pair in pairs] == [(base / "im/a.jpg", base / "gt/a.png")]


def test_of_two_images_of_one_name_the_second_is_told_of_and_the_first_lacks_its_mask(tmp_path):
    base = touch(tmp_path / "train" / "c", "im/a.jpg", "im/a.png", "gt/b.png", "im/b.jpg")
    pairs, faults = find_pairs(tmp_path)
    assert [(fault.kind, fault.image) for fault in faults] == [
        ("name_taken", base / "im/a.png"), ("image_without_mask", base / "im/a.jpg"),
    ]  # fmt: skip
    assert [pair.image for pair in pairs] == [base / "im/b.jpg"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["train/c/im/a.jpg"], "lacks the folder 'gt'"),
        (["validation/c/im/a.jpg"], r"folder 'validation', expected \['train', 'val'\]"),
    ],
)
def test_a_layout_that_cannot_be_understood_is_refused(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        find_pairs(touch(tmp_path, *files))


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


def test_registered_sets_are_sorted_and_none_are_where_there_is_no_folder(tmp_path):
    assert registered_sets(tmp_path / "nowhere") == []
    names = [f"{number:02}" for number in range(12)]
    touch(tmp_path, *(f"{name}/set.json" for name in names), "loose/a.jpg", ".old/set.json")
    assert [folder.name for folder in registered_sets(tmp_path)] == names


def test_images_and_masks_in_one_folder_are_told_apart_by_suffix(tmp_path):
    touch(tmp_path, "a.jpg", "a.PNG", "B.JPG", "B.png", "c.jpg", "d.png", "e.bmp")
    for suffixes in ((".jpg", ".png"), (".JPG", ".PNG")):
        given = dict(zip(("image_suffix", "mask_suffix"), suffixes, strict=True))
        pairs, left_out = pair_folders(tmp_path, tmp_path, split="train", dataset="x", **given)
        assert [(pair.split, pair.dataset, pair.image.name, pair.mask.name) for pair in pairs] == [
            ("train", "x", "B.JPG", "B.png"), ("train", "x", "a.jpg", "a.PNG")
        ]  # fmt: skip
        assert [path.name for path in left_out] == ["c.jpg", "d.png"]


def test_an_image_of_a_table_is_called_by_its_path_unless_that_is_one_machines(tmp_path):
    touch(tmp_path, "day/a.jpg", "a.png", "b.png")
    (tmp_path / "t.csv").write_text(
        f"image,mask\nday/a.jpg,a.png\n{tmp_path}/day/a.jpg,{tmp_path}/b.png\n"
    )
    found = from_csv(tmp_path / "t.csv")
    assert (found.candidates[0].name, found.faults) == ("day/a", ())
    (tmp_path / "t.csv").write_text(f"image,mask\n{tmp_path}/day/a.jpg,{tmp_path}/b.png\n")
    assert [one.name for one in from_csv(tmp_path / "t.csv").candidates] == ["a"]


def test_masks_of_one_name_in_two_folders_of_a_table_are_two_and_a_row_tells_all_its_faults(
    tmp_path,
):
    touch(tmp_path, "a.jpg", "l/0.png", "r/0.png")
    (tmp_path / "t.csv").write_text("image,mask\na.jpg,l/0.png\nb.jpg,m/0.png\na.jpg,r/0.png\n")
    found = from_csv(tmp_path / "t.csv")
    assert [one.masks for one in found.candidates] == [(tmp_path / "l/0.png", tmp_path / "r/0.png")]
    assert [fault.split(" does not exist")[0] for fault in found.faults] == [
        f"{tmp_path / 't.csv'}, row 3: image {tmp_path}/b.jpg",
        f"{tmp_path / 't.csv'}, row 3: mask {tmp_path}/m/0.png",
    ]


def test_a_set_called_as_a_row_of_sums_is_refused(tmp_path):
    touch(tmp_path, "val/mean/im/a.jpg", "val/mean/gt/a.png")
    with pytest.raises(DataError, match="has a data set 'mean'.* Rename it"):
        find_pairs(tmp_path)


def test_images_and_masks_are_counted_by_split_and_set(tmp_path):
    touch(tmp_path, *(f"val/cats/{name}" for name in ("im/a.jpg", "gt/a_0.png", "gt/a_1.png")))
    touch(tmp_path, "train/cats/im/b.jpg", "train/cats/gt/b.png")
    assert count_pairs(find_pairs(tmp_path)[0]) == {
        ("val", "cats"): (1, 2),
        ("train", "cats"): (1, 1),
    }


def test_a_folder_that_two_links_lead_to_is_listed_under_both(tmp_path):
    (tmp_path / "store" / "in").mkdir(parents=True)
    (tmp_path / "store" / "in" / "a.png").touch()
    (tmp_path / "im").mkdir()
    for name in ("one", "two"):
        (tmp_path / "im" / name).symlink_to(tmp_path / "store")
    found = list_images(tmp_path / "im", deep=True)
    assert found == [tmp_path / "im" / name / "in" / "a.png" for name in ("one", "two")]


def test_images_of_one_name_in_two_folders_are_two_images():
    pairs = [
        Pair(split="val", dataset="cats", image=Path(folder, "a.png"), mask=Path("gt", f"{n}.png"))
        for n, folder in enumerate(("im/one", "im/two", "im/two"))
    ]
    assert count_pairs(pairs) == {("val", "cats"): (2, 3)}


def test_a_mask_that_a_table_names_for_two_images_is_two_pairs_and_no_entry_too_many(tmp_path):
    touch(tmp_path, "a.jpg", "b.jpg", "m.png")
    rows = ["train,cats,a.jpg,m.png", "train,cats,b.jpg,m.png"]
    (tmp_path / "manifest.csv").write_text("\n".join(["split,dataset,image,mask", *rows]))
    pairs, faults = find_pairs(tmp_path)
    assert [(pair.image.name, pair.mask.name) for pair in pairs] == [
        ("a.jpg", "m.png"),
        ("b.jpg", "m.png"),
    ]
    assert faults == ()


@pytest.mark.parametrize("deep", [False, True])
def test_a_link_that_leads_nowhere_is_listed_for_its_reader_to_refuse(tmp_path, deep):
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    touch(tmp_path, "a.png")
    assert list_images(tmp_path, deep=deep) == [tmp_path / "a.png", tmp_path / "gone.png"]


def labels_of(folder, **files):
    """A folder of YOLO's labels beside one of images."""
    touch(folder, *(f"im/{name}.jpg" for name in files))
    (folder / "labels").mkdir()
    for name, text in files.items():
        (folder / "labels" / f"{name}.txt").write_text(text)
    return folder / "labels"


@pytest.mark.parametrize("line", ["0,0.1,0.1,0.9,0.1,0.9,0.9", "images/a.jpg", "0"])
def test_a_line_of_yolos_without_numbers_is_refused_by_its_place(line, tmp_path):
    labels = labels_of(tmp_path, a=f"0 0.1 0.1 0.9 0.1 0.9 0.9\n\n{line}\n")
    write_png(tmp_path / "im" / "a.jpg", np.zeros((8, 8, 3), np.uint8))
    source = from_annotations(labels, SetPlaces(images=tmp_path / "im"))
    assert [mask.label for mask in source.candidates[0].encoded] == ["1"]
    (fault,) = source.faults
    assert f"a.txt, line 3: '{line}' is not YOLO's" in fault


SQUARE = [[1, 1], [6, 1], [6, 5], [1, 5]]


def read_json(tmp_path, content, name="a.json", size=(6, 8)):
    """Read annotations of an image a.png of this height and width."""
    write_png(tmp_path / "im" / "a.png", np.zeros((*size, 3), np.uint8))
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / name).write_text(text)
    return from_annotations(tmp_path / name, SetPlaces(images=tmp_path / "im"))


def labelme(*shapes):
    return {"imagePath": "a.png", "imageHeight": 6, "imageWidth": 8, "shapes": shapes}


GOOD_SHAPE = {"label": "cat", "points": SQUARE, "shape_type": "polygon"}
CVAT = (
    '<annotations><image name="a.png" width="8" height="6">{}'
    '<polygon label="cat" points="1,1;6,1;6,5;1,5"/></image></annotations>'
)
SHARES = [[x / 8 * 100, y / 6 * 100] for x, y in SQUARE]
GOOD_RESULT = {"type": "polygonlabels", "value": {"points": SHARES}}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", labelme({**GOOD_SHAPE, "shape_type": "mask"}, GOOD_SHAPE), r"shape 1 'cat' is"),
        ("a.json", labelme({"label": "cat"}, GOOD_SHAPE), r"shape 1 'cat' is .*'points'"),
        (
            "a.xml",
            CVAT.format('<mask label="cat" rle="1,2" left="1" top="1" width="3" height="3"/>'),
            "image a.png, mask 1 is .* a mask of 3 pixels in a box of 3 x 3",
        ),
        (
            "a.json",
            {"x": {"filename": "a.png", "regions": [
                {"shape_attributes": {"name": "polygon", "all_points_x": [1], "all_points_y": []}},
                {"shape_attributes": {
                    "name": "polygon", "all_points_x": [1, 6, 6, 1], "all_points_y": [1, 1, 5, 5]
                }},
            ]}},
            "region 1 is not written",
        ),
        (
            "a.json",
            [{"id": 5, "data": {"image": "a.png"}, "annotations": [{"result": [
                {"type": "brushlabels", "original_width": 8, "original_height": 6,
                 "value": {"format": "rle", "rle": [0, 1, 2]}},
                GOOD_RESULT,
            ]}]}],
            "task 5, 1 is .*breaks off",
        ),
    ],
)  # fmt: skip
def test_one_bad_object_is_named_and_the_others_are_read(tmp_path, name, content, message):
    source = read_json(tmp_path, content, name)
    (fault,) = source.faults
    assert re.search(message, fault)
    (candidate,) = source.candidates
    assert [mask.size for mask in candidate.encoded] == [(6, 8)]


def test_a_bad_part_of_a_group_leaves_no_half_of_its_object(tmp_path):
    parts = [{**GOOD_SHAPE, "group_id": 1}, {"label": "cat", "group_id": 1}]
    source = read_json(tmp_path, labelme(*parts))
    assert source.candidates == ()
    assert len(source.faults) == 1


@pytest.mark.parametrize(
    "bad", ["{", "{}", '{"shapes": []}', json.dumps(labelme({"points": SQUARE}))]
)
def test_one_bad_file_of_a_folder_is_named_and_the_others_are_read(tmp_path, bad):
    read_json(tmp_path, labelme(GOOD_SHAPE))
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / "a.json").write_text(json.dumps(labelme(GOOD_SHAPE)))
    (tmp_path / "j" / "b.json").write_text(bad)
    source = from_annotations(tmp_path / "j", SetPlaces(images=tmp_path / "im"))
    assert len(source.candidates) == 1
    (fault,) = source.faults
    assert "b.json" in fault


def test_of_several_annotators_the_first_with_an_object_counts(tmp_path):
    answers = [{"result": []}, {"result": [GOOD_RESULT]}]
    task = {"id": 5, "data": {"image": "a.png"}, "annotations": answers}
    source = read_json(tmp_path, [task])
    assert len(source.candidates[0].encoded) == 1
    only = {"id": 6, "data": {"image": "a.png"}, "predictions": [{"result": [GOOD_RESULT]}]}
    source = read_json(tmp_path, [task, only])
    assert "1 tasks that have predictions only are left out, no masks" in source.notes


def coco(*annotations):
    image = {"id": 1, "file_name": "a.png", "height": 6, "width": 8}
    numbered = [{"id": n, "image_id": 1, **each} for n, each in enumerate(annotations, 1)]
    return {"images": [image], "annotations": numbered, "categories": []}


def test_cocos_boxes_and_what_it_says_to_ignore_are_left_out_with_a_note(tmp_path):
    drawn = {"segmentation": [[1, 1, 6, 1, 6, 5, 1, 5]]}
    content = coco(drawn, {**drawn, "ignore": 1}, {"bbox": [1, 2, 3, 3], "segmentation": []})
    source = read_json(tmp_path, content)
    assert [mask.label for mask in source.candidates[0].encoded] == ["1"]
    assert "1 boxes are left out, no masks" in source.notes
    assert "1 annotations marked ignore are left out; see --crowds" in source.notes
    assert source.faults == ()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.json", [{"image_id": 1, "segmentation": []}], "is COCO's list of results"),
        ("p.json", coco({"segments_info": []}), "is COCO's panoptic form"),
        ("data.yaml", "train: images", "YOLO's annotations are a folder"),
        ("a.txt", "0 0 0 1 0 1 1", "YOLO's annotations are a folder"),
        ("via.csv", "filename,file_size\n", "VIA's annotations are read as JSON"),
    ],
)
def test_what_is_no_set_by_itself_is_refused_with_what_to_do(tmp_path, name, content, message):
    with pytest.raises(DataError, match=message):
        read_json(tmp_path, content, name)


def test_folders_within_a_folder_of_annotations_are_read_where_all_lie_in_them(tmp_path):
    labels = labels_of(tmp_path, a="0 0.1 0.1 0.9 0.1 0.9 0.9\n", classes="cat")
    for name in ("train", "val"):
        write_png(tmp_path / "im" / name / "a.png", np.zeros((8, 8, 3), np.uint8))
        (labels / name).mkdir()
        shutil.copy(labels / "a.txt", labels / name / "a.txt")
    (labels / "a.txt").unlink()
    source = from_annotations(labels, SetPlaces(images=tmp_path / "im", categories=["cat"]))
    assert [one.name for one in source.candidates] == ["train/a", "val/a"]
    assert (source.faults, source.notes) == ((), ())
    for name in ("train", "val"):
        shutil.rmtree(labels / name)
        (labels / name).mkdir()
        (labels / name / "a.json").write_text(json.dumps(labelme(GOOD_SHAPE)))
    source = from_annotations(labels, SetPlaces(images=tmp_path / "im"))
    assert [one.name for one in source.candidates] == ["train/a", "val/a"]
    (labels / "annotations.xml").write_text("<annotations/>")
    with pytest.raises(DataError, match=r"Name its annotations\.xml itself"):
        from_annotations(labels, SetPlaces(images=tmp_path / "im"))


def test_folders_beside_annotations_that_are_read_are_noted(tmp_path):
    read_json(tmp_path, labelme(GOOD_SHAPE))
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "b.json").touch()
    source = from_annotations(tmp_path, SetPlaces(images=tmp_path / "im"))
    assert f"folders in {tmp_path} are not read: more" in source.notes


def test_yolos_corners_in_pixels_are_said_to_be_pixels(tmp_path):
    labels = labels_of(tmp_path, a="0 1 1 60 1 60 50 1 50\n")
    write_png(tmp_path / "im" / "a.jpg", np.zeros((64, 96, 3), np.uint8))
    (fault,) = from_annotations(labels, SetPlaces(images=tmp_path / "im")).faults
    assert (
        "has the coordinate 60, expected a fraction of the image from 0 to 1, not pixels" in fault
    )


def test_whole_names_that_look_alike_go_together_where_one_image_fits():
    found = match(["IMG A.JPG", "b.jpg", "c.jpg", "C.png"], ["img\u00a0a.png", "B.png", "c.png"])
    assert [(image.name, mask.name) for image, mask in found.alike] == [
        ("IMG A.JPG", "img\u00a0a.png"), ("b.jpg", "B.png")
    ]  # fmt: skip
    assert (found.masks_of[IM / "c.jpg"], found.without_mask) == ((GT / "c.png",), (IM / "C.png",))
    torn = match(["a.jpg", "A.jpg", "x2.jpg", "b.jpg"], ["a .png", "x\u00b2.png", "B_7.png"])
    assert (torn.alike, len(torn.without_image)) == ((), 3)


def test_a_layout_of_folders_in_folders_is_paired_by_whole_names(tmp_path):
    files = [f"train/cats/{kind}/{who}/1.png" for kind in ("im", "gt") for who in "ab"]
    pairs, faults = find_pairs(touch(tmp_path, *files))
    assert [(pair.image.parent.name, pair.mask.parent.name) for pair in pairs] == [
        ("a", "a"),
        ("b", "b"),
    ]
    assert faults == ()
