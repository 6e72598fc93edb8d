"""A data set's folder is there whole, and says of what, or is not there."""

from __future__ import annotations

import json

import pytest

from pasam.data.archives import MARKER, count_images, install, installed_digests
from pasam.data.catalogue import Archive, CatalogueEntry, Layout
from pasam.errors import DataError

DIGESTS = {"set.zip": "a" * 64, "weights.pth": "b" * 64}


def make_entry(*names, sha256=None, layout=None):
    archives = tuple(Archive(name=name, address=None, sha256=sha256, size=None) for name in names)
    return CatalogueEntry(
        name="set", role="train", archives=archives, layout=layout, images=None, licence=None,
        citation=None,
    )  # fmt: skip


@pytest.fixture
def archives(tmp_path, zipped, pairs):
    folder = tmp_path / "archives"
    folder.mkdir()
    (folder / "set.zip").write_bytes(zipped({**pairs("im", "gt", 3), "other/1.jpg": b""}))
    (folder / "weights.pth").write_bytes(b"weights")
    return folder


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


PHOTOGRAPHS = make_entry("set.zip", layout=Layout(images="im", masks="gt"))


def test_the_folder_holds_what_the_layout_names_and_the_marker(root, archives, tree):
    install(PHOTOGRAPHS, root, archives, DIGESTS)
    there = [path for path in tree(root / "set") if "/" not in path]
    assert there == [MARKER, "gt", "im"]
    assert count_images(PHOTOGRAPHS, root) == 3
    assert installed_digests(PHOTOGRAPHS, root, {}) == {"set.zip": "a" * 64}


def test_weights_are_not_extracted(root, archives):
    weights = make_entry("weights.pth")
    install(weights, root, archives, DIGESTS)
    assert (root / "set" / "weights.pth").read_bytes() == b"weights"
    assert count_images(weights, root) is None


def test_nothing_is_there_before(root):
    assert installed_digests(PHOTOGRAPHS, root, {}) is None


def test_another_checksum_means_that_it_has_to_be_fetched(root, archives):
    install(PHOTOGRAPHS, root, archives, DIGESTS)
    assert installed_digests(PHOTOGRAPHS, root, {"set.zip": "a" * 64}) is not None
    assert installed_digests(PHOTOGRAPHS, root, {"set.zip": "c" * 64}) is None
    published = make_entry("set.zip", sha256="cccccc", layout=PHOTOGRAPHS.layout)
    assert installed_digests(published, root, {}) is None


def test_another_layout_means_that_it_has_to_be_fetched(root, archives):
    install(PHOTOGRAPHS, root, archives, DIGESTS)
    assert installed_digests(make_entry("set.zip"), root, {}) is None


def test_an_older_folder_is_replaced_as_a_whole(root, archives, tree):
    install(PHOTOGRAPHS, root, archives, DIGESTS)
    other = make_entry("set.zip", layout=Layout(images="other"))
    install(other, root, archives, DIGESTS)
    assert tree(root / "set") == [MARKER, "other", "other/1.jpg"]


def test_a_failed_extraction_leaves_the_older_folder(root, archives, tree):
    install(PHOTOGRAPHS, root, archives, DIGESTS)
    before = tree(root)
    (archives / "set.zip").write_bytes(b"PK damaged")
    with pytest.raises(DataError, match="is damaged"):
        install(make_entry("set.zip"), root, archives, DIGESTS)
    assert tree(root) == before


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"archives": []}'])
def test_a_folder_that_nobody_marked_is_not_touched(root, text):
    (root / "set").mkdir(parents=True)
    if text is not None:
        (root / "set" / MARKER).write_text(text)
    with pytest.raises(DataError, match="was not made by `pasam data fetch`.*Move it away"):
        installed_digests(PHOTOGRAPHS, root, {})


def test_the_marker_is_the_same_every_time(root, archives):
    install(PHOTOGRAPHS, root, archives, DIGESTS)
    marker = json.loads((root / "set" / MARKER).read_text())
    assert marker == {"archives": {"set.zip": "a" * 64}, "places": ["gt", "im"]}
