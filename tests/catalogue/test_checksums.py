"""What a first fetch recorded binds every later one."""

from __future__ import annotations

import pytest

from pasam.data.catalogue import Archive, expected_sha256, is_whole, read_lock, write_lock
from pasam.errors import DataError


def archive(sha256):
    return Archive(name="set.zip", address=None, sha256=sha256, size=None)


def test_what_is_written_is_read_back_sorted_and_with_an_explanation(tmp_path):
    lock = tmp_path / "catalogue.lock"
    write_lock(lock, {"b.zip": "b" * 64, "a.zip": "1" * 64})
    assert read_lock(lock) == {"a.zip": "1" * 64, "b.zip": "b" * 64}
    text = lock.read_text()
    assert text.index("a.zip") < text.index("b.zip")
    assert "Commit this file" in text


def test_without_a_file_nothing_is_recorded(tmp_path):
    assert read_lock(tmp_path / "catalogue.lock") == {}


@pytest.mark.parametrize("text", ["a.zip: 12", "- a.zip", "a.zip: [", "a.zip: abcdef"])
def test_a_damaged_lock_is_not_taken_for_an_empty_one(tmp_path, text):
    (tmp_path / "catalogue.lock").write_text(text)
    with pytest.raises(DataError, match="Restore it from git"):
        read_lock(tmp_path / "catalogue.lock")


@pytest.mark.parametrize(
    ("published", "recorded", "expected"),
    [
        ("a" * 64, "b" * 64, "a" * 64),
        ("abcdef", "abcdef" + "0" * 58, "abcdef" + "0" * 58),
        ("abcdef", None, "abcdef"),
        (None, "b" * 64, "b" * 64),
        (None, None, None),
    ],
)
def test_a_published_checksum_goes_before_the_recorded_one(published, recorded, expected):
    known = {} if recorded is None else {"set.zip": recorded}
    assert expected_sha256(archive(published), known) == expected


def test_first_digits_are_no_whole_checksum():
    assert is_whole("a" * 64)
    assert not is_whole("abcdef")
    assert not is_whole(None)
