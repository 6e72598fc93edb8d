"""Entries tell what they need, and names and groups find them."""

from __future__ import annotations

import pytest

from pasam.data.catalogue import Archive, Catalogue, CatalogueEntry, Layout
from pasam.errors import DataError

IMAGES = Archive(name="images.zip", address="http://a/b", sha256=None, size=5, folder="val")
MASKS = Archive(
    name="masks.tar.gz", address=None, sha256=None, size=None, rough_size=70, folder="marks"
)


def entry(name="set", *, role="train", archives=(IMAGES, MASKS), layout=None, members=()):
    return CatalogueEntry(
        name=name, role=role, archives=archives, layout=layout, images=None, licence=None,
        citation=None, members=members,
    )  # fmt: skip


@pytest.fixture
def catalogue():
    entries = [entry("one"), entry("two", role="benchmark"), entry("three")]
    return Catalogue(entries={e.name: e for e in entries}, groups={"both": ("one", "two")})


def test_a_group_stands_for_its_entries_and_none_comes_twice(catalogue):
    names = [entry.name for entry in catalogue.select(["two", "both", "three"])]
    assert names == ["two", "one", "three"]


def test_an_unknown_name_is_told_with_the_known_ones(catalogue):
    with pytest.raises(DataError, match=r"'four' is not in .*\['both'\].*\['one', 'three', 'two'"):
        catalogue.select(["four"])


def test_entries_are_found_by_role(catalogue):
    assert [entry.name for entry in catalogue.of_role("benchmark")] == ["two"]
    assert len(catalogue.of_role(None)) == 3


def test_an_unknown_role_is_told_with_the_known_ones(catalogue):
    with pytest.raises(DataError, match="There is no role 'test'. Known roles: .*open-set"):
        catalogue.of_role("test")


def test_the_download_is_as_large_as_its_archives_exact_or_rounded():
    assert entry().expected_size == 75


def test_one_archive_of_unknown_size_makes_the_sum_unknown():
    unknown = Archive(name="x.zip", address=None, sha256=None, size=None)
    assert entry(archives=(IMAGES, unknown)).expected_size is None


def test_each_place_is_looked_for_in_the_archive_whose_folder_it_lies_in():
    both = entry(layout=Layout(images="val", annotations="marks/val.json"))
    assert both.places() == ("marks/val.json", "val")
    assert both.places_in(IMAGES) == ("val",)
    assert both.places_in(MASKS) == ("marks/val.json",)
    assert both.image_folders() == ("val",)


def test_images_and_masks_of_one_folder_are_one_place():
    assert entry(layout=Layout(images="val", masks="val")).places() == ("val",)


def test_a_collection_has_its_places_once_per_member():
    both = entry(layout=Layout(images="val/{member}/im"), members=("Cows", "Hand"))
    assert both.places() == both.image_folders() == ("val/Cows/im", "val/Hand/im")


def test_what_has_no_layout_has_no_places():
    assert entry().places() == entry().image_folders() == ()


@pytest.mark.parametrize(
    ("name", "packed"), [("a.zip", True), ("a.tar.gz", True), ("a.tar", True), ("a.pth", False)]
)
def test_weights_are_not_taken_for_archives(name, packed):
    assert Archive(name=name, address=None, sha256=None, size=None).packed is packed
