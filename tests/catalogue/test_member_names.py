"""Every member of an archive claims a place of its own, inside."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasam.data.archives import MemberPaths
from pasam.errors import DataError


@pytest.fixture
def places():
    return MemberPaths(Path("set.zip"))


def test_dots_and_double_slashes_are_tidied(places):
    assert places.claim("./set//im/./0.jpg", is_folder=False) == "set/im/0.jpg"


def test_a_folder_may_be_listed_again_and_after_its_files(places):
    for name, is_folder in [("a/b/c", False), ("a/b/", True), ("a/", True), ("a/", True)]:
        places.claim(name, is_folder=is_folder)


def test_a_file_named_like_the_archive_itself_is_refused(places):
    with pytest.raises(DataError, match="has no name"):
        places.claim("./", is_folder=False)


def test_the_message_names_archive_and_member(places):
    with pytest.raises(DataError, match=r"^set\.zip: '/evil' is an absolute path\. Nothing was"):
        places.claim("/evil", is_folder=False)


def test_a_name_that_is_no_utf_8_is_refused(places):
    with pytest.raises(DataError, match="no UTF-8"):
        places.claim("set/\udcff.png", is_folder=False)


@given(st.lists(st.sampled_from(["a", "A", ".", "..", "", "b"]), min_size=1, max_size=6))
def test_whatever_is_accepted_stays_inside(parts):
    try:
        path = MemberPaths(Path("set.zip")).claim("/".join(parts), is_folder=False)
    except DataError:
        return
    inside = Path("/root/target")
    assert (inside / path).resolve().is_relative_to(inside)
    assert (inside / path).resolve() != inside
