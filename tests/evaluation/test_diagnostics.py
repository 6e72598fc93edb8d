"""Diagnostics stand beside the masks that they belong to."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pasam.errors import DataError, ShapeError
from pasam.evaluation.diagnostics import (
    KEYS,
    MEASURES,
    area_under_roc,
    diagnose,
    read_diagnostics,
    write_diagnostics,
)
from pasam.training.embeddings import Store


def score(name, model="pa_sam"):
    return {"model": model, "seed": 1, "benchmark": "b", "image_id": name, "prompt": "box", "x": 0}


@pytest.fixture
def store():
    """Two labels: `b` is all object, `a` is empty."""
    labels = np.stack([np.full((8, 8), 255, np.uint8), np.zeros((8, 8), np.uint8)])
    empty = np.zeros(0, np.float16)
    index = pd.DataFrame({"id": ["b", "a"], "view": 0, "row": [0, 1]})
    return Store(empty, empty, empty, labels, index, origin={})


def seen(value, maps=False):
    flat = torch.full((4, 4), 5.0)
    every = dict.fromkeys(("coarse", "refined", "uncertainty", "final"), flat)
    return {"dense_change": value, "predicted_iou": 0.5, "maps": every if maps else None}


def test_a_row_has_its_masks_keys_and_what_was_seen_of_it(store):
    rows = diagnose([score("a"), score("b")], [seen(1.0), seen(2.0)], store, grid=4)
    assert [(row["image_id"], row["dense_change"]) for row in rows] == [("a", 1.0), ("b", 2.0)]
    assert all(set(row) <= {*KEYS, *MEASURES} for row in rows)


def test_maps_are_judged_by_the_label_of_their_own_mask(store):
    rows = diagnose([score("a"), score("b")], [seen(1.0, True), seen(2.0, True)], store, grid=4)
    assert [row["coarse_iou"] for row in rows] == [0.0, 1.0]


def test_another_number_of_predictions_is_refused(store):
    with pytest.raises(DataError, match="1 predictions were probed, but 2 scored"):
        diagnose([score("a"), score("b")], [seen(1.0)], store, grid=4)


def row(name, model="pa_sam", **measures):
    keys = {"model": model, "seed": 1, "benchmark": "b", "image_id": name, "prompt": "box"}
    return keys | measures


def test_the_file_repeats_in_any_order_and_leaves_gaps_empty(tmp_path):
    rows = [row("a", dense_change=1.0), row("b", dense_change=2.0, coarse_iou=0.5)]
    write_diagnostics(rows, tmp_path / "one.parquet")
    write_diagnostics(rows[::-1], tmp_path / "other.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "other.parquet").read_bytes()
    frame = read_diagnostics(tmp_path / "one.parquet")
    assert list(frame.columns) == [*KEYS, *MEASURES]
    assert frame["coarse_iou"].isna().tolist() == [True, False]
    assert frame["image_change"].isna().all()


def test_several_files_become_one_table(tmp_path):
    for model in ("one", "other"):
        write_diagnostics([row("a", model)], tmp_path / f"{model}.parquet")
    frame = read_diagnostics(tmp_path / "one.parquet", tmp_path / "other.parquet")
    assert frame["model"].tolist() == ["one", "other"]


def test_a_file_that_is_missing_or_of_other_columns_is_told(tmp_path):
    with pytest.raises(DataError, match=r"absent\.parquet does not exist\. Run `dvc repro`"):
        read_diagnostics(tmp_path / "absent.parquet")
    pd.DataFrame({"model": ["x"]}).to_parquet(tmp_path / "old.parquet")
    with pytest.raises(DataError, match="seed is missing"):
        read_diagnostics(tmp_path / "old.parquet")


@settings(max_examples=60)
@given(
    values=st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=40).filter(
        lambda items: len({positive for _, positive in items}) == 2
    )
)
def test_the_area_equals_a_count_of_pairs(values):
    scores = np.array([score for score, _ in values], np.float64)
    positive = np.array([flag for _, flag in values])
    pairs = [
        float(high > low) + 0.5 * float(high == low)
        for high in scores[positive]
        for low in scores[~positive]
    ]
    assert area_under_roc(scores, positive) == pytest.approx(np.mean(pairs))


def test_a_perfect_score_has_one_and_a_constant_one_half():
    positive = np.array([[True, False], [False, True]])
    assert area_under_roc(positive.astype(float), positive) == 1
    assert area_under_roc(np.zeros((2, 2)), positive) == 0.5


@pytest.mark.parametrize("flag", [True, False])
def test_one_class_alone_has_no_area(flag):
    assert area_under_roc(np.arange(3.0), np.full(3, flag)) is None


def test_other_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"got \(3,\) and \(2,\)"):
        area_under_roc(np.zeros(3), np.zeros(2, bool))
