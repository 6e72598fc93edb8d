"""A set appears at once or not at all, and never in another's place unasked."""

import contextlib
import csv
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from small_world import load_yaml

from pasam.config.presets import compose_text
from pasam.data import own_sets as registration
from pasam.data.coco import from_coco
from pasam.data.inspection import InspectionTask, inspect
from pasam.data.manifest import Fault, invalid_row, inventory_frame
from pasam.data.own_sets import (
    Options,
    add,
    add_benchmark,
    check_name,
    make_plan,
    register,
    registered,
)
from pasam.data.pairing import EncodedMask, PairCandidate, Source, find_pairs, from_folders
from pasam.data.quarantine import (
    Quarantine,
    invalid_files,
    quarantine_files,
    read_quarantine,
    write_quarantine,
)
from pasam.errors import DataError, ParamsError
from pasam.masks.images import read_image, turned, write_png
from pasam.masks.mask_files import Reading, read_mask


def plan_of(source, *, val_fraction=0.3, name="cats"):
    found = [
        inspect(InspectionTask(candidate=item, reading=Reading.AUTO)) for item in source.candidates
    ]
    return make_plan(name, source.kind, found, val_fraction=val_fraction)


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


def test_the_folder_holds_copies_a_table_and_a_description(plan, own, two_folders, monkeypatch):
    synced = []
    with monkeypatch.context() as spied:
        spied.setattr(os, "sync", lambda: synced.append((own / "cats").exists()))
        folder = put(plan, own)
    assert synced == [False], "all is on the disk before it has its name"
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


@pytest.mark.slow  # so does prepare: test_preparation
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
    folder = put(make_plan("x", "coco", [item], val_fraction=0), own)
    for name, value in (("a_1", 1), ("a_2", 2), ("a_9", 2)):
        assert np.array_equal(read_mask(folder / f"gt/{name}.png"), (labels == value) * 255)


@pytest.mark.parametrize("side", [12, pytest.param(40, marks=pytest.mark.slow)])
def test_a_label_image_of_many_cells_takes_a_pass_not_one_for_each(side, tmp_path, own):
    numbers = np.arange(1, side**2 + 1, dtype=np.uint16).reshape(side, side)
    cells = np.kron(numbers, np.ones((20, 20), "u2"))
    cells[::20], cells[:, ::20] = 0, 0
    for name in "ab":
        write_png(tmp_path / f"im/{name}.png", np.full((*cells.shape, 3), ord(name), np.uint8))
        (tmp_path / "gt").mkdir(exist_ok=True)
        Image.fromarray(cells).save(tmp_path / f"gt/{name}.png")
    begun = time.process_time()
    added = add("cells", from_folders(tmp_path / "im", tmp_path / "gt"), own, Options(**OPTIONS))
    took = time.process_time() - begun
    assert (added.plan.count("train"), added.plan.count("val")) == ((1, side**2),) * 2
    for value in (1, side, side**2 // 2 + 1, side**2):
        assert np.array_equal(read_mask(own / f"cells/gt/b_{value}.png"), (cells == value) * 255)
    assert took < 30, "3,200 masks take 2 s of a processor, and took 30 when it was quick"


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
        check_name("STUFF", own, taken=[])


def test_a_data_set_of_the_layout_keeps_its_name_and_its_place(plan, own, two_folders):
    shutil.copytree(two_folders[0], own / "val/dogs/im")
    shutil.copytree(two_folders[1], own / "val/dogs/gt")
    with pytest.raises(DataError, match="has a data set 'dogs' already"):
        check_name("dogs", own, taken=[])
    put(plan, own)
    with pytest.raises(DataError, match="has a data set 'dogs' already"):
        check_name("dogs", own, taken=[])  # beside a registered set, too
    assert {pair.dataset for pair in find_pairs(own)[0]} == {"cats", "dogs"}


def test_a_damaged_description_is_named(plan, own):
    (put(plan, own) / registration.SET_FILE).write_text("{")
    with pytest.raises(DataError, match=r"set.json is not readable JSON.* Restore it"):
        registered(own, "cats")


OPTIONS = {
    "val_fraction": 0.3, "reading": Reading.AUTO, "skip_bad": False, "replace": False,
    "link": False, "dry_run": False, "workers": 1,
}  # fmt: skip


@pytest.fixture
def add_set(two_folders, own):
    def run(name="cats", **options):
        source = from_folders(*two_folders)
        return add(name, source, own, Options(**{**OPTIONS, **options}), taken=["HRSOD"])

    return run


def test_a_new_set_is_written_and_again_nothing_happens(add_set, own):
    assert add_set().state == "new"
    times = {path: path.stat().st_mtime_ns for path in own.rglob("*")}
    assert add_set().state == "unchanged"
    assert {path: path.stat().st_mtime_ns for path in own.rglob("*")} == times


def test_another_set_of_the_name_needs_to_be_asked_for(add_set, two_folders, own):
    add_set()
    write_png(two_folders[0] / "03.png", np.zeros((12, 12, 3), np.uint8))
    with pytest.raises(DataError, match=r"'cats' is registered already.* Add --replace"):
        add_set()
    sizes = r"\(7 train and 3 val images; now 4 train and 6 val images\)"
    with pytest.raises(DataError, match=f"with other files or another split {sizes}"):
        add_set(val_fraction=0.6)
    assert add_set(replace=True).state == "replaced"
    assert (own / "cats/im/03.png").read_bytes() == (two_folders[0] / "03.png").read_bytes()


def test_a_set_that_is_there_is_replaced_when_asked_for_and_left_by_a_dry_run(add_set, own):
    add_set()
    before = tree(own)
    assert add_set(val_fraction=0.6, replace=True, dry_run=True).state == "planned"
    assert add_set(dry_run=True, replace=True).state == "planned"
    assert add_set(replace=True).state == "unchanged"
    assert tree(own) == before


@pytest.mark.parametrize("link", [True, False])
def test_files_are_second_names_only_where_that_was_asked_for(add_set, two_folders, own, link):
    add_set(link=link)
    for kind, folder in zip(("im", "gt"), two_folders, strict=True):
        assert (own / f"cats/{kind}/03.png").samefile(folder / "03.png") is link


def test_another_split_is_another_set(add_set):
    add_set()
    for share in (0.6, 0.301):  # the second one holds the same images out
        with pytest.raises(DataError, match="or another split"):
            add_set(val_fraction=share)


def test_a_dry_run_writes_nothing(add_set, own):
    added = add_set(dry_run=True)
    assert added.state == "planned"
    assert added.plan.count("train")[0] + added.plan.count("val")[0] == 10
    assert not own.exists()


def test_every_bad_pair_is_named_before_anything_is_written(add_set, own, two_folders):
    photos, masks = two_folders
    (photos / "00.png").write_bytes(b"no picture")
    write_png(masks / "01.png", np.zeros((12, 12), np.uint8))
    write_png(masks / "02.png", np.full((9, 12), 255, np.uint8))
    (masks / "03.png").unlink()
    with pytest.raises(DataError, match="'cats' was not registered: 4 faults") as caught:
        add_set()
    said = str(caught.value).splitlines()
    assert all(line.startswith("- ") for line in said[1:])
    for words in ("03.png has no mask", "00.png cannot", "01.png is all black", "02.png is 9 x 12"):
        assert sum(words in line for line in said) == 1
    assert not own.exists()


def test_bad_pairs_are_left_out_and_told_when_asked_for(add_set, two_folders):
    (two_folders[0] / "00.png").write_bytes(b"no picture")
    added = add_set(skip_bad=True)
    assert len(added.plan.images) == 9
    assert "left out: image" in added.notes[0]


def test_nothing_but_bad_pairs_is_refused(add_set, two_folders):
    for path in two_folders[1].iterdir():
        write_png(path, np.zeros((12, 12), np.uint8))
    with pytest.raises(DataError, match="No image with a mask is left for 'cats'"):
        add_set(skip_bad=True)


EVIL = ("/../../../../secret", "../../secret", "{secret}", "a\0b", "x" * 300, "\ud800", ".", "")


def test_names_of_a_coco_file_write_and_read_nothing_outside(two_folders, own, tmp_path):
    photos, _ = two_folders
    secret = tmp_path / "secret"
    write_png(tmp_path / "secret.png", np.full((12, 12, 3), 77, np.uint8))
    images, drawn = [], []
    for number, evil in enumerate(EVIL):
        evil = evil.format(secret=secret)
        names = (f"0{number}.png", f"{evil}.png")
        for key, name in enumerate(names):
            images.append({"id": 2 * number + key, "file_name": name, "height": 12, "width": 12})
            corners = [1, 1, 9, 1, 9, 9, 1, 9]
            drawn.append({"id": evil, "image_id": 2 * number + key, "segmentation": [corners]})
    (tmp_path / "c.json").write_text(json.dumps({"images": images, "annotations": drawn}))
    before = tree(tmp_path)
    options = Options(**{**OPTIONS, "skip_bad": True})
    with contextlib.suppress(DataError):
        add("cats", from_coco(tmp_path / "c.json", photos), own, options)
    after = tree(tmp_path)
    inside = {name: after.pop(name) for name in sorted(set(after) - set(before))}
    assert after == before
    assert inside
    assert all(name.startswith("own/cats/") for name in inside)
    assert before["secret.png"] not in inside.values()


def test_copies_are_told(add_set, two_folders):
    for copy in ("00.png", "02.png"):
        (two_folders[0] / copy).write_bytes((two_folders[0] / "01.png").read_bytes())
    notes = add_set().notes
    assert notes[0] == "2 images are copies of others"
    assert not any("in train and in val" in note for note in notes)


def test_copies_that_groups_tear_apart_are_told(two_folders, own):
    for number in range(1, 10):
        (two_folders[0] / f"0{number}.png").write_bytes((two_folders[0] / "00.png").read_bytes())
    source = from_folders(*two_folders, group="..")
    notes = add("cats", source, own, Options(**{**OPTIONS, "val_fraction": 0.5})).notes
    assert any("1 images are in train and in val" in note for note in notes)


def test_a_name_of_the_catalogue_and_an_impossible_share_are_refused(add_set):
    with pytest.raises(DataError, match="is a set of the catalogue"):
        add_set("hrsod")
    with pytest.raises(DataError, match=r"--val-fraction is 1.2, expected 0 to 1"):
        add_set(val_fraction=1.2)


def test_many_faults_are_cut_short(draw, tmp_path, own):
    images, masks = draw(tmp_path / "many", 30)
    for path in masks.iterdir():
        write_png(path, np.zeros((12, 12), np.uint8))
    with pytest.raises(DataError, match=r"30 faults(.|\n)*- and 10 more"):
        add("cats", from_folders(images, masks), own, Options(**OPTIONS))


def test_faults_that_a_source_has_only_counted_are_counted_too(two_folders, own):
    source = from_folders(*two_folders)
    faulty = Source("csv", source.candidates, tuple("abcdefghijklmnopqrstuvwxy"), 10, ("told",))
    with pytest.raises(DataError, match=r"35 faults(.|\n)*- t\n- and 15 more$"):
        add("cats", faulty, own, Options(**OPTIONS))
    notes = add("cats", faulty, own, Options(**{**OPTIONS, "skip_bad": True})).notes
    left_out = [f"left out: {fault}" for fault in (*"abcdefghijklmnopqrst", "and 15 more")]
    assert list(notes[:22]) == ["told", *left_out]


@pytest.mark.parametrize("size", ["default", "smoke", "paper"])
def test_one_line_changes_in_every_size(root, tmp_path, size):
    old = compose_text(size, root / "params")
    path = tmp_path / "params.yaml"
    path.write_text(old)
    changed = add_benchmark("cats", path)
    assert [line[0] for line in changed] == ["-", "+"]
    new = path.read_text().splitlines()
    assert [line for line in new if line not in old.splitlines()] == [changed[1][1:]]
    assert len(new) == len(old.splitlines())
    expected = load_yaml(old)
    expected["evaluate"]["benchmarks"].append("cats")
    assert load_yaml(path.read_text()) == expected
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_there_changes_nothing(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("evaluate:\n    benchmarks:   [cats]   # mine\n")
    before = path.read_bytes()
    assert add_benchmark("cats", path) == []
    assert path.read_bytes() == before


def test_a_list_written_below_each_other_stays_so(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("evaluate:\n  benchmarks:\n  - dogs  # old\n  batch_size: null\n")
    add_benchmark("cats", path)
    text = "evaluate:\n  benchmarks:\n  - dogs  # old\n  - cats\n  batch_size: null\n"
    assert path.read_text() == text


@pytest.mark.parametrize("text", ["evaluate:\n  benchmarks: cats\n", "data: {}\n"])
def test_a_file_without_the_list_is_refused(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=r"evaluate.benchmarks is .*, expected a list"):
        add_benchmark("cats", tmp_path / "params.yaml")


def turned_photograph(folder, orientation, *, upright_mask):
    """A photograph stored turned, a bright object in it, and its mask in either position."""
    stored = np.full((24, 40, 3), 60, np.uint8)
    stored[4:12, 6:20] = 250
    mask = np.where(stored[:, :, 0] > 200, 255, 0).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("im", "gt"):
        (folder / name).mkdir(parents=True)
    Image.fromarray(stored).save(folder / "im/a.png", exif=exif)
    write_png(folder / "gt/a.png", turned(mask, orientation) if upright_mask else mask)
    return from_folders(folder / "im", folder / "gt")


@pytest.mark.parametrize("orientation", [3, 5, 6, 7, 8])
@pytest.mark.parametrize("upright_mask", [True, False])
def test_a_mask_lies_on_its_object_however_the_photograph_is_stored(
    tmp_path, own, orientation, upright_mask
):
    if orientation == 3 and not upright_mask:
        return  # of one size either way: the mask is taken as viewers show the image
    source = turned_photograph(tmp_path / "source", orientation, upright_mask=upright_mask)
    added = add("t", source, own, Options(**{**OPTIONS, "val_fraction": 0}))
    (pair,) = find_pairs(own)[0]
    image, mask = read_image(pair.image), read_mask(pair.mask)
    assert (image[:, :, 0][mask > 128] == 250).all()
    assert any(f"orientation {orientation}" in note for note in added.notes)
    assert any("drawn on the stored pixels" in note for note in added.notes) is not upright_mask


def test_links_of_links_are_registered_as_files(tmp_path, own, two_folders):
    for folder in two_folders:
        for path in list(folder.iterdir()):
            path.rename(tmp_path / f"{folder.name}-{path.name}")
            path.symlink_to(tmp_path / f"{folder.name}-{path.name}")
    add("t", from_folders(*two_folders), own, Options(**{**OPTIONS, "link": True}))
    found = [path for path in (own / "t").rglob("*") if path.suffix == ".png"]
    assert len(found) == 20
    assert not any(path.is_symlink() or not path.stat().st_size for path in found)


def test_long_names_and_labels_stay_names_that_a_disk_takes(tmp_path, own):
    (tmp_path / "im").mkdir()
    image = tmp_path / "im" / ("é" * 120 + ".png")
    write_png(image, np.zeros((8, 9, 3), np.uint8))
    code = coco_mask.encode(np.asfortranarray(np.eye(8, 9, dtype=np.uint8)))["counts"].decode()
    codes = tuple(EncodedMask(label="x" * 60, size=(8, 9), counts=code) for _ in range(3))
    candidate = PairCandidate(image=image, name=image.stem, encoded=codes)
    source = Source(kind="coco", candidates=(candidate,))
    add("t", source, own, Options(**{**OPTIONS, "val_fraction": 0}))
    pairs, faults = find_pairs(own)
    assert (len({pair.mask.name for pair in pairs}), faults) == (3, ())


def test_a_chosen_page_is_what_the_set_holds(tmp_path, own):
    for name in ("im", "gt"):
        (tmp_path / name).mkdir()
    pages = [Image.fromarray(np.full((8, 9), value, np.uint8)) for value in (10, 200)]
    pages[0].save(tmp_path / "im/a.tif", save_all=True, append_images=pages[1:])
    write_png(tmp_path / "gt/a.png", np.eye(8, 9, dtype=np.uint8) * np.uint8(255))
    source = from_folders(tmp_path / "im", tmp_path / "gt")
    options = {**OPTIONS, "val_fraction": 0}
    with pytest.raises(DataError, match="is a stack of 2 pages"):
        add("t", source, own, Options(**options))
    add("t", source, own, Options(**options, page=2))
    (pair,) = find_pairs(own)[0]
    assert pair.image.suffix == ".png"
    assert (read_image(pair.image) == 200).all()


@pytest.fixture
def files(in_empty_folder):
    for name in ("b.png", "a.png"):
        Path(name).write_text(name)
    return ["b.png", "a.png"]


def test_a_listed_file_has_its_reason_until_it_changes(files):
    quarantine = Quarantine().including([(name, "blurred") for name in files])
    assert quarantine.reason_for(Path("a.png")) == "blurred"
    assert quarantine.reason_for(Path("c.png")) is None
    assert quarantine.reason_for(None) is None
    Path("a.png").write_text("repaired")
    assert quarantine.reason_for(Path("a.png")) is None
    assert quarantine.reason_for(Path("b.png")) == "blurred"


def test_a_missing_file_can_be_listed_and_comes_back_when_it_is_there(files):
    quarantine = Quarantine().including([("gone.png", "lost")])
    assert quarantine.reason_for(Path("gone.png")) == "lost"
    Path("gone.png").write_text("found")
    assert quarantine.reason_for(Path("gone.png")) is None


def test_the_table_is_sorted_and_survives_its_file(files):
    quarantine = Quarantine().including([(name, 'so, "so"\nand so') for name in files])
    write_quarantine(Path("q.csv"), quarantine)
    lines = Path("q.csv").read_text().splitlines()
    assert lines[0] == "file,sha256,reason"
    assert [line.split(",")[0] for line in lines[1:]] == ["a.png", "b.png"]
    assert read_quarantine(Path("q.csv")).entries == quarantine.entries


def test_listing_a_file_again_renews_its_line(files):
    before = Quarantine().including([("a.png", "blurred")])
    Path("a.png").write_text("new")
    after = before.including([("a.png", "still blurred")])
    assert len(after.entries) == 1
    assert after.reason_for(Path("a.png")) == "still blurred"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,reason\n", r"has the columns \['file', 'reason'\], expected"),
        ("file,sha256,reason\na.png,,\n", "row 2: every row needs a file and a reason"),
        ("file,sha256,reason\na.png,,x\na.png,,y\n", "row 3: a.png is listed already"),
        ("", r"has the columns \[\], expected"),
    ],
)
def test_a_table_of_another_form_is_refused(in_empty_folder, text, message):
    Path("q.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_quarantine(Path("q.csv"))


def test_a_missing_or_unreadable_table_is_named(in_empty_folder):
    with pytest.raises(DataError, match=r"q.csv does not exist.*'file,sha256,reason'"):
        read_quarantine(Path("q.csv"))
    Path("q.csv").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"q.csv cannot be read as text in UTF-8"):
        read_quarantine(Path("q.csv"))


def row(kind: str, image: str | None, mask: str | None) -> dict:
    return invalid_row(
        Fault(
            kind=kind, split="train", dataset="cats", message=f"about {mask or image}",
            image=None if image is None else Path(image), mask=None if mask is None else Path(mask),
        )
    )  # fmt: skip


@pytest.fixture
def inventory(in_empty_folder):
    Path("d.jpg").touch()
    return inventory_frame(
        [
            row("empty_mask", "a.jpg", "a.png"),
            row("undecodable_image", "b.jpg", "b0.png"),
            row("undecodable_image", "b.jpg", "b1.png"),
            row("image_without_mask", "c.jpg", None),
            row("mask_without_image", None, "c.png"),
            row("missing_file", "d.jpg", "d.png"),
            row("missing_file", "gone.jpg", "e.png"),
            row("bad_row", "f.jpg", "f.png"),
            row("listed_twice", "g.jpg", "g.png"),
            row("quarantined", "h.jpg", "h.png"),
        ]
    )


def test_the_file_to_blame_is_listed_once_and_a_tables_row_never(inventory):
    assert set(invalid_files(inventory)) == {
        "a.png",
        "b.jpg",
        "c.jpg",
        "c.png",
        "d.png",
        "gone.jpg",
    }
    assert invalid_files(inventory)["a.png"] == "about a.png"
    assert invalid_files(inventory)["b.jpg"] == "about b0.png", "what was found first is the reason"


def test_all_that_was_found_is_set_aside_and_a_second_time_nothing_is_new(inventory):
    after, new = quarantine_files(Quarantine(), [], "", inventory)
    assert {entry.file for entry in new} == set(invalid_files(inventory))
    assert quarantine_files(after, [], "", inventory)[1] == ()


def test_a_person_sets_aside_a_file_with_a_reason(inventory):
    after, (new,) = quarantine_files(Quarantine(), [Path("h.jpg")], "wrong cat", inventory)
    assert (new.file, new.reason) == ("h.jpg", "wrong cat")
    assert list(after.entries) == ["h.jpg"]


def test_a_named_file_needs_a_reason_and_must_be_of_the_data(inventory):
    with pytest.raises(DataError, match="needs a reason"):
        quarantine_files(Quarantine(), [Path("h.jpg")], " ", inventory)
    with pytest.raises(DataError, match="z.jpg is no image or mask of the data"):
        quarantine_files(Quarantine(), [Path("z.jpg")], "odd", inventory)
