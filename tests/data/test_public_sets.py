"""From archives on a web server to pairs with the right roles: the whole way of a public set."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import zipfile
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.data.catalogue import read_catalogue
from pasam.data.download import _extent, _Part, _Transfer, _version, download
from pasam.data.fetch import _address, fetch, missing_sets, public_pairs
from pasam.data.package_photographs import (
    MODULES,
    DrawnObject,
    PackagePhotograph,
    package_photographs,
)
from pasam.errors import DataError
from pasam.files import file_sha256

COUNTS = {
    ("train", "DIS5K-TR"): 4, ("train", "ThinObject5K-TR"): 3, ("train", "FSS-1000"): 3,
    ("train", "DUTS-TR"): 2, ("train", "DUTS-TE"): 2, ("train", "ecssd"): 2,
    ("train", "MSRA_10K"): 2, ("val", "DIS5K-VD"): 2, ("val", "COIFT"): 1, ("val", "HRSOD"): 2,
    ("val", "ThinObject5K-TE"): 1,
}  # fmt: skip
FOLDERS = {
    "DIS5K.zip": {"DIS5K/DIS-TR/im DIS5K/DIS-TR/gt": 4, "DIS5K/DIS-VD/im DIS5K/DIS-VD/gt": 2},
    "thin_object_detection.zip": {
        "ThinObject5K/images_train ThinObject5K/masks_train": 3,
        "ThinObject5K/images_test ThinObject5K/masks_test": 1,
        "COIFT/images COIFT/masks": 1,
        "HRSOD/images HRSOD/masks_max255": 2,
    },
    "cascade_psp.zip": {
        "fss_all fss_all": 3, "DUTS-TR DUTS-TR": 2, "DUTS-TE DUTS-TE": 2, "ecssd ecssd": 2,
        "MSRA_10K MSRA_10K": 2,
    },
}  # fmt: skip
"""HQSeg-44K's three archives: folders of images and masks, and how many pairs."""


def picture(rng: np.random.Generator, suffix: str) -> bytes:
    if suffix == ".jpg":
        array = rng.integers(0, 256, (20, 24, 3), np.uint8)
    else:
        array = np.zeros((20, 24), np.uint8)
        array[4:12, 4 : 10 + int(rng.integers(8))] = 255
    return cv2.imencode(suffix, array)[1].tobytes()


@pytest.fixture
def archives(tmp_path):
    """The archives, with an image that has no mask and masks of another scale beside them."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "published"
    folder.mkdir()
    for name, sets in FOLDERS.items():
        memory = io.BytesIO()
        with zipfile.ZipFile(memory, "w") as packed:
            for folders, count in sets.items():
                images, masks = folders.split()
                for number in range(count):
                    packed.writestr(f"{images}/{number}.jpg", picture(rng, ".jpg"))
                    packed.writestr(f"{masks}/{number}.png", picture(rng, ".png"))
            if name == "cascade_psp.zip":
                packed.writestr("fss_all/lonely.jpg", picture(rng, ".jpg"))
            if name == "thin_object_detection.zip":
                packed.writestr("HRSOD/masks/0.png", b"masks of 0/1, which are not taken")
        (folder / name).write_bytes(memory.getvalue())
    return folder


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        """Say nothing."""


@pytest.fixture
def address(archives):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=archives)) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def place(own_world):
    return own_world.path("data/catalogue"), own_world.path("catalogue.lock")


def test_a_public_group_is_fetched_prepared_and_checked(own_world, address, monkeypatch, caplog):
    from pasam.data.manifest import read_manifest

    monkeypatch.chdir(own_world.folder)
    runner = CliRunner()
    result = runner.invoke(app, ["data", "fetch", "hqseg44k", "--from", address])
    assert result.exit_code == 0
    assert sorted(path.name for path in Path("data/archives").iterdir()) == sorted(FOLDERS)
    own_world.change("data", catalogue=["hqseg44k"])
    own_world.change("data.generated", train_images=0, benchmark_images=0)
    own_world.run("prepare")
    manifest = read_manifest(Path("data/manifest.parquet"))
    assert Counter(zip(manifest["split"], manifest["dataset"], strict=True)) == COUNTS
    assert all("masks_max255" in mask for mask in manifest[manifest["dataset"] == "HRSOD"]["mask"])
    assert "FSS-1000: 1 files have no partner and are left out (lonely.jpg)" in caplog.text
    assert "HRSOD: 2 images with a mask; the catalogue says 287" in caplog.text
    checked = runner.invoke(app, ["data", "check", "HRSOD", "--workers", "1"])
    assert checked.exit_code == 0
    assert "2 0/255" in checked.output


def test_a_group_means_all_its_sets_in_order(own_world, archives, monkeypatch):
    monkeypatch.chdir(own_world.folder)
    CliRunner().invoke(app, ["data", "fetch", "hqseg44k", "--from", str(archives)])
    pairs, remarks = public_pairs(["hqseg44k_benchmarks"], *place(own_world))
    found = Counter((pair.split, pair.dataset) for pair in pairs)
    assert found == {key: count for key, count in COUNTS.items() if key[0] == "val"}
    assert [remark.partition(":")[0] for remark in remarks] == [
        "DIS5K-VD",
        "COIFT",
        "HRSOD",
        "ThinObject5K-TE",
    ]


def test_what_was_not_fetched_is_named_with_the_command(tmp_path):
    with pytest.raises(DataError, match=r"Run `pasam data fetch COIFT HRSOD`"):
        public_pairs(["COIFT", "HRSOD"], tmp_path, tmp_path / "catalogue.lock")


CATALOGUE = read_catalogue()


@pytest.fixture
def fetched(tmp_path):
    return tmp_path / "catalogue", tmp_path / "catalogue.lock"


@pytest.fixture
def bring(published, fetched, tmp_path):
    """Fetch from a folder with HQSeg-44K in small."""
    for name, content in published.items():
        (tmp_path / name).write_bytes(content)

    def run(*names):
        root, lock = fetched
        fetch(CATALOGUE.select(names), root, source=str(tmp_path), lock=lock)

    return run


def test_a_role_decides_the_split(bring, fetched):
    bring("HRSOD", "FSS-1000")
    pairs, remarks = public_pairs(["HRSOD", "FSS-1000"], *fetched)
    splits = {(pair.dataset, pair.split) for pair in pairs}
    assert splits == {("HRSOD", "val"), ("FSS-1000", "train")}
    hrsod = next(pair for pair in pairs if pair.dataset == "HRSOD")
    folder = fetched[0] / "HRSOD/thin_object_detection/HRSOD"
    assert (hrsod.image.parent, hrsod.mask.parent) == (folder / "images", folder / "masks_max255")
    fss = next(pair for pair in pairs if pair.dataset == "FSS-1000")
    assert fss.image.with_suffix(".png") == fss.mask
    assert any("4 images with a mask; the catalogue says 10000" in one for one in remarks)


def test_a_remark_names_the_first_files_without_a_partner_and_no_count_that_is_right(
    bring, fetched, monkeypatch
):
    bring("HRSOD")
    entry = dataclasses.replace(CATALOGUE, groups={}).entries["HRSOD"]
    right = dataclasses.replace(
        CATALOGUE, entries={"HRSOD": entry.model_copy(update={"images": 2})}
    )
    monkeypatch.setattr("pasam.data.fetch.read_catalogue", lambda: right)
    assert public_pairs(["HRSOD"], *fetched)[1] == ()
    images = fetched[0] / "HRSOD/thin_object_detection/HRSOD/images"
    for path in images.with_name("masks_max255").iterdir():
        path.with_suffix(".bmp").touch()
    layout = entry.layout.model_copy(update={"mask_suffix": ".bmp"})
    other = entry.model_copy(update={"layout": layout})
    with monkeypatch.context() as context:
        bitmaps = dataclasses.replace(CATALOGUE, entries={"HRSOD": other})
        context.setattr("pasam.data.fetch.read_catalogue", lambda: bitmaps)
        pairs = public_pairs(["HRSOD"], *fetched)[0]
    assert {(pair.image.suffix, pair.mask.suffix) for pair in pairs} == {(".jpg", ".bmp")}
    for count, shown in ((5, "a4.jpg)"), (6, "a4.jpg, ...)")):
        (images / f"a{count - 1}.jpg").touch()
        for number in range(count):
            (images / f"a{number}.jpg").touch()
        (remark,) = public_pairs(["HRSOD"], *fetched)[1]
        assert f"HRSOD: {count} files have no partner and are left out (a0.jpg, " in remark
        assert remark.endswith(f"{shown}.")


def test_no_names_are_no_sets(fetched):
    assert public_pairs([], *fetched) == ((), ())


def test_what_is_missing_is_named_with_its_command(bring, fetched):
    bring("HRSOD")
    with pytest.raises(DataError, match=r"names COIFT, not fetched .*`pasam data fetch COIFT`"):
        public_pairs(["HRSOD", "COIFT"], *fetched)


def test_a_set_of_other_archives_than_expected_counts_as_missing(bring, fetched):
    bring("HRSOD")
    entries = CATALOGUE.select(["HRSOD"])
    assert missing_sets(entries, *fetched) == ()
    fetched[1].write_text(f"thin_object_detection.zip: {'a' * 64}\n")
    assert missing_sets(entries, *fetched) == entries


@pytest.mark.parametrize("name", ["coco_val2017", "sam_vit_b", "dis_like"])
def test_what_has_no_mask_pictures_is_refused(fetched, name):
    with pytest.raises(DataError, match=f"data.catalogue names {name}, which has the role"):
        public_pairs([name], *fetched)


def test_an_unknown_name_is_refused(fetched):
    with pytest.raises(DataError, match="'hqseg' is not in the catalogue"):
        public_pairs(["hqseg"], *fetched)


PHOTOGRAPHS = package_photographs()


def installed(photograph):
    return importlib.util.find_spec(MODULES[photograph.package]) is not None


@pytest.mark.parametrize("photograph", PHOTOGRAPHS, ids=lambda p: p.name)
def test_every_object_lies_in_its_photograph(photograph):
    if not installed(photograph):
        pytest.skip(f"{photograph.package} is not installed")
    height, width = photograph.read().shape[:2]
    assert photograph.objects
    assert photograph.licence
    for drawn in photograph.objects:
        corners = np.array([corner for polygon in drawn.polygons for corner in polygon])
        assert corners.min() >= 0
        assert (corners <= [width, height]).all(), drawn.name
        share = (drawn.mask((height, width)) > 128).mean()
        assert 0.0005 < share < 0.9, drawn.name


def test_there_are_some_sixty_objects_with_names_of_their_own():
    names = [(p.name, drawn.name) for p in PHOTOGRAPHS for drawn in p.objects]
    assert len(names) == len(set(names))
    assert 60 <= len(names) <= 80


def test_holes_are_empty_and_parts_belong_together():
    square = ((2.0, 2.0), (11.0, 2.0), (11.0, 11.0), (2.0, 11.0))
    dot = ((14.0, 14.0), (15.0, 14.0), (15.0, 15.0), (14.0, 15.0))
    hole = ((5.0, 5.0), (7.0, 5.0), (7.0, 7.0), (5.0, 7.0))
    mask = DrawnObject(name="s", polygons=(square, dot), holes=(hole,)).mask((20, 20)) > 128
    assert mask[3, 3]
    assert mask[14, 14]
    assert not mask[6, 6]
    assert not mask[17, 17]


def photograph(**changes):
    values = {
        "name": "cat", "package": "scikit-image", "file": "data/chelsea.png", "sha256": "0" * 64,
        "licence": "CC0", "objects": (),
    }  # fmt: skip
    return PackagePhotograph(**{**values, **changes})


def test_another_picture_under_the_same_name_is_refused():
    with pytest.raises(DataError, match=r"expected 000000000000\.\.\.: the objects were drawn on"):
        photograph().read()
    digest = file_sha256(photograph().path)
    assert photograph(sha256=digest).read().shape == (300, 451, 3)
    with pytest.raises(DataError, match="drawn on another picture"):
        photograph(sha256=f"{digest[:12]}{'0' * 52}").read()


def test_a_package_without_the_file_is_named():
    with pytest.raises(DataError, match=r"scikit-image ships no data/dog\.png"):
        photograph(file="data/dog.png").read()


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(MODULES, "scikit-image", "no_such_module")
    with pytest.raises(DataError, match="pip install scikit-image"):
        photograph().read()


def test_a_polygon_of_two_corners_is_refused(tmp_path):
    path = tmp_path / "objects.json"
    entry = {"image": "cat", "name": "line", "polygons": [[[0, 0], [1, 1]]], "holes": []}
    image = {"package": "scikit-image", "file": "f", "sha256": "0", "licence": "CC0"}
    path.write_text(json.dumps({"images": {"cat": image}, "objects": [entry]}))
    with pytest.raises(DataError, match="a polygon of 2 corners"):
        package_photographs(path)
    corners = [[[0, 0], [4, 0], [4, 4]]]  # a triangle is one
    path.write_text(
        json.dumps({"images": {"cat": image}, "objects": [{**entry, "polygons": corners}]})
    )
    assert package_photographs(path)[0].objects[0].polygons == (((0, 0), (4, 0), (4, 4)),)
    path.write_text("{")
    with pytest.raises(DataError, match="is not readable JSON"):
        package_photographs(path)


@pytest.mark.parametrize(
    ("status", "headers", "extent"),
    [
        (206, {"Content-Range": "bytes 5-9/10"}, (5, 10)),
        (206, {"Content-Range": "bytes 5-9/*", "Content-Length": "5"}, (5, None)),
        (416, {"Content-Range": "bytes */10"}, (None, 10)),
        (206, {"Content-Length": "5"}, (0, None)), (200, {"Content-Length": "10"}, (0, 10)),
        (200, {"Content-Length": "many"}, (0, None)), (200, {}, (0, None)),
    ],
)  # fmt: skip
def test_place_and_length_are_what_the_headers_say(status, headers, extent):
    assert _extent(SimpleNamespace(status=status, headers=headers)) == extent


def test_a_version_is_the_strong_tag_or_else_the_date():
    for tag, version in (('"a"', '"a"'), ('W/"a"', "today"), (None, "today")):
        headers = {"Last-Modified": "today"} | ({"ETag": tag} if tag else {})
        assert _version(SimpleNamespace(headers=headers)) == version
    assert _version(SimpleNamespace(headers={"ETag": 'W/"a"'})) is None


def test_a_file_of_a_length_that_no_header_tells_is_taken(tmp_path):
    told, part = [], _Part(tmp_path / "x.part", "http://host/x")
    transfer = _Transfer(part, size=5, progress=lambda *how: told.append(how), wait=0, timeout=1)
    answer = SimpleNamespace(
        status=200, headers={}, stream=lambda *how, **more: iter([b"ab", b"cde"])
    )
    transfer._take(answer, 0, None)
    assert (part.path.read_bytes(), told) == (b"abcde", [(2, None), (5, None)])


@pytest.mark.parametrize("known", [1, 2, 3, None])
def test_images_are_counted_against_the_catalogue_whether_they_are_more_or_fewer(
    known, tmp_path, monkeypatch
):
    entry = CATALOGUE.entries["HRSOD"].model_copy(update={"images": known})
    for number in range(2):
        for folder, suffix in ((entry.layout.images, "jpg"), (entry.layout.masks, "png")):
            file = tmp_path / "HRSOD" / folder / f"{number}.{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    monkeypatch.setattr(
        "pasam.data.fetch._fetched", lambda *given: [(entry, entry.layout, entry.layout.masks)]
    )
    pairs, remarks = public_pairs(["HRSOD"], tmp_path, tmp_path / "lock")
    told = f"HRSOD: 2 images with a mask; the catalogue says {known}."
    assert (len(pairs), remarks) == (2, () if known in (2, None) else (told,))


def test_an_archive_comes_from_its_publisher_a_mirror_or_a_folder():
    archive = CATALOGUE.entries["HRSOD"].archives[0]
    for source, address in (
        (None, archive.address), ("https://mirror/sets/", f"https://mirror/sets/{archive.name}"),
        ("file:///srv/sets", f"file:///srv/sets/{archive.name}"), ("sets", f"sets/{archive.name}"),
    ):  # fmt: skip
        assert _address(archive, source) == address
    spaced = archive.model_copy(update={"name": "a b#1.zip"})
    assert _address(spaced, "https://mirror") == "https://mirror/a%20b%231.zip"
    assert _address(spaced, "sets") == "sets/a b#1.zip"


@pytest.mark.parametrize("size", [4, 5, 6, None])
def test_a_file_of_fewer_or_of_more_bytes_is_another_one(size, tmp_path):
    (tmp_path / "there").write_bytes(b"12345")
    target = tmp_path / "here"
    if size in (5, None):
        download(str(tmp_path / "there"), target, size=size)
        assert target.read_bytes() == b"12345"
    else:
        with pytest.raises(DataError, match=f"has 5 bytes, expected {size}"):
            download(str(tmp_path / "there"), target, size=size)
        assert not target.exists()


def test_of_a_part_that_has_all_its_bytes_nobody_is_asked(tmp_path):
    part = _Part(tmp_path / "a.part", "http://nowhere/a")
    part.path.write_bytes(b"abc")
    part.remember('"one"')
    asked = []
    pool = SimpleNamespace(request=lambda *given, headers, **how: asked.append(headers["Range"]))
    for size in (3, 4, None):
        transfer = _Transfer(part, size=size, progress=print, wait=0, timeout=1)
        if size == 3:
            transfer._attempt(pool, None)
            continue
        with pytest.raises(AttributeError):  # nothing answers
            transfer._attempt(pool, None)
    assert asked == ["bytes=3-", "bytes=3-"]
