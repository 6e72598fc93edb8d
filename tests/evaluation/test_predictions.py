"""Predictions come back from their file as they were."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pasam.errors import DataError
from pasam.evaluation.predictions import (
    EXTRAS,
    Predicted,
    read_prediction,
    with_maps,
    write_predictions,
)

SIDES = st.integers(1, 19)
MASKS = st.tuples(SIDES, SIDES).flatmap(lambda shape: hnp.arrays(np.bool_, shape))


@pytest.fixture
def full():
    rng = np.random.default_rng(0)
    return Predicted(
        mask=rng.random((7, 11)) > 0.5,
        box=np.array([1, 2, 3.5, 4], np.float32),
        uncertainty=rng.random((4, 4)).astype(np.float16),
        positive=np.array([[1, 2]], np.float32),
        negative=np.array([[3, 4]], np.float32),
    )


@settings(max_examples=25, deadline=None)
@given(mask=MASKS)
def test_a_mask_of_any_size_comes_back(mask):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "masks.npz"
        write_predictions(path, {"set/a": Predicted(mask=mask)})
        found = read_prediction(path, "set/a").mask
    assert found.dtype == np.bool_
    assert np.array_equal(found, mask)


def test_what_a_report_shows_comes_back_and_what_was_not_there_does_not(tmp_path, full):
    path = tmp_path / "new" / "masks.npz"
    write_predictions(path, {"set/a": full, "set/b": Predicted(mask=full.mask)})
    found = read_prediction(path, "set/a")
    for name in EXTRAS:
        assert np.array_equal(getattr(found, name), getattr(full, name))
        assert getattr(found, name).dtype == getattr(full, name).dtype
        assert getattr(read_prediction(path, "set/b"), name) is None


def test_the_order_of_predictions_does_not_change_the_bytes(tmp_path, full):
    plain = Predicted(mask=~full.mask)
    write_predictions(tmp_path / "1.npz", {"a": full, "b": plain})
    write_predictions(tmp_path / "2.npz", {"b": plain, "a": full})
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.npz", "2.npz"]


def test_an_unknown_mask_is_named(tmp_path, full):
    write_predictions(tmp_path / "masks.npz", {"set/a": full})
    with pytest.raises(DataError, match=r"masks\.npz has no mask 'set/other'"):
        read_prediction(tmp_path / "masks.npz", "set/other")


def test_a_missing_file_is_named_with_the_stage_that_makes_it(tmp_path):
    with pytest.raises(DataError, match=r"none\.npz does not exist; run `dvc repro evaluate`"):
        read_prediction(tmp_path / "none.npz", "set/a")


def test_inner_maps_come_back_under_their_names(tmp_path, full):
    maps = {"coarse": np.ones((3, 3), np.float16), "attention": np.zeros((2, 2), np.float16)}
    path = tmp_path / "masks.npz"
    write_predictions(path, with_maps({"set/a": full, "set/ab": full}, [maps, {}]))
    found = read_prediction(path, "set/a").maps
    assert sorted(found) == ["attention", "coarse"]
    assert np.array_equal(found["coarse"], maps["coarse"])
    assert read_prediction(path, "set/ab").maps == {}


def test_maps_of_other_predictions_are_refused(full):
    assert with_maps({"a": full}, []) == {"a": full}  # a model that has none
    with pytest.raises(DataError, match="2 sets of inner maps were taken of 1 predictions"):
        with_maps({"a": full}, [{}, {}])
