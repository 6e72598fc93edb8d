"""A saved state is whole or absent, and belongs to exactly one training."""

import os

import pytest
import torch

from pasam.errors import DataError
from pasam.training.resume import Checkpointer, state_key


class Dying:
    """A value during whose writing the process is killed."""

    def __reduce__(self):
        raise KeyboardInterrupt


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "manifest"
    path.write_bytes(b"one")
    return path


def test_equal_inputs_give_equal_keys(file, tmp_path):
    other = tmp_path / "elsewhere"
    other.write_bytes(b"one")
    key = state_key(data=file, params={"a": 1, "b": [2.5, None]})
    assert key == state_key(params={"b": [2.5, None], "a": 1}, data=other)
    assert len(key) == 16


@pytest.mark.parametrize(
    "change",
    [{"params": {"steps": 2}}, {"params": {"step": 1}}, {"seed": 1}, {"base": "b"}, {"more": None}],
)
def test_every_input_changes_the_key(change, file):
    inputs = {"data": file, "params": {"steps": 1}, "seed": 0, "base": "a"}
    assert state_key(**inputs) != state_key(**{**inputs, **change})


def test_the_bytes_of_a_file_change_the_key(file):
    before = state_key(data=file)
    file.write_bytes(b"two")
    assert state_key(data=file) != before


def test_a_state_comes_back_as_it_was(tmp_path):
    state = {"weights": {"w": torch.randn(3)}, "rows": [{"loss": 0.5}], "step": 7}
    Checkpointer(tmp_path, "key").save(state)
    found = Checkpointer(tmp_path, "key").load()
    assert torch.equal(found.pop("weights")["w"], state.pop("weights")["w"])
    assert found == state


def test_the_latest_state_counts(tmp_path):
    checkpointer = Checkpointer(tmp_path, "key")
    for step in (1, 2):
        checkpointer.save({"step": step})
    assert checkpointer.load() == {"step": 2}


def test_another_training_finds_nothing(tmp_path):
    Checkpointer(tmp_path, "key").save({"step": 1})
    assert Checkpointer(tmp_path, "other").load() is None


def test_a_save_that_dies_while_writing_leaves_the_old_state(tmp_path):
    checkpointer = Checkpointer(tmp_path, "key")
    checkpointer.save({"step": 1})
    with pytest.raises(KeyboardInterrupt):
        checkpointer.save({"step": 2, "weights": Dying()})
    assert checkpointer.load() == {"step": 1}
    checkpointer.save({"step": 3})
    assert checkpointer.load() == {"step": 3}


def test_a_save_that_dies_before_the_bytes_are_on_the_disk_leaves_the_old_state(
    tmp_path, monkeypatch
):
    checkpointer = Checkpointer(tmp_path, "key")
    checkpointer.save({"step": 1})

    def die(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(KeyboardInterrupt):
        checkpointer.save({"step": 2})
    assert checkpointer.load() == {"step": 1}


def test_clearing_forgets_the_state_and_may_be_repeated(tmp_path):
    checkpointer = Checkpointer(tmp_path, "key")
    checkpointer.save({"step": 1})
    for _ in range(2):
        checkpointer.clear()
        assert checkpointer.load() is None
    assert list(tmp_path.iterdir()) == []


def test_a_missing_input_is_named(tmp_path):
    with pytest.raises(DataError, match="origin.json does not exist"):
        state_key(origin=tmp_path / "origin.json")
