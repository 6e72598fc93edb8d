"""Diagnostics repeat to the byte, and come back as they were."""

import pandas as pd
import pytest

from pasam.errors import DataError
from pasam.evaluation.diagnostics import KEYS, MEASURES, read_diagnostics, write_diagnostics


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
    with pytest.raises(DataError, match=r"absent\.parquet does not exist; run `dvc repro`"):
        read_diagnostics(tmp_path / "absent.parquet")
    pd.DataFrame({"model": ["x"]}).to_parquet(tmp_path / "old.parquet")
    with pytest.raises(DataError, match=r"has columns \['model'\], expected"):
        read_diagnostics(tmp_path / "old.parquet")
