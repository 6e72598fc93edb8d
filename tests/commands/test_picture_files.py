"""Which pictures are meant, and the names of what is written about them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasam.cli.predict import find_pictures, output_names
from pasam.errors import DataError


@pytest.fixture
def pictures(in_empty_folder):
    for name in ("b.png", "a.JPG", "notes.txt", "more/c.png", "more/deep/d.webp"):
        path = in_empty_folder / "p" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return in_empty_folder


def found(*named):
    return [path.as_posix() for path in find_pictures(named)]


def test_a_folder_means_its_pictures_by_name(pictures):
    assert found("p") == ["p/a.JPG", "p/b.png"]


def test_a_pattern_means_what_it_matches(pictures):
    assert found("p/**/*.png") == ["p/b.png", "p/more/c.png"]


def test_a_file_that_is_named_is_taken_whatever_it_is_called(pictures):
    assert found("p/notes.txt") == ["p/notes.txt"]


def test_each_picture_comes_once_in_the_order_of_naming(pictures):
    assert found("p/b.png", "p", "p/*.png") == ["p/b.png", "p/a.JPG"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone.png", "gone.png does not exist"),
        ("p/*.gif", r"no file matches 'p/\*.gif'"),
        ("empty", "the folder empty holds no picture"),
    ],
)
def test_what_is_not_there_is_said(name, words, pictures):
    (pictures / "empty").mkdir()
    with pytest.raises(DataError, match=words):
        find_pictures([name])


def test_files_are_named_like_the_picture():
    assert output_names([Path("x/a.png"), Path("y/b.jpg")]) == ["a", "b"]


def test_where_names_clash_the_folder_comes_before_them():
    assert output_names([Path("x/a.png"), Path("y/a.png"), Path("b.png")]) == ["x_a", "y_a", "b"]


SOME = st.sampled_from(
    ["a.png", "a.jpg", "x/a.png", "x_a.png", "y/x_a.png", "x/a_2.png", "a_2.png"]
)


@given(st.lists(SOME, unique=True))
def test_no_two_pictures_ever_share_a_name(names):
    given_names = output_names([Path(name) for name in names])
    assert len(set(given_names)) == len(names)
