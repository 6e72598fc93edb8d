"""The quarantine holds files as they were reviewed; what is invalid or named gets there."""

from pathlib import Path

import pytest

from pasam.data.manifest import Fault, invalid_row, inventory_frame
from pasam.data.quarantine import (
    Quarantine,
    invalid_files,
    quarantine_files,
    read_quarantine,
    write_quarantine,
)
from pasam.errors import DataError


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
    with pytest.raises(DataError, match=r"q.csv cannot be read as UTF-8"):
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
