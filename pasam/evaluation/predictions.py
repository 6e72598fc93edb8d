"""Predicted masks on disk: bits, and what a report shows besides, in one file per benchmark."""

# Shapes: H, W of the image, g grid cells a side, h of a mask map, k mined points of each sign.

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pasam.errors import DataError
from pasam.files import REPEAT, write_bytes

Maps = dict[str, NDArray[np.float16]]
"""PA-SAM's inner maps by name, each (g, g) or (h, h)."""

EXTRAS = ("box", "uncertainty", "positive", "negative")
_MAP = ":map:"
MOST_BYTES = 500_000_000
"""What one mask and all its maps may unpack to."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """One predicted mask and how it came about. Coordinates are pixels of the original image."""

    mask: NDArray[np.bool_]
    """(H, W)"""
    box: NDArray[np.float32] | None = None
    """The box prompt, x0, y0, x1, y1, (4,)."""
    uncertainty: NDArray[np.float16] | None = None
    """PA-SAM's uncertainty map, (h, h) in [0, 1]: the grid's cells, or finer ones."""
    positive: NDArray[np.float32] | None = None
    """PA-SAM's positive points x, y, (k, 2)."""
    negative: NDArray[np.float32] | None = None
    """PA-SAM's negative points x, y, (k, 2)."""
    maps: Mapping[str, NDArray[np.float16]] = field(default_factory=dict)
    """PA-SAM's inner maps."""


def with_maps(predictions: Mapping[str, Predicted], maps: Sequence[Maps]) -> dict[str, Predicted]:
    """Put inner maps beside the predictions that they belong to.

    Args:
        predictions: By id, in the order of prediction.
        maps: One entry per prediction in the same order, or none at all.

    Raises:
        DataError: There are other predictions than maps.
    """
    if not maps:
        return dict(predictions)
    if len(maps) != len(predictions):
        raise DataError(
            f"{len(maps)} sets of inner maps were taken of {len(predictions)} predictions; probe "
            "exactly one evaluation."
        )
    return {
        name: replace(item, maps=own)
        for (name, item), own in zip(predictions.items(), maps, strict=True)
    }


def write_predictions(path: Path, predictions: Mapping[str, Predicted]) -> None:
    """Write predictions atomically as `.npz`, by id; equal predictions give equal bytes."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for name in sorted(predictions):
        item = predictions[name]
        arrays[f"{name}:shape"] = np.array(item.mask.shape, np.int32)
        arrays[f"{name}:mask"] = np.packbits(item.mask)
        for extra in EXTRAS:
            value = getattr(item, extra)
            if value is not None:
                arrays[f"{name}:{extra}"] = value
        for key in sorted(item.maps):
            arrays[f"{name}{_MAP}{key}"] = item.maps[key]
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    write_bytes(path, packed.getvalue())


def read_prediction(path: Path, name: str) -> Predicted:
    """Read the prediction with this id.

    Raises:
        DataError: The file is missing or damaged, or has no such mask.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; run `dvc repro evaluate` to make it.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as pack:
            parts = [each for each in pack.zip.infolist() if each.filename.startswith(f"{name}:")]
            whole = sum(each.file_size for each in parts)
            if whole > MOST_BYTES:  # before any of it is unpacked
                raise DataError(
                    f"{path}: mask '{name}' unpacks to {whole} bytes; at most {MOST_BYTES} are "
                    f"read. {REPEAT}"
                )
            there = {entry: pack[entry] for entry in pack.files if entry.startswith(f"{name}:")}
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001  (of a damaged file zipfile and numpy raise anything)
        raise DataError(f"{path} is damaged ({error}). {REPEAT}") from None
    bits, shape = there.get(f"{name}:mask"), there.get(f"{name}:shape")
    if bits is None or shape is None:
        raise DataError(f"{path} has no mask '{name}'; evaluate and report disagree. Repro.")
    sides = shape.tolist() if shape.shape == (2,) and shape.dtype.kind == "i" else [0, 0]
    if min(sides) < 1 or bits.dtype != np.uint8 or bits.shape != (-(-sides[0] * sides[1] // 8),):
        raise DataError(f"{path} is damaged: mask '{name}' has {bits.size} values. {REPEAT}")
    mask = np.unpackbits(bits, count=sides[0] * sides[1]).reshape(sides).astype(np.bool_)
    extras = {e: there[f"{name}:{e}"] for e in EXTRAS if f"{name}:{e}" in there}
    maps = {
        entry.removeprefix(f"{name}{_MAP}"): values
        for entry, values in there.items() if entry.startswith(f"{name}{_MAP}")
    }  # fmt: skip
    return Predicted(mask=mask, maps=maps, **extras)
