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
from pasam.files import write_bytes

Maps = dict[str, NDArray[np.float16]]
"""PA-SAM's inner maps by name, each (g, g) or (h, h)."""

EXTRAS = ("box", "uncertainty", "positive", "negative")
_MAP = ":map:"


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
        DataError: The file is missing, or has no such mask.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; run `dvc repro evaluate` to make it.")
    with np.load(path, allow_pickle=False) as pack:
        if f"{name}:mask" not in pack:
            raise DataError(f"{path} has no mask '{name}'; evaluate and report disagree. Repro.")
        height, width = (int(length) for length in pack[f"{name}:shape"])
        bits = np.unpackbits(pack[f"{name}:mask"], count=height * width)
        extras = {e: pack[f"{name}:{e}"] for e in EXTRAS if f"{name}:{e}" in pack}
        found = [entry for entry in pack.files if entry.startswith(f"{name}{_MAP}")]
        maps = {entry.removeprefix(f"{name}{_MAP}"): pack[entry] for entry in found}
    return Predicted(mask=bits.reshape(height, width).astype(np.bool_), maps=maps, **extras)
