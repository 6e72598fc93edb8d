"""The files of instance segmentation: a row per detection, and a row per average precision.

There is no time in them: the same weights, images and boxes give the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pasam.errors import DataError


def _schema(required: Mapping[str, pa.DataType], *optional: str) -> pa.Schema:
    fields = [pa.field(name, kind, nullable=False) for name, kind in required.items()]
    return pa.schema(fields + [pa.field(name, pa.float64()) for name in optional])


_WHO = {
    "model": pa.string(),
    "seed": pa.int32(),
    "benchmark": pa.string(),
    "set": pa.string(),
}

INSTANCES = _schema(
    {
        **_WHO,
        "image_id": pa.int64(),
        "detection": pa.int64(),
        "category_id": pa.int64(),
        "category": pa.string(),
        "score": pa.float64(),
        "x0": pa.float64(),
        "y0": pa.float64(),
        "x1": pa.float64(),
        "y1": pa.float64(),
        "object_id": pa.int64(),
        "object_area": pa.int64(),
        "iou": pa.float64(),
        "boundary_iou": pa.float64(),
        "area": pa.int64(),
        "height": pa.int32(),
        "width": pa.int32(),
        "counts": pa.string(),
    }
)
"""One row per model and detection: the box, the object of its category that the mask overlaps
most (-1: none), both IoUs with it in [0, 1], areas in pixels, and the mask as run lengths."""

INSTANCES_ORDER = ["benchmark", "set", "image_id", "detection", "model", "seed"]

PRECISIONS = _schema(
    {
        **_WHO,
        "overlap": pa.string(),
        "images": pa.int64(),
        "objects": pa.int64(),
        "detections": pa.int64(),
    },
    "ap",
    "ap50",
    "ap75",
    "ap_small",
    "ap_medium",
    "ap_large",
)
"""One row per model, set and overlap ("mask" or "boundary"); precisions in [0, 1], null where the
set has no object of that size."""

PRECISIONS_ORDER = ["benchmark", "set", "overlap", "model", "seed"]


def write_instances(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rows of detections as parquet, sorted.

    Raises:
        DataError: A row lacks a column, holds a wrong type, or is there twice.
    """
    _write(rows, path, INSTANCES, INSTANCES_ORDER)


def read_instances(path: Path) -> pd.DataFrame:
    """Read rows of detections.

    Raises:
        DataError: The file is missing or holds something else.
    """
    return _read(path, INSTANCES)


def write_precisions(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rows of average precision as parquet, sorted.

    Raises:
        DataError: A row lacks a column, holds a wrong type, or is there twice.
    """
    _write(rows, path, PRECISIONS, PRECISIONS_ORDER)


def read_precisions(path: Path) -> pd.DataFrame:
    """Read rows of average precision.

    Raises:
        DataError: The file is missing or holds something else.
    """
    return _read(path, PRECISIONS)


def _write(
    rows: Sequence[Mapping[str, Any]], path: Path, schema: pa.Schema, order: Sequence[str]
) -> None:
    ordered = sorted(rows, key=lambda row: tuple(row[name] for name in order))
    keys = [tuple(row[name] for name in order) for row in ordered]
    if len(set(keys)) < len(keys):
        twice = next(key for key, after in zip(keys, keys[1:], strict=False) if key == after)
        raise DataError(f"The rows for {path} hold {twice} twice ({', '.join(order)}).")
    wrong = [row for row in ordered if set(row) != set(schema.names)]
    if wrong:
        raise DataError(f"A row for {path} has {sorted(wrong[0])}, expected {schema.names}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        table = pa.Table.from_pylist([dict(row) for row in ordered], schema=schema)
        pq.write_table(table, draft, compression="zstd")
        draft.replace(path)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"The rows for {path} do not fit their columns: {error}") from None
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path, schema: pa.Schema) -> pd.DataFrame:
    try:
        table = pq.read_table(path, partitioning=None)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. Run `dvc repro instances` to make it.") from None
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is not a parquet file: {error}") from None
    if table.column_names != schema.names:
        raise DataError(f"{path} has {table.column_names}, expected {schema.names}.")
    frame: pd.DataFrame = table.cast(schema).to_pandas()
    return frame
