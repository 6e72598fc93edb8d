"""Names and splits follow from the images alone, and no two files get one name."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasam.data.inspection import FoundObject, Inspected
from pasam.data.own_sets import make_plan, split_of
from pasam.data.pairing import EncodedMask, PairCandidate
from pasam.errors import DataError


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
        voids=0,
        faults=(),
    )


def plan(*items, val_fraction=0.0):
    return make_plan("cats", "folders", items, val_fraction=val_fraction)


def masks(*items):
    return [str(mask.target) for image in plan(*items).images for mask in image.masks]


def test_a_single_mask_is_called_like_its_image():
    assert list(plan(item("in/a")).rows()) == [("train", "cats", "im/in-a.jpg", "gt/in-a.png", "")]


def test_several_masks_keep_what_tells_them_apart():
    left, right = Path("a_left.png"), Path("other.png")
    objects = [(left, "", "0/1"), (right, "", "0/1")]
    assert masks(item("a", *objects, masks=(left, right))) == ["gt/a_left.png", "gt/a_other.png"]


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


@given(st.permutations([item(f"{n}") for n in range(6)]))
def test_the_order_of_the_source_changes_nothing(items):
    share = 0.5
    in_order = plan(*(item(f"{n}") for n in range(6)), val_fraction=share)
    assert plan(*items, val_fraction=share).description() == in_order.description()


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
    copies = plan(*(item(f"{n}", sha="same") for n in range(9)), val_fraction=0.0)
    assert {image.split for image in copies.images} == {"train"}


def test_a_split_that_the_source_gives_stays():
    made = plan(item("a", split="val"), item("b", split="train"), val_fraction=0.0)
    assert [image.split for image in made.images] == ["val", "train"]


def test_an_empty_split_is_refused_unless_it_was_asked_for():
    with pytest.raises(DataError, match="none of the 1 images or groups falls into"):
        plan(item("a"), val_fraction=0.5)
    assert plan(item("a"), val_fraction=1.0).count("val") == (1, 1)


def test_the_description_counts_and_tells_contents_apart():
    one = plan(item("a", sha="1"))
    assert one.description()["train"] == {"images": 1, "masks": 1}
    assert one.description()["mask_kinds"] == {"0/255": 1}
    assert one.kinds() == {"0/255": (1, 1)}
    assert one.description() != plan(item("a", sha="2")).description()


KEYS = [f"{number:064x}" for number in range(2000)]


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_takes_nothing_back_from_val(key, one, other):
    if split_of(key, val_fraction=min(one, other)) == "val":
        assert split_of(key, val_fraction=max(one, other)) == "val"


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_about_the_share_is_held_out(share):
    held_out = sum(split_of(key, val_fraction=share) == "val" for key in KEYS)
    assert held_out / len(KEYS) == pytest.approx(share, abs=0.03)


def test_no_share_and_the_whole_share_are_exact():
    assert {split_of(key, val_fraction=0) for key in KEYS} == {"train"}
    assert {split_of(key, val_fraction=1) for key in KEYS} == {"val"}


def test_the_split_is_the_same_on_every_machine_and_day():
    assert [split_of(key, val_fraction=0.5) for key in "abcdef"] == [
        "train", "val", "val", "val", "val", "val",
    ]  # fmt: skip
