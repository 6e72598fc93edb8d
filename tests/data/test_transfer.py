"""A download ends in the right file or in none, over a web that breaks; versions never mix."""

from __future__ import annotations

import hashlib

import pytest

from pasam.data.download import ATTEMPTS, download, is_on_the_web
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


LONG = bytes(range(256)) * 4000


@pytest.fixture
def arrived(tmp_path):
    return tmp_path / "set.zip"


@pytest.fixture
def part(tmp_path):
    return tmp_path / "set.zip.part"


@pytest.fixture
def transfer(server, arrived):
    server.files["set.zip"] = LONG

    def run(name="set.zip", *, timeout=5.0, **options):
        download(f"{server.address}/{name}", arrived, wait=0.001, timeout=timeout, **options)

    return run


def ranges(server):
    return [wanted for _, wanted in server.requests]


def interrupt_after(count):
    def progress(there, whole):
        if there >= count:
            raise KeyboardInterrupt

    return progress


def test_a_file_arrives_byte_for_byte(transfer, arrived, server):
    transfer()
    assert arrived.read_bytes() == LONG
    assert ranges(server) == [None]


def test_a_cut_connection_goes_on_where_it_broke_off(transfer, arrived, server):
    server.orders["cut"] = 3
    transfer()
    assert arrived.read_bytes() == LONG
    half = len(LONG) // 2
    assert ranges(server)[:3] == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]


def test_an_interrupted_transfer_goes_on_in_the_next_one(transfer, arrived, part, server):
    server.pause = 0.01
    with pytest.raises(KeyboardInterrupt):
        transfer(progress=interrupt_after(300_000))
    there = part.stat().st_size
    assert there >= 300_000
    transfer()
    assert arrived.read_bytes() == LONG
    assert ranges(server) == [None, f"bytes={there}-"]


def test_a_transfer_that_was_stopped_after_the_last_byte_needs_no_further_one(
    transfer, arrived, server
):
    with pytest.raises(KeyboardInterrupt):
        transfer(progress=interrupt_after(len(LONG)))
    transfer()
    assert arrived.read_bytes() == LONG


def test_refused_ranges_mean_a_whole_download(transfer, arrived, server):
    server.refuses_ranges = True
    server.orders["cut"] = 2
    transfer()
    assert arrived.read_bytes() == LONG
    assert len(server.requests) == 3


@pytest.mark.parametrize("ignores_if_range", [False, True])
def test_a_file_that_changed_meanwhile_is_begun_anew(transfer, arrived, server, ignores_if_range):
    with pytest.raises(KeyboardInterrupt):
        transfer(progress=interrupt_after(300_000))
    server.files["set.zip"] = LONG[::-1]
    server.ignores_if_range = ignores_if_range
    transfer()
    assert arrived.read_bytes() == LONG[::-1]
    assert len(server.requests) == (3 if ignores_if_range else 2)


def test_without_a_version_to_rely_on_nothing_is_resumed(transfer, arrived, server):
    server.has_versions = False
    server.orders["cut"] = 1
    transfer()
    assert arrived.read_bytes() == LONG
    assert ranges(server) == [None, None]


def test_the_part_of_another_address_is_not_built_on(transfer, arrived, server):
    server.files["other.zip"] = LONG
    with pytest.raises(KeyboardInterrupt):
        transfer(progress=interrupt_after(300_000))
    transfer("other.zip")
    assert arrived.read_bytes() == LONG
    assert ranges(server) == [None, None]


def test_a_busy_server_is_asked_again(transfer, arrived, server):
    server.orders["busy"] = 2
    transfer()
    assert arrived.read_bytes() == LONG
    assert len(server.requests) == 3


def test_a_server_that_stays_busy_is_a_passing_fault(transfer, server):
    server.orders["busy"] = 100
    with pytest.raises(TransientError, match=f"answers 503 .*, {ATTEMPTS + 1} times") as caught:
        transfer()
    assert caught.value.exit_code == 75


def test_a_slow_server_is_waited_for(transfer, arrived, server):
    server.pause = 0.05
    transfer(timeout=2.0)
    assert arrived.read_bytes() == LONG


def test_a_server_that_falls_silent_is_given_up_and_what_arrived_is_kept(transfer, server):
    server.pause = 0.2
    with pytest.raises(TransientError, match=r"broke off 6 times .* bytes are kept"):
        transfer(timeout=0.05)


def test_nobody_at_the_address_is_a_passing_fault(transfer, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(TransientError, match="broke off"):
        transfer()


def test_an_address_that_cannot_prove_who_it_is_is_not_trusted(arrived, server):
    address = f"{server.address.replace('http', 'https')}/set.zip"
    with pytest.raises(DataError, match=r"set\.zip cannot be trusted: .*certificates"):
        download(address, arrived, wait=0.001, timeout=5.0)


def test_a_file_that_is_not_there_is_told_at_once(transfer, server):
    with pytest.raises(DataError, match=r"/no\.zip answers 404 Not Found\. Check the address"):
        transfer("no.zip")
    assert len(server.requests) == 1


def test_a_wrong_length_is_told_before_the_bytes_are_fetched(transfer, part):
    with pytest.raises(DataError, match=f"has {len(LONG)} bytes, expected 5: it is another"):
        transfer(size=5)
    assert not part.exists()


def test_progress_tells_what_is_there_and_what_will_be(transfer):
    told = []
    transfer(progress=lambda there, whole: told.append((there, whole)))
    assert told[-1] == (len(LONG), len(LONG))
    assert [there for there, _ in told] == sorted(there for there, _ in told)
