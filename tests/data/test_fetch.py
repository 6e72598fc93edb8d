"""Fetching ends in complete, verified folders or in one clear error, and twice is once."""

from __future__ import annotations

import hashlib

import pytest
import yaml
from filelock import FileLock

from pasam.data.catalogue import read_catalogue
from pasam.data.fetch import fetch
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
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in published.items()}
    assert yaml.safe_load(lock.read_text()) == digests


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
    assert list(yaml.safe_load(lock.read_text())) == ["DIS5K.zip"]


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


def test_faults_on_the_way_end_in_complete_folders(bring, server):
    server.orders.update(cut=3, busy=2)
    server.pause = 0.001
    results = bring()
    assert {result.entry.name: result.images for result in results} == COUNTS


def test_a_missing_archive_is_one_error_and_no_half_set(bring, place, server):
    del server.files["cascade_psp.zip"]
    with pytest.raises(DataError, match=r"cascade_psp\.zip answers 404"):
        bring()
    assert visible(place) == ["archives"]


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
