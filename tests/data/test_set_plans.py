"""Names and splits follow from the images alone, and no two files get one name."""

import json
import math
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from pasam.data.coco import from_coco
from pasam.data.inspection import FoundObject, Inspected
from pasam.data.names.folder_images import list_images
from pasam.data.own_sets import held_out, make_plan, split_of
from pasam.data.pairing import EncodedMask, PairCandidate, from_csv, from_folders
from pasam.errors import DataError
from pasam.masks.images import write_png
from pasam.masks.run_lengths import area, decode


def item(name, *objects, sha="", group=None, split=None, masks=("m.png",)):
    files = tuple(Path(mask) for mask in masks)
    objects = objects or ((files[0], "", "0/255"),)
    return Inspected(
        candidate=PairCandidate(
            image=Path(f"{name}.JPG"), name=name, masks=files, group=group, split=split
        ),
        sha256=sha or name,
        objects=tuple(
            FoundObject(origin=origin, label=label, kind=kind, pixels=9, sha256="0")
            for origin, label, kind in objects
        ),
        faults=(),
    )


def plan(*items, val_fraction=0.0):
    return make_plan("cats", "folders", items, val_fraction=val_fraction)


def masks(*items):
    return [str(mask.target) for image in plan(*items).images for mask in image.masks]


def test_a_single_mask_is_called_like_its_image():
    rows = [("train", "cats", "im/in-a.jpg", "gt/in-a.png", "")]
    assert list(plan(item("in/a")).rows()) == list(plan(item("../in/./a")).rows()) == rows


def test_several_masks_keep_what_tells_them_apart():
    left, right = Path("a_lama.png"), Path("other.png")
    objects = [(left, "", "0/1"), (right, "", "0/1")]
    assert masks(item("a", *objects, masks=(left, right))) == ["gt/a_lama.png", "gt/a_other.png"]
    files = (Path("x/a.png"), Path("a - 2_.png"))  # of which one adds nothing to the image's name
    named = masks(item("a", *((file, "", "0/1") for file in files), masks=files))
    assert named == ["gt/a_a.png", "gt/a_2.png"]


def test_objects_of_an_index_mask_are_called_by_their_number():
    objects = [(Path("m.tif"), label, "index") for label in ("1", "2")]
    assert masks(item("a", *objects, masks=("m.tif",))) == ["gt/a_1.png", "gt/a_2.png"]


def test_objects_of_a_coco_file_are_called_by_their_annotation():
    code = EncodedMask(label="7", size=(1, 1), counts="")
    assert masks(item("a", (code, "7", "coded in COCO"), masks=("m.png",))) == ["gt/a_7.png"]


def test_a_name_that_is_taken_gets_a_number():
    taken = item("a_1")
    numbered = item("a", (Path("m.png"), "1", "index"))
    assert masks(numbered, taken) == ["gt/a_1.png", "gt/a_1_2.png"]


@given(st.lists(st.text("aA_/.", min_size=1), min_size=1, max_size=8))
def test_every_file_has_its_own_name_inside_the_set(names):
    made = plan(*(item(f"x{name}", sha=str(n)) for n, name in enumerate(names)))
    for targets in (
        [image.target for image in made.images],
        [mask.target for image in made.images for mask in image.masks],
    ):
        assert len({str(target).casefold() for target in targets}) == len(names)
        assert all(len(t.parts) == 2 and not t.name.startswith(".") for t in targets)


@given(st.permutations([item(f"{n // 3}", sha=f"{n}") for n in range(6)]))
def test_the_order_of_the_source_changes_nothing(items):
    in_order = plan(*(item(f"{n // 3}", sha=f"{n}") for n in range(6)), val_fraction=0.5)
    assert plan(*items, val_fraction=0.5).description() == in_order.description()
    assert [one.target.stem for one in in_order.images] == ["0", "0_2", "0_3", "1", "1_2", "1_3"]


def test_other_images_do_not_move_a_picture_to_the_other_split():
    few = plan(*(item(f"{n}") for n in range(10)), val_fraction=0.4)
    more = plan(*(item(f"{n}") for n in range(30)), val_fraction=0.4)
    splits = {image.target: image.split for image in more.images}
    assert all(splits[image.target] == image.split for image in few.images)


def test_a_group_is_not_torn_apart_and_copies_stay_together():
    grouped = [item(f"{n}", group=f"g{n // 5}") for n in range(40)]
    sides = {}
    for image in plan(*grouped, val_fraction=0.5).images:
        sides.setdefault(image.inspected.candidate.group, set()).add(image.split)
    assert {len(found) for found in sides.values()} == {1}
    assert len({side for found in sides.values() for side in found}) == 2
    assert plan(*(item(f"{n}", sha="same") for n in range(9))).count("train") == (9, 9)


def test_a_split_that_the_source_gives_stays():
    with_a = [item(f"c{n}", group="of a") for n in range(9)]  # a group is not torn for it
    made = plan(item("a", split="val", group="of a"), item("b", split="train"), *with_a)
    assert [image.split for image in made.images] == ["val", "train", *["val"] * 9]


def test_what_the_source_decides_takes_nothing_from_the_share_of_the_others():
    given = [item(f"given{n}", split="val") for n in range(20)]
    for trial in "abcdefgh":
        free = [item(f"{n}", group=f"{trial}{n % 10}") for n in range(20)]
        made = plan(*given, *free, val_fraction=0.2)
        chosen = {one.inspected.candidate.group for one in made.images if one.split == "val"}
        assert chosen - {None} == held_out([f"{trial}{n}" for n in range(10)], val_fraction=0.2)
        assert made.count("val") == (20 + 2 * len(chosen - {None}),) * 2
    assert plan(item("a", split="train"), val_fraction=0.5).count("train") == (1, 1)


def test_one_image_cannot_be_in_both_splits():
    with pytest.raises(DataError, match=r"'cats' is one image or group, and --val-fraction 0.5"):
        plan(item("a"), val_fraction=0.5)
    given = item("b", split="val", group="a")
    assert plan(item("a", group="a"), given, val_fraction=0.5).count("val") == (2, 2)
    assert plan(item("a"), val_fraction=1.0).count("val") == (1, 1)
    assert plan(item("a"), val_fraction=0.0).count("val") == (0, 0)


@pytest.mark.parametrize(("images", "share", "least"), [(20, 0.2, 4), (10, 0.2, 2), (3, 0.2, 1)])
def test_a_small_set_has_its_share_held_out(images, share, least):
    for other in range(60):  # the hash alone held one or none of twenty out in four of these
        keys = [f"{other}-{number}" for number in range(images)]
        made = plan(*(item(key, sha=key) for key in keys), val_fraction=share)
        assert least <= made.count("val")[0] < images
        by_hash = {key for key in keys if split_of(key, val_fraction=share) == "val"}
        held = held_out(keys, val_fraction=share)
        assert by_hash <= held or by_hash == set(keys)
    assert len(held_out(["a", "b"], val_fraction=0.99)) == 1, "one is left to learn from"


def test_the_description_counts_and_tells_contents_apart():
    one = plan(item("a", sha="1"))
    assert one.description()["train"] == {"images": 1, "masks": 1}
    assert one.description()["mask_kinds"] == {"0/255": 1}
    assert one.kinds() == {"0/255": (1, 1)}
    assert one.description() != plan(item("a", sha="2")).description()
    of_groups = [plan(item("a", sha="1", group=name)).description() for name in ("ann", "bob")]
    assert one.description() not in of_groups  # intervals resample what a group is
    assert of_groups[0] != of_groups[1]


KEYS = [f"{number:064x}" for number in range(2000)]


@pytest.mark.long
@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_takes_nothing_back_from_val(key, one, other):
    if split_of(key, val_fraction=min(one, other)) == "val":
        assert split_of(key, val_fraction=max(one, other)) == "val"


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_about_the_share_is_held_out(share):
    count = len(held_out(KEYS, val_fraction=share))
    assert share * len(KEYS) <= count == pytest.approx(share * len(KEYS), abs=60)


@given(st.sets(st.text(), max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_of_few_takes_nothing_back_either(keys, one, other):
    less, more = (held_out(keys, val_fraction=share) for share in sorted((one, other)))
    assert less <= more


def test_however_few_there_are_some_are_held_out_and_some_are_not():
    sizes = [(n, len(held_out(KEYS[:n], val_fraction=s))) for n in range(1, 30) for s in (0.1, 0.9)]
    assert all(min(count - 1, 1) <= held < count for count, held in sizes)


def test_no_share_and_the_whole_share_are_exact():
    assert {split_of(key, val_fraction=0) for key in KEYS} == {"train"}
    assert {split_of(key, val_fraction=1) for key in KEYS} == {"val"}


def test_the_split_is_the_same_on_every_machine_and_day():
    assert [split_of(key, val_fraction=0.5) for key in "abcdef"] == [
        "train", "val", "val", "val", "val", "val",
    ]  # fmt: skip


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
    touch(tmp_path, "a.JPG", "a.PNG", "b.JPEG", "b_1.png", "c.tif")
    found = from_folders(tmp_path, tmp_path).candidates
    assert [(item.name, [mask.name for mask in item.masks]) for item in found] == [
        ("a", ["a.PNG"]), ("b", ["b_1.png"])
    ]  # fmt: skip


def test_one_folder_of_png_files_cannot_be_told_apart(tmp_path):
    with pytest.raises(DataError, match="Put them into two folders"):
        from_folders(touch(tmp_path, "a.png", "b.png"), tmp_path)


@pytest.mark.parametrize(
    ("expression", "group"), [("^[^_]+", "tom"), ("(t.*)_(.)", "tom"), (r"_(\d+)$", "1")]
)
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
        ("empty", None, r"empty \(--images\) holds no file that ends in .*\.png"),
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
    alone = table(tmp_path, "image,mask,group,who", "b.jpg,b.png,g1,ann")
    assert [one.group for one in from_csv(alone, group="who").candidates] == ["ann"]
    table(tmp_path, "image,mask,split,group,who", "a.jpg,a0.png,,,x", "a.jpg,a1.png,,,y")
    assert "more than one who. Keep one." in from_csv(path, group="who").faults[0]
    table(
        tmp_path, "image,mask,split,group,who", "a.jpg,a0.png,val,g1,x", "b.jpg,b.png,,,",
    )  # fmt: skip
    (said,) = from_csv(path, group="who").faults
    assert said.endswith("'who' is empty. Fill it in, or remove the row.")


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
        (b"image,mask\n\xe4,b\n", "cannot be read as text in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        from_csv(tmp_path / "t.csv")


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(DataError, match=r"t\.csv does not exist.* \(--csv\)"):
        from_csv(tmp_path / "t.csv")


MASK = np.zeros((6, 8), np.uint8)
MASK[1:4, 2:5] = 1


def compressed(mask=MASK):
    code = coco_mask.encode(np.asfortranarray(mask))
    return {"size": code["size"], "counts": code["counts"].decode()}


def counted(mask=MASK):
    flat = mask.flatten(order="F").astype(int)
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]
    runs = np.diff(edges).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs}


def write(folder, *annotations, images=None):
    images = images or [{"id": 1, "file_name": "a.jpg", "height": 6, "width": 8, "video": "v"}]
    for image in images:
        (folder / image["file_name"]).touch()
    content = {
        "images": images,
        "annotations": [{"id": n, "image_id": 1, **it} for n, it in enumerate(annotations, 1)],
    }
    (folder / "c.json").write_text(json.dumps(content))
    return folder / "c.json"


@pytest.mark.parametrize(
    "drawn",
    [compressed(), counted(), [[2, 1, 5, 1, 5, 4, 2, 4]]],
    ids=["compressed", "counts", "polygon"],
)
def test_each_form_is_drawn(tmp_path, drawn):
    source = from_coco(write(tmp_path, {"segmentation": drawn}), tmp_path)
    ((mask,),) = [item.encoded for item in source.candidates]
    assert source.faults == ()
    code = {"size": list(mask.size), "counts": mask.counts}
    assert (mask.label, mask.size, area(code)) == ("1", (6, 8), 9)
    assert np.array_equal(decode(code), MASK)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.just(0)))
def test_an_empty_mask_is_a_fault(tmp_path_factory, mask):
    folder = tmp_path_factory.mktemp("coco")
    images = [{"id": 1, "file_name": "a.jpg", "height": mask.shape[0], "width": mask.shape[1]}]
    path = write(folder, {"segmentation": counted(mask)}, images=images)
    assert from_coco(path, folder).faults == (f"{path}: annotation 1 marks no pixel.",)


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        ({"size": [6, 8], "counts": [3]}, "has a run-length code of 3 pixels, expected 48"),
        ({"size": [6, 8], "counts": "P0"}, "has a run-length code of .* pixels, expected 48"),
        ({"size": [6, 8], "counts": "\x01x"}, "cannot be drawn"),
        ({"size": [6, 8], "counts": [-5, 53]}, "has a run-length code of other than whole"),
        ({"size": [6, 8], "counts": [4.5, 43.5]}, "has a run-length code of other than whole"),
        (compressed(MASK.T), r"drawn on 8 x 6 pixels \(height x width\).* said to have 6 x 8"),
        ([[1, 1]], "has a polygon of 2 numbers, expected .*3 points or more"),
        ([[1, 1, 5, 5]], "has a polygon of 4 numbers"),
        ([[[1, 1, 0], [5, 1, 0], [5, 4, 0], [1, 4, 0]]], "has a polygon of 4 numbers"),
        ([["a"] * 6], "has the coordinate 'a', expected a finite number"),
        ([[1, 1, math.nan, 1, 5, 5]], "has the coordinate nan"),
        ([[1, 1, None, 1, 5, 5]], "has the coordinate None"),
        ([[1, 1, math.inf, 1, 5, 5]], "has the coordinate inf"),
        ([[1, 1, 1e10, 1, 5, 5]], "has the coordinate 10000000000.0"),
        ([[1, 1, -9, 1, 5, 5]], "has the coordinate -9"),
        ("x", "has the segmentation 'x', expected polygons or run lengths"),
        ([], "has no segmentation; a box alone is no mask"),
    ],
)
def test_a_damaged_segmentation_is_named(tmp_path, drawn, message):
    source = from_coco(write(tmp_path, {"segmentation": drawn}), tmp_path)
    (fault,) = source.faults
    assert "annotation 1" in fault
    with pytest.raises(DataError, match=message):
        raise DataError(fault)


def test_crowds_and_images_without_objects_are_left_out_and_told(tmp_path):
    images = [{"id": n, "file_name": f"{n}.jpg", "height": 6, "width": 8} for n in (1, 2)]
    drawn = {"segmentation": compressed()}
    path = write(tmp_path, drawn, {**drawn, "iscrowd": 1}, images=images)
    source = from_coco(path, tmp_path)
    assert [item.name for item in source.candidates] == ["1"]
    assert "1 crowd annotations are left out" in source.notes
    assert any("--crowds" in note for note in source.notes)
    assert "1 images without an object are left out" in source.notes
    taken = from_coco(path, tmp_path, crowds=True)
    assert [len(item.encoded) for item in taken.candidates] == [2]


@pytest.mark.parametrize(
    "drawn",
    [
        [2, 1, 5, 1, 5, 4, 2, 4],
        [[2, 1], [5, 1], [5, 4], [2, 4]],
        [[[2, 1], [5, 1], [5, 4], [2, 4]]],
    ],
    ids=["flat, as of VIA", "points", "points in a list"],
)
def test_polygons_are_drawn_as_tools_write_them(tmp_path, drawn):
    source = from_coco(write(tmp_path, {"segmentation": drawn}), tmp_path)
    assert source.faults == ()
    assert np.array_equal(decode(source.candidates[0].encoded[0].code()), MASK)


def coco_file(folder, images, annotations, **more):
    content = {"images": images, "annotations": annotations, **more}
    (folder / "c.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(content).encode())
    return folder / "c.json"


def test_what_tools_do_to_ids_crowds_sizes_and_paths_is_understood(tmp_path):
    (tmp_path / "im/day").mkdir(parents=True)
    for name in ("day/a.png", "b.png", "c.png"):
        write_png(tmp_path / "im" / name, np.zeros((6, 8, 3), np.uint8))
    images = [
        {"id": "1", "file_name": "day\\a.png", "height": 6, "width": 8},
        {"id": 2.0, "file_name": "/data/upload/3/b.png", "height": 0, "width": 0},
        {"id": 3, "file_name": "../../media/c.png"},
    ]
    annotations = [
        {"id": f"x/../{key}", "image_id": key, "iscrowd": "0", "segmentation": [2, 1, 5, 1, 5, 4]}
        for key in (1, "2", 3)
    ]
    source = from_coco(coco_file(tmp_path, images, annotations), tmp_path / "im")
    assert source.faults == ()
    assert [item.name for item in source.candidates] == ["day/a", "b", "c"]
    assert [item.encoded[0].label for item in source.candidates] == ["x-1", "x-2", "x-3"]
    assert "2 images were found by the last part of their path" in source.notes[0]


@pytest.mark.parametrize(
    ("name", "found", "way"),
    [
        ("images/3fa2b1c4-a.png", "a", "without the prefix of Label Studio's upload"),
        ("3fa2b1c4-b_c_1.png", "day/b c (1)", "without the prefix of Label Studio's upload"),
        ("/data/upload/7/0f3c2d1e-%C3%A9.png", "é", "without the prefix"),
        ("day/b%20c%20(1).png", "day/b c (1)", "without the per cent codes"),
        ("s3://bucket/b%20c%20(1).png", "day/b c (1)", "without the per cent codes"),
        ("day/x%20y.png", "day/x y", "without the per cent codes"),  # not x%20y, elsewhere
        ("100%.png", "100%", None),
        ("x%20y.png", "x%20y", None),  # the image's own name
        ("deadbeef-x.png", "deadbeef-x", None),
        ("b c (1).png", "day/b c (1)", "the last part of their path"),
        ("C:\\photos\\night\\same.png", "night/same", "the last part of their path"),
        ("e\u0301.png", "é", None),
    ],
)
def test_an_image_is_found_by_a_name_that_tools_have_changed(tmp_path, name, found, way):
    in_day_and_night = ("day/b c (1)", "day/same", "night/same", "day/x y")
    for file in ("a", "é", "100%", "x%20y", "x y", "deadbeef-x", "x", *in_day_and_night):
        (tmp_path / "im" / file).parent.mkdir(parents=True, exist_ok=True)
        write_png(tmp_path / f"im/{file}.png", np.zeros((6, 8, 3), np.uint8))
    drawn = [{"id": 1, "image_id": 1, "segmentation": [[2, 1, 5, 1, 5, 4]]}]
    file = coco_file(tmp_path, [{"id": 1, "file_name": name}], drawn)
    source = from_coco(file, tmp_path / "im")
    assert source.faults == ()
    assert [item.name for item in source.candidates] == [found]
    assert (way is None and source.notes == ()) or way in source.notes[0]


@pytest.mark.parametrize("name", ["same.png", "3fa2b1c4-same.png", "other/same.png"])
def test_an_image_that_may_be_one_of_two_is_refused_with_both(tmp_path, name):
    for folder in ("day", "night"):
        (tmp_path / "im" / folder).mkdir(parents=True)
        write_png(tmp_path / f"im/{folder}/same.png", np.zeros((6, 8, 3), np.uint8))
    drawn = [{"id": 1, "image_id": 1, "segmentation": [[2, 1, 5, 1, 5, 4]]}]
    file = coco_file(tmp_path, [{"id": 1, "file_name": name}], drawn)
    (fault,) = from_coco(file, tmp_path / "im").faults
    assert f"{name} may be any of ['day/same.png', 'night/same.png']" in fault
    assert "Write its place below --images" in fault


def test_two_images_of_one_id_are_refused(tmp_path):
    images = [{"id": key, "file_name": name} for key, name in ((1, "a.png"), ("1", "b.png"))]
    with pytest.raises(DataError, match=r"two images have the same id 1: \['a.png', 'b.png'\]"):
        from_coco(coco_file(tmp_path, images, []), tmp_path)


def test_categories_can_be_chosen(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((6, 8, 3), np.uint8))
    path = coco_file(
        tmp_path,
        [{"id": 1, "file_name": "a.png", "height": 6, "width": 8}],
        [
            {"id": n, "image_id": 1, "category_id": n, "segmentation": [2, 1, 5, 1, 5, 4]}
            for n in (1, 2)
        ],
        categories=[{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    )
    source = from_coco(path, tmp_path, categories=["dog"])
    assert [mask.label for mask in source.candidates[0].encoded] == ["2"]
    assert "1 annotations of other categories are left out" in source.notes
    with pytest.raises(DataError, match=r"no category \['cow'\] .*only \['cat', 'dog'\]"):
        from_coco(path, tmp_path, categories=["cow"])


def test_names_in_another_unicode_form_pair_and_links_are_followed(tmp_path):
    name = "straße_é"
    touch(tmp_path, f"store/{unicodedata.normalize('NFC', name)}.jpg")
    touch(tmp_path, f"gt/{unicodedata.normalize('NFD', name)}.png", "gt/.hidden.png")
    (tmp_path / "im").mkdir()
    (tmp_path / "im/linked").symlink_to(tmp_path / "store")
    (tmp_path / "gt/linked").symlink_to(tmp_path / "gt")  # a loop is left
    (tmp_path / "store/up").symlink_to(tmp_path / "im")
    assert len(list_images(tmp_path / "im", deep=True)) == 1
    found = from_folders(tmp_path / "store", tmp_path / "gt")
    assert (len(found.candidates), found.faults) == (1, ())


def test_a_name_that_is_no_utf_8_is_told_in_characters_that_can_be_printed(tmp_path):
    touch(tmp_path, "gt/a.png", "im/b.png")
    (tmp_path / "im" / os.fsdecode(b"caf\xe9.jpg")).touch()
    with pytest.raises(DataError, match=r"caf\\xe9.jpg is no UTF-8"):
        from_folders(tmp_path / "im", tmp_path / "gt")


def test_pairs_can_be_named_by_a_pattern(tmp_path):
    touch(tmp_path, "im/x/1_leftImg8bit.png", "im/x/2_leftImg8bit.png")
    touch(tmp_path, "gt/x/1_gtFine_instanceIds.png", "gt/x/1_gtFine_color.png")
    pattern = "{name}_leftImg8bit={name}_gtFine_instanceIds"
    found = from_folders(tmp_path / "im", tmp_path / "gt", pattern=pattern)
    assert [mask.name for mask in found.candidates[0].masks] == ["1_gtFine_instanceIds.png"]
    assert (len(found.candidates), found.faults) == (1, ())
    assert found.notes == ("1 images without a mask are left out",)
    with pytest.raises(DataError, match="--names is 'gt_{name}', expected IMAGE=MASK"):
        from_folders(tmp_path / "im", tmp_path / "gt", pattern="gt_{name}")


def test_a_key_of_the_images_is_the_group(tmp_path):
    path = write(tmp_path, {"segmentation": compressed()})
    assert from_coco(path, tmp_path, group="video").candidates[0].group == "v"
    assert "image a.jpg has no 'site'" in from_coco(path, tmp_path, group="site").faults[0]


def test_strangers_and_missing_images_are_named(tmp_path):
    path = write(tmp_path, {"segmentation": compressed()}, {"image_id": [9]})
    (tmp_path / "a.jpg").unlink()
    stranger, missing = from_coco(path, tmp_path).faults
    assert "annotation 2 names no image" in stranger
    assert f"image {tmp_path / 'a.jpg'} does not exist" in missing


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not readable JSON"),
        ("[]", "lacks \\['images'"),
        ('{"images": [], "annotations": {}}', "lacks \\['annotations'"),
        ('{"images": [{"id": 1}], "annotations": []}', "lacks 'id' or 'file_name'"),
    ],
)
def test_another_file_is_refused(tmp_path, text, message):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(DataError, match=message):
        from_coco(tmp_path / "c.json", tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"c\.json does not exist.* --annotations"):
        from_coco(tmp_path / "c.json", tmp_path)
