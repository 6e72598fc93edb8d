"""The quarantine holds files as they were reviewed; a changed file is another one."""

from pathlib import Path

import pytest

from pasam.data.quarantine import Quarantine, read_quarantine, write_quarantine
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
