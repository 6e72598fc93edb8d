"""Fetching ends in complete, verified folders or in one clear error, and twice is once."""

from __future__ import annotations

import hashlib
import threading
import time

import pytest
from filelock import FileLock
from small_world import load_yaml

from pasam.data.catalogue import read_catalogue, write_lock
from pasam.data.download import ATTEMPTS, download, is_on_the_web
from pasam.data.fetch import _in_threads, fetch
from pasam.errors import DataError, TransientError

CATALOGUE = read_catalogue()
ELEVEN = CATALOGUE.select(["hqseg44k"])
(DIS_VD,) = CATALOGUE.select(["DIS5K-VD"])
COUNTS = {
    "DIS5K-TR": 5, "ThinObject5K-TR": 3, "FSS-1000": 4, "DUTS-TR": 4, "DUTS-TE": 4, "ecssd": 4,
    "MSRA_10K": 4, "DIS5K-VD": 1, "COIFT": 2, "HRSOD": 2, "ThinObject5K-TE": 2,
}  # fmt: skip


@pytest.fixture
def place(tmp_path):
    return tmp_path / "catalogue"


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "catalogue.lock"


@pytest.fixture
def bring(server, published, place, lock):
    """Fetch from the server, which has HQSeg-44K in small."""
    server.files |= published

    def run(entries=ELEVEN, *, source=server.address, **options):
        return fetch(entries, place, source=source, lock=lock, **options)

    return run


def visible(place):
    return sorted(path.name for path in place.iterdir() if path.name != ".fetch.lock")


def test_hqseg44k_arrives_in_eleven_folders_from_three_downloads(bring, place, server):
    results = bring()
    assert {result.entry.name: result.images for result in results} == COUNTS
    assert all(result.is_new for result in results)
    assert sorted(name for name, _ in server.requests) == sorted(server.files)
    hrsod = place / "HRSOD" / "thin_object_detection" / "HRSOD"
    assert sorted(path.name for path in (hrsod / "masks_max255").iterdir()) == ["0.png", "1.png"]
    assert visible(place) == sorted([*COUNTS, "archives"])


def test_a_second_fetch_does_nothing(bring, place, server, lock):
    bring()
    requests, text = len(server.requests), lock.read_text()
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.is_file()}
    results = bring()
    assert not any(result.is_new or result.recorded for result in results)
    assert {result.entry.name: result.images for result in results} == COUNTS
    assert len(server.requests) == requests
    assert lock.read_text() == text
    after = {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.is_file()}
    assert {path for path in before if before[path] != after[path]} <= {place / ".fetch.lock"}


def test_checksums_that_nobody_publishes_are_recorded(bring, published, lock):
    results = bring()
    assert results[0].recorded == ("DIS5K.zip",)
    lock.unlink()
    for name in ("DIS5K-VD", "HRSOD", "ecssd"):  # each adds to what is recorded
        bring(CATALOGUE.select([name]))
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in published.items()}
    assert load_yaml(lock.read_text()) == digests


def test_what_was_recorded_has_to_come_again(bring, place, server, published, lock):
    bring([DIS_VD])
    other = place.with_name("elsewhere")
    server.files["DIS5K.zip"] = published["DIS5K.zip"] + b"changed"
    with pytest.raises(DataError, match=r"has the sha256 .*, expected .* remove its line there"):
        fetch([DIS_VD], other, source=server.address, lock=lock)
    assert visible(other) == ["archives"]
    assert list((other / "archives").iterdir()) == []


def test_a_published_checksum_is_not_recorded_but_checked(bring, place, lock, server):
    (weights,) = CATALOGUE.select(["sam_vit_b"])
    server.files["sam_vit_b_01ec64.pth"] = b"not the weights"
    with pytest.raises(DataError, match="15 bytes, expected 375042383"):
        bring([weights])
    assert not (place / "sam_vit_b").exists()
    digits = hashlib.sha256(b"not the weights").hexdigest()[:6]
    archive = weights.archives[0].model_copy(update={"size": 15, "sha256": digits})
    (result,) = bring([weights.model_copy(update={"archives": (archive,)})])
    assert (place / "sam_vit_b" / "sam_vit_b_01ec64.pth").read_bytes() == b"not the weights"
    assert result.images is None
    assert result.recorded == ("sam_vit_b_01ec64.pth",)  # six digits are not the whole checksum


def test_a_whole_published_checksum_stays_out_of_the_lock(bring, lock, server):
    (weights,) = CATALOGUE.select(["sam_vit_b"])
    server.files["sam_vit_b_01ec64.pth"] = b"the weights"
    whole = {"size": 11, "sha256": hashlib.sha256(b"the weights").hexdigest()}
    archive = weights.archives[0].model_copy(update=whole)
    (result,) = bring([weights.model_copy(update={"archives": (archive,)})])
    assert (result.is_new, result.recorded) == (True, ())
    assert not lock.exists()
    bring([DIS_VD])
    assert list(load_yaml(lock.read_text())) == ["DIS5K.zip"]


def test_a_deleted_lock_is_written_again_from_what_is_there(bring, lock, server):
    bring([DIS_VD])
    text = lock.read_text()
    lock.unlink()
    (result,) = bring([DIS_VD])
    assert (result.is_new, result.recorded) == (False, ("DIS5K.zip",))
    assert lock.read_text() == text
    assert len(server.requests) == 1


def test_a_folder_is_a_source_too(bring, published, place, tmp_path):
    (tmp_path / "mirror").mkdir()
    for name, content in published.items():
        (tmp_path / "mirror" / name).write_bytes(content)
    results = bring(source=str(tmp_path / "mirror"))
    assert {result.entry.name: result.images for result in results} == COUNTS
    assert sorted(path.name for path in (tmp_path / "mirror").iterdir()) == sorted(published)


def test_archives_can_go_once_they_are_extracted(bring, place, server):
    bring(keep_archives=False)
    assert list((place / "archives").iterdir()) == []
    bring(keep_archives=False)
    assert len(server.requests) == 3


def test_a_kept_archive_serves_the_next_data_set(bring, server):
    bring([DIS_VD])
    bring(CATALOGUE.select(["DIS5K-TR"]))
    assert len(server.requests) == 1


@pytest.mark.long
def test_faults_on_the_way_end_in_complete_folders(bring, server):
    server.orders.update(cut=3, busy=2)
    server.pause = 0.001
    results = bring()
    assert {result.entry.name: result.images for result in results} == COUNTS


def test_a_failure_stops_what_is_under_way_and_what_has_not_begun():
    stop, begun, told = threading.Event(), [], []

    def work(number):
        begun.append(number)
        if number == 0:
            raise DataError("no")
        told.append(stop.wait(2))
        time.sleep(0.05)

    with pytest.raises(DataError, match="no"):
        _in_threads(work, range(9), 2, stop)
    assert set(begun) <= {0, 1, 2}
    assert all(told)
    assert stop.is_set()
    calm = threading.Event()
    for workers in (0, 3):
        assert _in_threads(lambda number: number**2, [3, 1, 2], workers, calm) == [9, 1, 4]
    assert not calm.is_set()


def test_a_missing_archive_is_one_error_and_no_half_set(bring, place, server):
    del server.files["cascade_psp.zip"]
    with pytest.raises(DataError, match=r"cascade_psp\.zip answers 404"):
        bring()
    assert visible(place) == ["archives"]


@pytest.mark.long
def test_the_first_failure_stops_the_other_transfers(bring, place, server):
    del server.files["cascade_psp.zip"]
    server.pause = 0.1  # the others take most of a second
    with pytest.raises(DataError, match=r"cascade_psp\.zip answers 404"):
        bring()
    assert list((place / "archives").glob("*.zip")) == []


def test_a_hostile_archive_is_thrown_away_and_recorded_nowhere(
    bring, place, server, published, zipped, lock
):
    server.files["DIS5K.zip"] = zipped({"DIS5K/DIS-VD/im/0.jpg": b"", "../../evil": b"evil"})
    with pytest.raises(DataError, match="leads out of its folder"):
        bring([DIS_VD])
    assert visible(place) == ["archives"]
    assert not lock.exists()
    assert not (place.parent / "evil").exists()
    server.files |= published
    (result,) = bring([DIS_VD])
    assert result.images == 1


def test_what_a_killed_fetch_left_behind_does_not_count(bring, place, published, tree):
    (place / "archives").mkdir(parents=True)
    (place / "archives" / "DIS5K.zip.part").write_bytes(published["DIS5K.zip"][:100])
    (place / ".DIS5K-VD.draft" / "DIS5K").mkdir(parents=True)
    (place / ".DIS5K-VD.draft" / "half").write_text("")
    (result,) = bring([DIS_VD])
    assert result.images == 1
    assert not (place / ".DIS5K-VD.draft").exists()
    assert tree(place / "archives") == ["DIS5K.zip"]
    assert (place / "archives" / "DIS5K.zip").read_bytes() == published["DIS5K.zip"]


def test_a_damaged_archive_of_an_earlier_fetch_is_fetched_again(bring, place, published, lock):
    bring([DIS_VD])
    (place / "archives" / "DIS5K.zip").write_bytes(b"damaged")
    (dis_tr,) = bring(CATALOGUE.select(["DIS5K-TR"]))
    assert dis_tr.images == 5
    assert (place / "archives" / "DIS5K.zip").read_bytes() == published["DIS5K.zip"]


@pytest.mark.long
def test_an_interruption_stops_all_transfers_and_keeps_what_arrived(bring, place, server):
    server.pause = 0.05
    server.interrupts_at = 3
    with pytest.raises(KeyboardInterrupt):
        bring()
    assert visible(place) == ["archives"]
    assert list((place / "archives").glob("*.zip")) == []
    assert {result.entry.name: result.images for result in bring()} == COUNTS


def test_a_second_fetch_at_the_same_time_is_sent_away(bring, place):
    place.mkdir()
    with FileLock(place / ".fetch.lock"), pytest.raises(TransientError, match="Another fetch"):
        bring()


def test_the_generated_families_are_not_fetched_but_made(bring):
    with pytest.raises(DataError, match=r"dis_like cannot be fetched\. Run `dvc repro prepare`"):
        bring(CATALOGUE.select(["dis_like"]))


def test_without_an_address_only_a_mirror_helps(bring, server, published):
    archive = DIS_VD.archives[0].model_copy(update={"address": None})
    entry = DIS_VD.model_copy(update={"archives": (archive,), "hint": "Ask the authors."})
    with pytest.raises(DataError, match=r"DIS5K-VD cannot be fetched\. Ask the authors\."):
        bring([entry], source=None)
    (result,) = bring([entry])
    assert result.images == 1


def test_a_full_disk_is_told_before_anything_is_fetched(bring, server, monkeypatch):
    usage = type("Usage", (), {"free": 1_000_000})
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage)
    with pytest.raises(DataError, match=r"The archives take 3\.5 GB, but .* has 0\.0 GB free"):
        bring([DIS_VD])
    assert server.requests == []


def test_an_archive_that_is_there_needs_no_room(bring, monkeypatch):
    bring([DIS_VD])
    monkeypatch.setattr("shutil.disk_usage", lambda place: type("Usage", (), {"free": 1_000_000}))
    (dis_tr,) = bring(CATALOGUE.select(["DIS5K-TR"]))
    assert dis_tr.images == 5


def test_an_archive_that_somebody_vouches_for_stays_where_it_cannot_be_extracted(
    bring, place, lock, published
):
    layout = DIS_VD.layout.model_copy(update={"images": "DIS5K/gone"})
    whole = hashlib.sha256(published["DIS5K.zip"]).hexdigest()
    for sha256, recorded, kept in (
        (whole, {}, ["DIS5K.zip"]), (None, {}, []), (whole[:6], {}, ["DIS5K.zip"]),
        (None, {"DIS5K.zip": whole}, ["DIS5K.zip"]),
    ):  # fmt: skip
        write_lock(lock, recorded)
        archive = DIS_VD.archives[0].model_copy(update={"sha256": sha256})
        entry = DIS_VD.model_copy(update={"archives": (archive,), "layout": layout})
        with pytest.raises(DataError, match="holds nothing in 'DIS5K/gone'"):
            bring([entry])
        assert [path.name for path in (place / "archives").iterdir()] == kept
        assert not (place / "DIS5K-VD").exists()


def test_only_archives_of_this_fetch_go_and_they_lie_where_they_are_wanted(bring, place, tmp_path):
    bring([DIS_VD])
    bring(CATALOGUE.select(["HRSOD"]), keep_archives=False)
    bring(CATALOGUE.select(["HRSOD", "DIS5K-VD"]), keep_archives=False)  # both are there
    assert [path.name for path in (place / "archives").iterdir()] == ["DIS5K.zip"]
    (found,) = bring(CATALOGUE.select(["DUTS-TR"]), archives=tmp_path / "store", workers=1)
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["cascade_psp.zip"]
    assert (found.folder, found.images) == (place / "DUTS-TR", 4)
    assert visible(place) == ["DIS5K-VD", "DUTS-TR", "HRSOD", "archives"]


CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "sets" / "set.zip"


@pytest.fixture
def address(server):
    server.files["set.zip"] = CONTENT
    return f"{server.address}/set.zip"


def test_the_file_appears_alone_and_its_checksum_is_returned(address, target, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda handle: synced.append(target.exists()))
    assert download(address, target, sha256=SHA256, size=len(CONTENT)) == SHA256
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]
    assert synced == [False, True], "the bytes are on the disk before their name is"


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
    server.orders["cut"] = ATTEMPTS + 3  # each of which brings some bytes
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


def test_a_version_that_other_bytes_may_have_is_none_to_rely_on(transfer, arrived, server):
    server.weak = True
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


def test_the_systems_proxy_is_asked_unless_the_host_is_excepted(
    transfer, arrived, server, monkeypatch
):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    transfer()
    assert arrived.read_bytes() == LONG
    monkeypatch.setenv("http_proxy", server.address)
    server.files["http://elsewhere.invalid/x.zip"] = b"by proxy"
    download("http://elsewhere.invalid/x.zip", arrived, wait=0.001, timeout=5.0)
    assert arrived.read_bytes() == b"by proxy"
