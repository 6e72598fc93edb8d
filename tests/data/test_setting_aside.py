"""What goes into quarantine: all that a run found, or what a person names with a reason."""

from pathlib import Path

import pytest

from pasam.data.manifest import Fault, invalid_row, inventory_frame
from pasam.data.quarantine import Quarantine, invalid_files, quarantine_files
from pasam.errors import DataError


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
