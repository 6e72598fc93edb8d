"""A download ends in the right file or in none."""

from __future__ import annotations

import hashlib

import pytest

from pasam.data.download import download, is_on_the_web
from pasam.errors import DataError, TransientError

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "sets" / "set.zip"


@pytest.fixture
def address(server):
    server.files["set.zip"] = CONTENT
    return f"{server.address}/set.zip"


def test_the_file_appears_alone_and_its_checksum_is_returned(address, target):
    assert download(address, target, sha256=SHA256, size=len(CONTENT)) == SHA256
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def test_the_first_digits_of_a_checksum_are_checked_too(address, target):
    assert download(address, target, sha256=SHA256[:6]) == SHA256


def test_a_wrong_checksum_leaves_nothing_and_names_both(address, target):
    with pytest.raises(DataError, match=f"has the sha256 {SHA256}, expected {'0' * 64}"):
        download(address, target, sha256="0" * 64)
    assert list(target.parent.iterdir()) == []


def test_a_wrong_checksum_leaves_the_older_file_in_place(address, target):
    target.parent.mkdir()
    target.write_bytes(b"older")
    with pytest.raises(DataError, match="It was thrown away"):
        download(address, target, sha256="0" * 64)
    assert target.read_bytes() == b"older"


def test_a_transfer_that_is_given_up_can_be_resumed_later(address, target, server):
    server.orders["cut"] = 1
    server.orders["busy"] = 0

    def give_up(there, whole):
        server.orders["busy"] = 100

    with pytest.raises(TransientError, match="bytes are kept|Try again later"):
        download(address, target, wait=0.001, progress=give_up)
    assert not target.exists()
    server.orders["busy"] = 0
    assert download(address, target, sha256=SHA256) == SHA256
    assert server.requests[-1][1] == f"bytes={len(CONTENT) // 2}-"


@pytest.mark.parametrize("as_address", [False, True])
def test_a_file_on_this_machine_is_a_source_too(tmp_path, target, as_address):
    source = tmp_path / "a set.zip"
    source.write_bytes(CONTENT)
    address = source.as_uri() if as_address else str(source)
    assert download(address, target, sha256=SHA256, size=len(CONTENT)) == SHA256
    assert target.read_bytes() == source.read_bytes()


def test_a_file_of_this_machine_has_to_be_right_too(tmp_path, target):
    source = tmp_path / "set.zip"
    source.write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match=f"has {len(CONTENT) - 1} bytes, expected {len(CONTENT)}"):
        download(str(source), target, size=len(CONTENT))
    assert list(target.parent.iterdir()) == []


def test_a_missing_file_is_named(tmp_path, target):
    with pytest.raises(DataError, match=r"no\.zip is no file\. Put the archive there"):
        download(str(tmp_path / "no.zip"), target)


def test_other_protocols_are_refused(target):
    with pytest.raises(DataError, match="'ftp://host/set.zip' is neither a path nor"):
        download("ftp://host/set.zip", target)


def test_an_address_without_a_host_is_refused(target):
    with pytest.raises(DataError, match="is no address"):
        download("http://", target)


def test_a_place_that_cannot_be_written_is_named(address, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        download(address, tmp_path / "file" / "set.zip")


def test_the_web_is_told_from_the_machine():
    assert is_on_the_web("https://host/folder")
    assert not is_on_the_web("/mnt/folder")
    assert not is_on_the_web("file:///mnt/folder")
