"""The file of what happened inside a model, one row per mask; its columns and their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pasam.errors import DataError

KEYS = ("model", "seed", "benchmark", "image_id", "prompt")
"""They name a row as in the scores."""

MEASURES = (
    "dense_change",
    "sparse_change",
    "image_change",
    "predicted_iou",
    "coarse_iou",
    "refined_iou",
    "final_iou",
    "uncertainty_auroc",
    "uncertain_share",
    "point_spread",
    "points_right",
)
"""Empty where a model has no such part, or the number is not defined."""

SCHEMA = pa.schema(
    [
        *(pa.field(n, pa.int32() if n == "seed" else pa.string(), nullable=False) for n in KEYS),
        *(pa.field(name, pa.float64()) for name in MEASURES),
    ]
)


def write_diagnostics(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows as parquet, sorted; equal rows give equal bytes."""
    ordered = sorted(rows, key=lambda row: [row[key] for key in KEYS])
    columns = {name: [row.get(name) for row in ordered] for name in SCHEMA.names}
    table = pa.Table.from_pydict(columns, schema=SCHEMA)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    pq.write_table(table, draft, compression="zstd")
    draft.replace(path)


def read_diagnostics(*paths: Path) -> pd.DataFrame:
    """Read one or several files of `write_diagnostics`.

    Raises:
        DataError: A file is missing, or of other columns.
    """
    tables = []
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path} does not exist; run `dvc repro` to make it.")
        table = pq.read_table(path)
        if table.column_names != SCHEMA.names:
            raise DataError(
                f"{path} has columns {table.column_names}, expected {SCHEMA.names}. Run "
                "`dvc repro` again."
            )
        tables.append(table)
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return frame
