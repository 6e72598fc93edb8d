"""What happened inside a model, one row per mask; `docs/ablations.md` explains the columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pasam.benchmarks.witness import Seen, judge_maps
from pasam.errors import DataError
from pasam.training.embeddings import Store

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


def diagnose(
    scores: Sequence[Mapping[str, Any]], seen: Sequence[Seen], store: Store, *, grid: int
) -> list[dict[str, Any]]:
    """Put what a witness saw beside the masks that it belongs to.

    Args:
        scores: Score rows, in the order of prediction.
        seen: What the witness saw during it.
        store: Embeddings of the benchmark, for the labels.
        grid: Grid g of the image tokens.

    Raises:
        DataError: The witness saw other predictions than these.
    """
    if len(scores) != len(seen):
        raise DataError(
            f"{len(seen)} predictions were watched, but {len(scores)} scored; watch exactly one "
            "evaluation."
        )
    places = dict(zip(store.index["id"], store.index.index, strict=True))
    rows = []
    for score, one in zip(scores, seen, strict=True):
        measures = {name: value for name, value in one.items() if name != "maps"}
        if one["maps"] is not None:
            measures |= judge_maps(one["maps"], store.labels[places[score["image_id"]]], grid)
        rows.append({**{key: score[key] for key in KEYS}, **measures})
    return rows


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
            raise DataError(f"{path} does not exist; run `dvc repro ablate` to make it.")
        table = pq.read_table(path)
        if table.column_names != SCHEMA.names:
            raise DataError(
                f"{path} has columns {table.column_names}, expected {SCHEMA.names}. Run "
                "`dvc repro ablate` again."
            )
        tables.append(table)
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return frame
