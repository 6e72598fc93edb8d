"""Scores per image: what one row holds, how it is measured, and the file the rows live in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pasam.errors import DataError, ShapeError
from pasam.masks.overlap import band_width, boundary, boundary_iou, mask_iou, overlap

# --- thickness: How thick an object is: the width of its parts as a share of the image.

# Shapes: H and W of the mask.


_WIDTHS_PER_DISTANCE = 4.0
"""In a strip of width w the distance to the edge is w / 4 on average."""


def mean_width(mask: NDArray[np.bool_]) -> float:
    """Measure the width of an object's parts, averaged over its pixels.

    It is four times the mean distance from a pixel of the object to the background, which for a
    long strip is its width; the rim of the image counts as background.

    Args:
        mask: The object, (H, W).

    Returns:
        The width as a share of the image's diagonal; 0 for an empty mask.
    """
    if not mask.any():
        return 0.0
    padded = np.pad(mask.astype(np.uint8), 1)
    # The distance is to the centre of the nearest background pixel, half a pixel past the edge.
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[padded > 0] - 0.5
    return float(_WIDTHS_PER_DISTANCE * distance.mean() / np.hypot(*mask.shape))


# --- scores: Scores per image: what one row holds, how it is measured, and the file the rows
# live in.
#
# These rows are the primary result of an evaluation; every table and interval derives from them.
# There is no time in them: the same weights and images give the same bytes.

# Shapes: H and W of the original image.


SCHEMA = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("benchmark", pa.string(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("corruption", pa.string(), nullable=False),
        pa.field("iou", pa.float64(), nullable=False),
        pa.field("boundary_iou", pa.float64(), nullable=False),
        pa.field("intersection", pa.int64(), nullable=False),
        pa.field("union", pa.int64(), nullable=False),
        pa.field("boundary_covers", pa.bool_(), nullable=False),
        pa.field("area", pa.float64(), nullable=False),
        pa.field("complexity", pa.float64(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
    ]
)
"""One row per model, seed of training, benchmark, image, prompt and corruption.

Scores are in [0, 1], counts in pixels. `seed` is 0 for models without training.
"""

ORDER = ["benchmark", "image_id", "prompt", "corruption", "model", "seed"]

UNTRAINED = 0
"""Seed of rows that no training stands behind."""
BOX = "box"
"""The tight box of the ground truth; other prompts are named `box_jitter_0.2`, `points_3`, ..."""
CLEAN = "none"
"""Corruption of an image that is shown as it is; others are named `blur_1`, `noise_3`, ..."""

_CONDITION = re.compile(r"(?P<family>[a-z][a-z_]*?)_(?P<amount>\d+(?:\.\d+)?)")


def condition_name(family: str, amount: float) -> str:
    """Name a prompt or a corruption of some amount, as `read_condition` reads it."""
    return f"{family}_{amount:g}"


def read_condition(prompt: str, corruption: str) -> tuple[str, float] | None:
    """Say which family of conditions a score row belongs to, and with what amount.

    Returns:
        Such as ("box_jitter", 0.2) or ("blur", 1.0); None for the tight box on the clean image, a
        row with both a weak prompt and a corruption, or a name that is not one of ours.
    """
    if corruption != CLEAN and prompt != BOX:
        return None
    found = _CONDITION.fullmatch(prompt if corruption == CLEAN else corruption)
    return (found["family"], float(found["amount"])) if found else None


def score_mask(
    gt: NDArray[np.uint8], prediction: NDArray[np.bool_], *, boundary_fraction: float
) -> dict[str, float | int | bool]:
    """Measure one predicted mask at the image's original size.

    Args:
        gt: Ground truth, (H, W) in 0..255, foreground above 128.
        prediction: Predicted mask, (H, W).
        boundary_fraction: Width of the boundary band as a share of the image diagonal.

    Returns:
        `iou` and `boundary_iou` in [0, 1], `intersection` and `union` in pixels, and
        `boundary_covers`: the band covers the whole ground truth, so that its boundary IoU
        measures the region and not the outline.

    Raises:
        ShapeError: The two masks differ in size.
    """
    if gt.ndim != 2 or gt.shape != prediction.shape:
        raise ShapeError(
            "A prediction is scored at the size of its ground truth (H, W); got "
            f"{prediction.shape} for {gt.shape}."
        )
    truth, predicted = gt > 128, prediction.astype(np.bool_)
    height, width = gt.shape
    band = boundary(truth, band_width(height, width, boundary_fraction))
    intersection, union = overlap(truth, predicted)
    return {
        "iou": mask_iou(truth, predicted),
        "boundary_iou": boundary_iou(truth, predicted, fraction=boundary_fraction),
        "intersection": intersection,
        "union": union,
        "boundary_covers": bool((band == truth).all()),
    }


def write_scores(rows: Sequence[Mapping[str, Any]] | pd.DataFrame, path: Path) -> None:
    """Write score rows as parquet, sorted, so that the order of evaluation leaves no trace.

    Raises:
        DataError: A column is missing or unknown, holds a wrong type, or a row is there twice.
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    _check_columns(list(frame.columns) if len(frame) else SCHEMA.names, f"The rows for {path}")
    frame = frame.reindex(columns=SCHEMA.names).sort_values(ORDER, ignore_index=True)
    _check_unique(frame, str(path))
    columns = {name: frame[name].tolist() for name in SCHEMA.names}
    try:
        table = pa.Table.from_pydict(columns, schema=SCHEMA)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"The rows for {path} do not fit the score columns: {error}") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")


def read_scores(*paths: Path) -> pd.DataFrame:
    """Read one or several score files into one frame, sorted by benchmark and image.

    Raises:
        DataError: A file is missing, is no score file, or the files repeat a row.
    """
    tables = [_read(path) for path in paths]
    if not tables:
        raise DataError("No score file was given; evaluate at least one model first.")
    rows: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    frame = rows.sort_values(ORDER, ignore_index=True)
    _check_unique(frame, ", ".join(map(str, paths)))
    return frame


def clean_box_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """Keep what a table of models holds: tight boxes on clean images."""
    kept = (scores["prompt"] == BOX) & (scores["corruption"] == CLEAN)
    return scores[kept].reset_index(drop=True)


def _read(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; run the evaluation that writes it.") from None
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is not a parquet file of scores: {error}") from None
    _check_columns(table.column_names, str(path))
    return table.select(SCHEMA.names).cast(SCHEMA)


def _check_columns(found: Sequence[str], what: str) -> None:
    missing = [name for name in SCHEMA.names if name not in found]
    unknown = [name for name in found if name not in SCHEMA.names]
    if missing or unknown:
        raise DataError(
            f"{what}: scores lack {missing} and have unknown {unknown}. "
            f"Expected exactly {SCHEMA.names}; evaluate again."
        )


def _check_unique(frame: pd.DataFrame, what: str) -> None:
    repeated = frame[frame.duplicated(ORDER)]
    if len(repeated):
        first = ", ".join(str(repeated.iloc[0][name]) for name in ORDER)
        raise DataError(
            f"{what}: {len(repeated)} rows are there twice, the first is ({first}). "
            "One row per model, seed, benchmark, image, prompt and corruption is expected."
        )
