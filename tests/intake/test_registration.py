"""A set appears at once or not at all, and never in another's place unasked."""

import csv
import json
import shutil

import numpy as np
import pytest

from pasam.data import own_sets as registration
from pasam.data.inspection import InspectionTask, inspect
from pasam.data.mask_kinds import Reading
from pasam.data.own_sets import check_name, make_plan, register, registered
from pasam.data.pairing import EncodedMask, PairCandidate, find_pairs, from_folders
from pasam.errors import DataError
from pasam.masks.images import read_mask, write_png


def plan_of(source, *, val_share=0.3, name="cats"):
    found = [
        inspect(InspectionTask(candidate=item, reading=Reading.AUTO)) for item in source.candidates
    ]
    return make_plan(name, source.kind, found, val_share=val_share)


@pytest.fixture
def plan(two_folders):
    return plan_of(from_folders(*two_folders))


@pytest.fixture
def own(tmp_path):
    return tmp_path / "own"


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def put(plan, own, **options):
    return register(plan, own, **{"link": False, "workers": 1, **options})


def test_the_folder_holds_copies_a_table_and_a_description(plan, own, two_folders):
    folder = put(plan, own)
    assert tree(folder).keys() == {
        "manifest.csv",
        "set.json",
        *(f"{kind}/{number:02d}.png" for kind in ("im", "gt") for number in range(10)),
    }
    assert (folder / "im/03.png").read_bytes() == (two_folders[0] / "03.png").read_bytes()
    with (folder / "manifest.csv").open(newline="") as file:
        first = next(csv.reader(file))
    assert first == ["split", "dataset", "image", "mask", "group"]
    assert len(find_pairs(own)[0]) == len(find_pairs(folder)[0]) == 10
    assert json.loads((folder / "set.json").read_text()) == plan.description()
    assert registered(own, "cats") == plan.description()


def test_twice_the_same_gives_the_same_bytes_with_any_number_of_processes(plan, own):
    first = tree(put(plan, own))
    assert tree(put(plan, own, workers=2)) == first
    assert [path.name for path in own.iterdir()] == ["cats"]


def test_a_link_shares_the_file(plan, own, two_folders):
    folder = put(plan, own, link=True)
    assert (folder / "im/03.png").samefile(two_folders[0] / "03.png")


def test_objects_of_index_masks_and_codes_are_drawn(tmp_path, own):
    from pycocotools import mask as coco_mask

    labels = np.zeros((6, 8), np.uint8)
    labels[1:4, :4], labels[1:4, 4:] = 1, 2
    write_png(tmp_path / "a.png", np.zeros((6, 8, 3), np.uint8))
    write_png(tmp_path / "m.png", labels)
    drawn = np.asfortranarray((labels == 2).astype(np.uint8))
    code = EncodedMask(label="9", size=(6, 8), counts=coco_mask.encode(drawn)["counts"].decode())
    candidate = PairCandidate(
        image=tmp_path / "a.png", name="a", masks=(tmp_path / "m.png",), encoded=(code,)
    )
    item = inspect(InspectionTask(candidate=candidate, reading=Reading.AUTO))
    folder = put(make_plan("x", "coco", [item], val_share=0), own)
    for name, value in (("a_1", 1), ("a_2", 2), ("a_9", 2)):
        assert np.array_equal(read_mask(folder / f"gt/{name}.png"), (labels == value) * 255)


def test_a_failure_leaves_the_older_set_whole(plan, own, two_folders):
    folder = put(plan, own)
    before = tree(folder)
    (two_folders[0] / "09.png").unlink()
    with pytest.raises(DataError, match="cats cannot be written .* Nothing was changed"):
        put(plan, own)
    assert tree(folder) == before
    assert [path.name for path in own.iterdir()] == ["cats"]


def test_an_exchange_that_was_killed_half_way_is_undone(plan, own, two_folders):
    before = tree(put(plan, own))
    (own / "cats").replace(own / ".cats.old")
    (own / ".cats.draft").mkdir()
    (two_folders[0] / "09.png").unlink()
    with pytest.raises(DataError):
        put(plan, own)
    assert tree(own / "cats") == before
    assert [path.name for path in own.iterdir()] == ["cats"]


def test_a_new_set_replaces_all_of_the_older_one(plan, own, two_folders):
    put(plan, own)
    (two_folders[0] / "09.png").unlink()
    (two_folders[1] / "09.png").unlink()
    folder = put(plan_of(from_folders(*two_folders)), own)
    assert not (folder / "im/09.png").exists()
    assert len(find_pairs(own)[0]) == 9


@pytest.mark.parametrize(
    "name", ["", "a b", "../a", ".a", "train", "val", "a.b", "mean", "Mean", "(all)"]
)
def test_a_name_that_is_none_is_refused(own, name):
    with pytest.raises(DataError, match="cannot be a set's name"):
        check_name(name, own, taken=[])


def test_names_of_others_are_refused(plan, own):
    with pytest.raises(DataError, match="'HRSOD' is a set of the catalogue"):
        check_name("hrsod", own, taken=["HRSOD"])
    put(plan, own)
    check_name("cats", own, taken=[])
    with pytest.raises(DataError, match="differs in case only"):
        check_name("Cats", own, taken=[])
    (own / "stuff").mkdir()
    with pytest.raises(DataError, match="stuff is there, and no registered set"):
        check_name("stuff", own, taken=[])


def test_a_data_set_of_the_layout_keeps_its_name_and_its_place(plan, own, two_folders):
    shutil.copytree(two_folders[0], own / "val/dogs/im")
    shutil.copytree(two_folders[1], own / "val/dogs/gt")
    with pytest.raises(DataError, match="has a data set 'dogs' already"):
        check_name("dogs", own, taken=[])
    put(plan, own)
    assert {pair.dataset for pair in find_pairs(own)[0]} == {"cats", "dogs"}


def test_a_damaged_description_is_named(plan, own):
    (put(plan, own) / registration.SET_FILE).write_text("{")
    with pytest.raises(DataError, match=r"set.json cannot be read .* Restore it"):
        registered(own, "cats")
