"""The files of instance segmentation hold what was written, in one order, and nothing else."""

import pytest

from pasam.errors import DataError
from pasam.evaluation.instances import (
    INSTANCES,
    PRECISIONS,
    read_instances,
    read_precisions,
    write_instances,
    write_precisions,
)

INSTANCE = {
    "model": "sam", "seed": 0, "benchmark": "coco_like", "set": "coco_like", "image_id": 1,
    "detection": 0, "category_id": 2, "category": "thin", "score": 0.5, "x0": 1.0, "y0": 2.0,
    "x1": 9.0, "y1": 8.0, "object_id": -1, "object_area": 0, "iou": 0.0, "boundary_iou": 0.0,
    "area": 12, "height": 20, "width": 30, "counts": "abc",
}  # fmt: skip
PRECISION = {
    "model": "sam", "seed": 0, "benchmark": "coco_like", "set": "coco_like", "overlap": "mask",
    "images": 2, "objects": 5, "detections": 6, "ap": 0.5, "ap50": 0.75, "ap75": 0.25,
    "ap_small": None, "ap_medium": 0.5, "ap_large": 0.5,
}  # fmt: skip


def test_rows_come_back_sorted_and_with_all_columns(tmp_path):
    rows = [{**INSTANCE, "detection": 3}, {**INSTANCE, "model": "hq_sam", "seed": 4}, INSTANCE]
    write_instances(rows, tmp_path / "new" / "a.parquet")
    found = read_instances(tmp_path / "new" / "a.parquet")
    assert found.columns.tolist() == INSTANCES.names
    places = list(zip(found["detection"], found["model"], strict=True))
    assert places == [(0, "hq_sam"), (0, "sam"), (3, "sam")]
    assert found.iloc[1].to_dict() == INSTANCE


def test_the_order_of_evaluation_leaves_no_trace_in_the_bytes(tmp_path):
    rows = [{**INSTANCE, "detection": k} for k in range(4)]
    write_instances(rows, tmp_path / "a.parquet")
    write_instances(rows[::-1], tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_precision_that_is_not_defined_is_no_number(tmp_path):
    write_precisions([PRECISION], tmp_path / "a.parquet")
    found = read_precisions(tmp_path / "a.parquet")
    assert found.columns.tolist() == PRECISIONS.names
    assert found["ap_small"].isna().tolist() == [True]
    assert found["ap50"].tolist() == [0.75]


def test_no_rows_make_a_file_without_rows(tmp_path):
    write_instances([], tmp_path / "a.parquet")
    assert len(read_instances(tmp_path / "a.parquet")) == 0


def test_a_row_that_is_there_twice_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"hold \('coco_like', 'coco_like', 1, 0, 'sam', 0\) twice"):
        write_instances([INSTANCE, dict(INSTANCE)], tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seconds": 1.0}, "'seconds'.*expected"),
        ({"area": "large"}, "do not fit their columns"),
        ({"iou": None}, "do not fit their columns"),
    ],
)
def test_what_does_not_fit_the_columns_is_refused(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        write_instances([{**INSTANCE, **change}], tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


def test_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.parquet does not exist"):
        read_instances(tmp_path / "gone.parquet")
    (tmp_path / "a.parquet").write_text("rows")
    with pytest.raises(DataError, match="is not a parquet file"):
        read_precisions(tmp_path / "a.parquet")
    write_precisions([PRECISION], tmp_path / "b.parquet")
    with pytest.raises(DataError, match="expected"):
        read_instances(tmp_path / "b.parquet")
