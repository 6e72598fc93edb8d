"""A picture's split depends on nothing but its key and the share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasam.data.own_sets import split_of

KEYS = [f"{number:064x}" for number in range(2000)]


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_takes_nothing_back_from_val(key, one, other):
    if split_of(key, val_share=min(one, other)) == "val":
        assert split_of(key, val_share=max(one, other)) == "val"


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_about_the_share_is_held_out(share):
    held_out = sum(split_of(key, val_share=share) == "val" for key in KEYS)
    assert held_out / len(KEYS) == pytest.approx(share, abs=0.03)


def test_no_share_and_the_whole_share_are_exact():
    assert {split_of(key, val_share=0) for key in KEYS} == {"train"}
    assert {split_of(key, val_share=1) for key in KEYS} == {"val"}


def test_the_split_is_the_same_on_every_machine_and_day():
    assert [split_of(key, val_share=0.5) for key in "abcdef"] == [
        "train", "val", "val", "val", "val", "val",
    ]  # fmt: skip
