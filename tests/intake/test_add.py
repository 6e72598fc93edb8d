"""Adding a set says everything first, writes it at once, and twice is once."""

import numpy as np
import pytest

from pasam.data.mask_kinds import Reading
from pasam.data.own_sets import Options, add
from pasam.data.pairing import from_folders
from pasam.errors import DataError
from pasam.masks.images import write_png

OPTIONS = {
    "val_share": 0.3, "reading": Reading.AUTO, "skip_bad": False, "replace": False, "link": False,
    "dry_run": False, "workers": 1,
}  # fmt: skip


@pytest.fixture
def own(tmp_path):
    return tmp_path / "own"


@pytest.fixture
def put(two_folders, own):
    def run(name="cats", **options):
        source = from_folders(*two_folders)
        return add(name, source, own, Options(**{**OPTIONS, **options}), taken=["HRSOD"])

    return run


def test_a_new_set_is_written_and_again_nothing_happens(put, own):
    assert put().state == "new"
    times = {path: path.stat().st_mtime_ns for path in own.rglob("*")}
    assert put().state == "unchanged"
    assert {path: path.stat().st_mtime_ns for path in own.rglob("*")} == times


def test_another_set_of_the_name_needs_to_be_asked_for(put, two_folders, own):
    put()
    write_png(two_folders[0] / "03.png", np.zeros((12, 12, 3), np.uint8))
    with pytest.raises(DataError, match=r"'cats' is registered already.* Add --replace"):
        put()
    assert put(replace=True).state == "replaced"
    assert (own / "cats/im/03.png").read_bytes() == (two_folders[0] / "03.png").read_bytes()


def test_another_split_is_another_set(put):
    put()
    with pytest.raises(DataError, match="or another split"):
        put(val_share=0.6)


def test_a_dry_run_writes_nothing(put, own):
    added = put(dry_run=True)
    assert added.state == "planned"
    assert added.plan.count("train")[0] + added.plan.count("val")[0] == 10
    assert not own.exists()


def test_every_bad_pair_is_named_before_anything_is_written(put, own, two_folders):
    photos, masks = two_folders
    (photos / "00.png").write_bytes(b"no picture")
    write_png(masks / "01.png", np.zeros((12, 12), np.uint8))
    write_png(masks / "02.png", np.full((9, 12), 255, np.uint8))
    (masks / "03.png").unlink()
    with pytest.raises(DataError, match="'cats' was not registered: 4 faults") as caught:
        put()
    said = str(caught.value).splitlines()
    assert all(line.startswith("- ") for line in said[1:])
    for words in ("03.png has no mask", "00.png cannot", "01.png is all black", "02.png is 9 x 12"):
        assert sum(words in line for line in said) == 1
    assert not own.exists()


def test_bad_pairs_are_left_out_and_told_when_asked_for(put, two_folders):
    (two_folders[0] / "00.png").write_bytes(b"no picture")
    added = put(skip_bad=True)
    assert len(added.plan.images) == 9
    assert "left out: image" in added.notes[0]


def test_nothing_but_bad_pairs_is_refused(put, two_folders):
    for path in two_folders[1].iterdir():
        write_png(path, np.zeros((12, 12), np.uint8))
    with pytest.raises(DataError, match="No image with a mask is left for 'cats'"):
        put(skip_bad=True)


def test_copies_are_told(put, two_folders):
    (two_folders[0] / "00.png").write_bytes((two_folders[0] / "01.png").read_bytes())
    assert put().notes == ("1 images are copies of others",)


def test_copies_that_groups_tear_apart_are_told(two_folders, own):
    for number in range(1, 10):
        (two_folders[0] / f"0{number}.png").write_bytes((two_folders[0] / "00.png").read_bytes())
    source = from_folders(*two_folders, group="..")
    notes = add("cats", source, own, Options(**{**OPTIONS, "val_share": 0.5})).notes
    assert any("1 images are in train and in val" in note for note in notes)


def test_a_name_of_the_catalogue_and_an_impossible_share_are_refused(put):
    with pytest.raises(DataError, match="is a set of the catalogue"):
        put("hrsod")
    with pytest.raises(DataError, match=r"--val-share is 1.2, expected 0 to 1"):
        put(val_share=1.2)


def test_many_faults_are_cut_short(draw, tmp_path, own):
    images, masks = draw(tmp_path / "many", 30)
    for path in masks.iterdir():
        write_png(path, np.zeros((12, 12), np.uint8))
    with pytest.raises(DataError, match=r"30 faults(.|\n)*- and 10 more"):
        add("cats", from_folders(images, masks), own, Options(**OPTIONS))
