"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def write_whole(path: Path, content: bytes | str) -> None:
    """Write beside the target and rename, so that no reader meets half a file.

    Args:
        path: Target; its folder is made when missing.
        content: Bytes, or text to be written as UTF-8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table as parquet without the writer's notes; equal tables give equal bytes."""
    buffer = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(None), buffer, compression="zstd")
    write_whole(path, buffer.getvalue().to_pybytes())
