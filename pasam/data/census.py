"""The census: one row for every item that was found, fit or not, with what was measured of it."""

# Shapes: H, W of an image and its mask.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import ExifTags, Image

from pasam.data.faults import Fault
from pasam.data.manifest import SCHEMA as MANIFEST_SCHEMA
from pasam.data.manifest import pair_id, project_path
from pasam.data.whole_files import write_parquet
from pasam.errors import DataError

SCHEMA = pa.schema(
    [
        *MANIFEST_SCHEMA,
        ("fault", pa.string()),
        ("message", pa.string()),
        ("depth", pa.int32()),
        ("orientation", pa.int32()),
        ("brightness", pa.float64()),
        ("contrast", pa.float64()),
        ("phash", pa.string()),
        ("dhash", pa.string()),
        ("soft", pa.float64()),
    ]
)
"""The manifest's columns, then the fault (none for what is fit) and what was measured."""

COLUMNS: tuple[str, ...] = tuple(SCHEMA.names)

_SORTING = ["split", "dataset", "mask", "image", "fault"]
_UPRIGHT = 1


def measure_image(image: NDArray[np.uint8]) -> dict[str, Any]:
    """Measure an image's light and what it looks like.

    Args:
        image: RGB, (H, W, 3), 0..255.

    Returns:
        `brightness` and `contrast`, mean and standard deviation of the grey values in 0..255, and
        two perceptual hashes of 64 bits as 16 hexadecimal digits: `phash`, of the low
        frequencies, and `dhash`, of the gradient along rows. They change little when the picture
        is scaled, recompressed or made lighter.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    picture = Image.fromarray(grey)
    return {
        "brightness": float(grey.mean(dtype=np.float64)),
        "contrast": float(grey.std(dtype=np.float64)),
        "phash": str(imagehash.phash(picture)),
        "dhash": str(imagehash.dhash(picture)),
    }


def stored_form(path: Path) -> dict[str, int]:
    """Read from an image's header how it is stored, without decoding it.

    Returns:
        `depth`, bits per channel, and `orientation`, the EXIF tag (1 means upright).
    """
    with Image.open(path) as picture:
        raw = [str(part) for tile in picture.tile for part in _flat(tile[3])]
        orientation = picture.getexif().get(ExifTags.Base.Orientation, _UPRIGHT)
        mode = picture.mode
    if mode in ("I", "F"):
        depth = 32
    elif mode.startswith("I;16") or any("16" in part for part in raw):
        depth = 16
    else:
        depth = 1 if mode == "1" else 8
    return {"depth": depth, "orientation": int(orientation)}


def soft_share(label: NDArray[np.uint8]) -> float:
    """Give the share of a mask's pixels, (H, W), that are neither black nor white."""
    return float(np.mean((label > 0) & (label < 255)))


def unfit_row(fault: Fault) -> dict[str, Any]:
    """Describe an item that is left out; nothing is measured of it."""
    return {
        **dict.fromkeys(COLUMNS),
        "id": pair_id(fault.dataset, fault.image, fault.mask),
        "dataset": fault.dataset,
        "split": fault.split,
        "image": None if fault.image is None else project_path(fault.image),
        "mask": None if fault.mask is None else project_path(fault.mask),
        "fault": fault.kind,
        "message": fault.message,
    }


def census_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Make the census from its rows, in an order that does not depend on theirs."""
    frame = pd.DataFrame([dict(row) for row in rows], columns=list(COLUMNS))
    return frame.sort_values(_SORTING, ignore_index=True, kind="stable")


def fit_rows(census: pd.DataFrame) -> pd.DataFrame:
    """Select what is fit for use."""
    return census[census["fault"].isna()]


def write_census(frame: pd.DataFrame, path: Path) -> None:
    """Write the census as parquet, whole or not at all; equal tables give equal bytes."""
    table = pa.Table.from_pandas(frame[list(COLUMNS)], schema=SCHEMA, preserve_index=False)
    write_parquet(path, table)


def read_census(path: Path) -> pd.DataFrame:
    """Read a census.

    Raises:
        DataError: The file is missing or is not a census.
    """
    try:
        table = pq.read_table(path, partitioning=None)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. Run `dvc repro prepare` to make it.") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path} is not a parquet file ({error}). Run `dvc repro prepare`."
        ) from None
    if not table.schema.equals(SCHEMA):
        raise DataError(
            f"{path} is not a census: it has the columns {table.schema.names}, expected "
            f"{list(COLUMNS)}. Run `dvc repro prepare`."
        )
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _flat(arguments: Any) -> tuple[Any, ...]:
    return arguments if isinstance(arguments, tuple) else (arguments,)
