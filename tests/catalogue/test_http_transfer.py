"""Transfers over a web that breaks: what arrived counts, and versions never mix."""

from __future__ import annotations

import pytest

from pasam.data.download import ATTEMPTS, download
from pasam.errors import DataError, TransientError

CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def target(tmp_path):
    return tmp_path / "set.zip"


@pytest.fixture
def part(tmp_path):
    return tmp_path / "set.zip.part"


@pytest.fixture
def transfer(server, target):
    server.files["set.zip"] = CONTENT

    def run(name="set.zip", *, timeout=5.0, **options):
        download(f"{server.address}/{name}", target, wait=0.001, timeout=timeout, **options)

    return run


def ranges(server):
    return [wanted for _, wanted in server.requests]


def interrupt_after(count):
    def progress(there, whole):
        if there >= count:
            raise KeyboardInterrupt

    return progress


def test_a_file_arrives_byte_for_byte(transfer, target, server):
    transfer()
    assert target.read_bytes() == CONTENT
    assert ranges(server) == [None]


def test_a_cut_connection_goes_on_where_it_broke_off(transfer, target, server):
    server.orders["cut"] = 3
    transfer()
    assert target.read_bytes() == CONTENT
    half = len(CONTENT) // 2
    assert ranges(server)[:3] == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]


def test_an_interrupted_transfer_goes_on_in_the_next_one(transfer, target, part, server):
    server.pause = 0.01
    with pytest.raises(KeyboardInterrupt):
        transfer(progress=interrupt_after(300_000))
    there = part.stat().st_size
    assert there >= 300_000
    transfer()
    assert target.read_bytes() == CONTENT
    assert ranges(server) == [None, f"bytes={there}-"]


def test_a_transfer_that_was_stopped_after_the_last_byte_needs_no_further_one(
    transfer, target, server
):
    with pytest.raises(KeyboardInterrupt):
        transfer(progress=interrupt_after(len(CONTENT)))
    transfer()
    assert target.read_bytes() == CONTENT


def test_refused_ranges_mean_a_whole_download(transfer, target, server):
    server.refuses_ranges = True
    server.orders["cut"] = 2
    transfer()
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 3


@pytest.mark.parametrize("ignores_if_range", [False, True])
def test_a_file_that_changed_meanwhile_is_begun_anew(transfer, target, server, ignores_if_range):
    with pytest.raises(KeyboardInterrupt):
        transfer(progress=interrupt_after(300_000))
    server.files["set.zip"] = CONTENT[::-1]
    server.ignores_if_range = ignores_if_range
    transfer()
    assert target.read_bytes() == CONTENT[::-1]
    assert len(server.requests) == (3 if ignores_if_range else 2)


def test_without_a_version_to_rely_on_nothing_is_resumed(transfer, target, server):
    server.has_versions = False
    server.orders["cut"] = 1
    transfer()
    assert target.read_bytes() == CONTENT
    assert ranges(server) == [None, None]


def test_the_part_of_another_address_is_not_built_on(transfer, target, server):
    server.files["other.zip"] = CONTENT
    with pytest.raises(KeyboardInterrupt):
        transfer(progress=interrupt_after(300_000))
    transfer("other.zip")
    assert target.read_bytes() == CONTENT
    assert ranges(server) == [None, None]


def test_a_busy_server_is_asked_again(transfer, target, server):
    server.orders["busy"] = 2
    transfer()
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_a_server_that_stays_busy_is_a_passing_fault(transfer, server):
    server.orders["busy"] = 100
    with pytest.raises(TransientError, match=f"answers 503 .*, {ATTEMPTS + 1} times") as caught:
        transfer()
    assert caught.value.exit_code == 75


def test_a_slow_server_is_waited_for(transfer, target, server):
    server.pause = 0.05
    transfer(timeout=2.0)
    assert target.read_bytes() == CONTENT


def test_a_server_that_falls_silent_is_given_up_and_what_arrived_is_kept(transfer, server):
    server.pause = 0.2
    with pytest.raises(TransientError, match=r"broke off 6 times .* bytes are kept"):
        transfer(timeout=0.05)


def test_nobody_at_the_address_is_a_passing_fault(transfer, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(TransientError, match="broke off"):
        transfer()


def test_an_address_that_cannot_prove_who_it_is_is_not_trusted(target, server):
    address = f"{server.address.replace('http', 'https')}/set.zip"
    with pytest.raises(DataError, match=r"set\.zip cannot be trusted: .*certificates"):
        download(address, target, wait=0.001, timeout=5.0)


def test_a_file_that_is_not_there_is_told_at_once(transfer, server):
    with pytest.raises(DataError, match=r"/no\.zip answers 404 Not Found\. Check the address"):
        transfer("no.zip")
    assert len(server.requests) == 1


def test_a_wrong_length_is_told_before_the_bytes_are_fetched(transfer, part):
    with pytest.raises(DataError, match=f"has {len(CONTENT)} bytes, expected 5: it is another"):
        transfer(size=5)
    assert not part.exists()


def test_progress_tells_what_is_there_and_what_will_be(transfer):
    told = []
    transfer(progress=lambda there, whole: told.append((there, whole)))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [there for there, _ in told] == sorted(there for there, _ in told)
