"""Scores per image: what one row holds, how it is measured, and the file the rows live in.

These rows are the primary result of an evaluation; every table and interval derives from them.
There is no time in them: the same weights and images give the same bytes.
"""

# Shapes: H and W of the original image.

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from pasam.data.catalogue import PHOTOS
from pasam.errors import DataError, ShapeError
from pasam.files import read_table, write_table
from pasam.masks.images import foreground
from pasam.masks.overlap import Region, band_width

Row = dict[str, Any]
"""A row of scores, or one of the manifest."""

SCHEMA = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("benchmark", pa.string(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
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
"""One row per model, seed of training, benchmark, mask, prompt and corruption.

Scores are in [0, 1], counts in pixels. `image_id` is the mask's id in the manifest, `group` the
image or group of images that it belongs to, the unit of all intervals. `seed` is 0 for models
without training.
"""

_UNGROUPED = pa.schema([field for field in SCHEMA if field.name != "group"])

ORDER = ["benchmark", "image_id", "prompt", "corruption", "model", "seed"]

UNTRAINED = 0
"""Seed of rows that no training stands behind."""
BOX = "box"
"""The tight box of the ground truth; other prompts are named `box_jitter_0.2`, `points_3`, ..."""
CLEAN = "none"
"""Corruption of an image that is shown as it is; others are named `blur_1`, `noise_3`, ..."""

_CONDITION = re.compile(r"(?P<family>[a-z][a-z_]*?)_(?P<amount>\d+(?:\.\d+)?)")


def averaged(benchmarks: Iterable[str]) -> list[str]:
    """List the benchmarks that a mean is of: all but the photographs of packages, unless alone.

    Those are 11 photographs and no drawn scene: in one number with the others they would tell
    nothing, so they have a column of their own.
    """
    names = list(dict.fromkeys(benchmarks))
    return [name for name in names if name != PHOTOS] or names


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


def mean_width(mask: NDArray[np.bool_]) -> float:
    """Measure how thick an object is: the width of its parts, averaged over its pixels.

    For a long strip this is its width; the rim of the image counts as background.

    Args:
        mask: The object, (H, W).

    Returns:
        The width as a fraction of the image's diagonal; 0 for an empty mask.
    """
    if not mask.any():
        return 0.0
    padded = np.pad(mask.astype(np.uint8), 1)
    # The distance is to the centre of the nearest background pixel, half a pixel past the edge.
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[padded > 0] - 0.5
    # In a strip of width w the distance to the edge is w / 4 on average.
    return float(4.0 * distance.mean() / np.hypot(*mask.shape))


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """A ground truth, prepared once and held against every prediction of it."""

    region: Region
    band: Region
    width: int
    """Width of the boundary band in pixels."""

    @staticmethod
    def of(label: NDArray[np.uint8], *, boundary_fraction: float) -> Truth:
        """Prepare a label.

        Args:
            label: Ground truth, (H, W) in 0..255, foreground above 128.
            boundary_fraction: Width of the boundary band as a fraction of the image diagonal.
        """
        if label.ndim != 2:
            raise ShapeError(f"a ground truth is a mask (H, W); got shape {label.shape}.")
        region = Region.of(foreground(label), "the ground truth")
        width = band_width(*region.shape, boundary_fraction)
        return Truth(region, region.band(width), width)


def score_mask(truth: Truth, prediction: NDArray[np.bool_]) -> dict[str, float | int | bool]:
    """Measure one predicted mask at the image's original size.

    Args:
        truth: Ground truth, of a mask (H, W).
        prediction: Predicted mask, (H, W).

    Returns:
        `iou` and `boundary_iou` in [0, 1], `intersection` and `union` in pixels, and
        `boundary_covers`: the band covers the whole ground truth, so that its boundary IoU
        measures the region and not the outline.

    Raises:
        ShapeError: The two masks differ in size.
    """
    if truth.region.shape != prediction.shape:
        raise ShapeError(
            "A prediction is scored at the size of its ground truth (H, W); got "
            f"{prediction.shape} for {truth.region.shape}."
        )
    predicted = Region.of(prediction.astype(np.bool_, copy=False), "the prediction")
    intersection, union = truth.region.overlap(predicted)
    return {
        "iou": intersection / union if union else 1.0,
        "boundary_iou": truth.band.iou(predicted.band(truth.width)),
        "intersection": intersection,
        "union": union,
        "boundary_covers": truth.band.area == truth.region.area,
    }


def write_scores(rows: Sequence[Mapping[str, Any]] | pd.DataFrame, path: Path) -> None:
    """Write score rows atomically, sorted, so that the order of evaluation leaves no trace.

    Raises:
        DataError: A column is missing or unknown, holds a wrong type, or a row is there twice.
    """
    write_table(path, rows, SCHEMA, order=ORDER)


def read_scores(*paths: Path) -> pd.DataFrame:
    """Read one or several score files into one frame, sorted by benchmark and image.

    Raises:
        DataError: A file is missing, is no score file, or the files repeat a row.
    """
    if not paths:
        raise DataError("No score file was given; evaluate at least one model first.")
    frame = pd.concat([_read(path) for path in paths], ignore_index=True)
    frame = frame.sort_values(ORDER, ignore_index=True)
    repeated = frame[frame.duplicated(ORDER)]
    if len(repeated):
        first = ", ".join(str(repeated.iloc[0][name]) for name in ORDER)
        raise DataError(
            f"{', '.join(map(str, paths))}: {len(repeated)} rows are there twice, the first is "
            f"({first}). One row per model, seed, benchmark, image, prompt and corruption is "
            "expected."
        )
    return frame


def _read(path: Path) -> pd.DataFrame:
    try:
        return read_table(path, SCHEMA, what="a file of scores")
    except DataError:
        # A registered version keeps the scores that it was measured with before rows had a group.
        with contextlib.suppress(DataError):
            frame = read_table(path, _UNGROUPED)
            frame.insert(SCHEMA.get_field_index("group"), "group", frame["image_id"])
            return frame
        raise


def clean_box_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """Keep what a table of models holds: tight boxes on clean images."""
    kept = (scores["prompt"] == BOX) & (scores["corruption"] == CLEAN)
    return scores[kept].reset_index(drop=True)
