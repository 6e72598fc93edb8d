"""Predicted masks on disk: bits, and what a report shows besides, in one file per benchmark."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pasam.errors import DataError

# Shapes: H, W of the image, g grid cells a side, k mined points of each sign.


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
    """PA-SAM's inner maps by name, each (g, g)."""


MAP = ":map:"
EXTRAS = ("box", "uncertainty", "positive", "negative")


def with_maps(
    predictions: Mapping[str, Predicted], maps: Sequence[Mapping[str, NDArray[np.float16]]]
) -> dict[str, Predicted]:
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
            f"{len(maps)} sets of inner maps were taken of {len(predictions)} predictions; watch "
            "exactly one evaluation."
        )
    return {
        name: replace(item, maps=own)
        for (name, item), own in zip(predictions.items(), maps, strict=True)
    }


def write_predictions(path: Path, predictions: Mapping[str, Predicted]) -> None:
    """Write predictions atomically; equal predictions give equal bytes.

    Args:
        path: An `.npz` file; its folder is made if need be.
        predictions: By id of the mask.
    """
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
            arrays[f"{name}{MAP}{key}"] = item.maps[key]
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_bytes(packed.getvalue())
    draft.replace(path)


def read_prediction(path: Path, name: str) -> Predicted:
    """Read one prediction.

    Args:
        path: A file of `write_predictions`.
        name: Id of the mask.

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
        found = [entry for entry in pack.files if entry.startswith(f"{name}{MAP}")]
        maps = {entry.removeprefix(f"{name}{MAP}"): pack[entry] for entry in found}
    mask = bits.reshape(height, width).astype(np.bool_)
    return Predicted(mask=mask, maps=maps, **extras)
