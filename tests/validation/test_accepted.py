"""The accepted version is a small file that stands for whole distributions."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from pasam.errors import DataError
from pasam.validation.drift import (
    QUANTITIES,
    WHOLE,
    accepted_text,
    group_values,
    read_accepted,
    write_accepted,
)


def frames(sets: dict[tuple[str, str], int], seed: int = 0):
    """Pairs with two masks per image."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "split": split, "dataset": dataset, "image": f"{dataset}{index // 2}",
            "height": 50, "width": 200, "area": rng.random(), "complexity": rng.random() * 9,
            "brightness": 100 + index // 2,
        }
        for (split, dataset), count in sets.items()
        for index in range(count)
    ]  # fmt: skip
    pairs = pd.DataFrame(rows)
    return pairs, pairs.drop_duplicates(["split", "image"])


SETS = {("train", "cats"): 6, ("train", "dogs"): 4, ("val", "cats"): 2}


def test_every_set_stands_alone_and_every_split_as_a_whole_too():
    sketches = dict(group_values(*frames(SETS)))
    assert list(sketches) == [
        ("train", "cats"), ("train", "dogs"), ("train", WHOLE), ("val", "cats"), ("val", WHOLE),
    ]  # fmt: skip
    whole = sketches["train", WHOLE]
    assert (whole.masks, whole.images) == (10, 5)
    assert whole.values["resolution"].tolist() == [100.0] * 5
    assert sorted(whole.values["area"]) == sorted(
        [*sketches["train", "cats"].values["area"], *sketches["train", "dogs"].values["area"]]
    )


def test_what_is_written_is_read(tmp_path):
    pairs, images = frames(SETS)
    write_accepted(tmp_path / "a.json", accepted_text(pairs, images))
    read = read_accepted(tmp_path / "a.json")
    for key, sketch in group_values(pairs, images):
        assert (read[key].masks, read[key].images) == (sketch.masks, sketch.images)
        for name in QUANTITIES:
            np.testing.assert_allclose(read[key].values[name], np.sort(sketch.values[name]), 1e-3)


def test_without_data_nothing_is_accepted(tmp_path):
    pairs, images = frames(SETS)
    (tmp_path / "a.json").write_text(accepted_text(pairs[:0], images[:0]))
    assert read_accepted(tmp_path / "a.json") == {}


@given(count=st.integers(201, 1500), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_two_hundred_values_stand_for_any_number(count, seed):
    pairs, images = frames({("train", "cats"): count}, seed)
    entry, _ = json.loads(accepted_text(pairs, images))["sets"]
    kept = entry["values"]["area"]
    assert len(kept) == 200
    assert ks_2samp(pairs["area"], kept).statistic < 0.02


@pytest.mark.parametrize("text", ["", "[]", '{"sets": [{"split": "train"}]}', '{"sets": 3}'])
def test_a_file_of_another_form_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a.json is not an accepted data version"):
        read_accepted(tmp_path / "a.json")


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"does not exist.*pasam data accept"):
        read_accepted(tmp_path / "a.json")
