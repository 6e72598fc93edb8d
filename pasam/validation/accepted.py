"""The last accepted data version: what its distributions looked like, in one small file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasam.data.whole_files import write_whole
from pasam.errors import DataError

QUANTITIES = ("area", "complexity", "resolution", "brightness")
"""What is compared: of every mask its area and complexity, of every image its size and light."""

WHOLE = "(all)"
"""Stands for all data sets of a split together."""

_KEPT = 200
_DIGITS = 4

Key = tuple[str, str]
"""Split and data set, or `WHOLE`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sketch:
    """The distributions of one data set, each as at most 200 evenly ranked values."""

    masks: int
    images: int
    values: Mapping[str, NDArray[np.float64]]


def group_values(pairs: pd.DataFrame, images: pd.DataFrame) -> Iterator[tuple[Key, Sketch]]:
    """Give the values of every data set and of every split as a whole, in order.

    Args:
        pairs: Fit rows, one per mask.
        images: Fit rows, one per image.
    """
    for split in sorted(set(pairs["split"])):
        sets = sorted(set(pairs.loc[pairs["split"] == split, "dataset"]))
        for dataset in [*sets, WHOLE]:
            chosen = [
                frame[(frame["split"] == split) & (frame["dataset"].isin(sets) if dataset == WHOLE
                      else frame["dataset"] == dataset)]
                for frame in (pairs, images)
            ]  # fmt: skip
            yield (split, dataset), _sketch(*chosen)


def accepted_text(pairs: pd.DataFrame, images: pd.DataFrame) -> str:
    """Write down the present data as the version that later ones are compared with."""
    sets = [
        {
            "split": split,
            "dataset": dataset,
            "masks": sketch.masks,
            "images": sketch.images,
            "values": {name: _thinned(values) for name, values in sketch.values.items()},
        }
        for (split, dataset), sketch in group_values(pairs, images)
    ]
    lines = ",\n".join(json.dumps(entry, sort_keys=True) for entry in sets)
    return f'{{"sets": [\n{lines}\n]}}\n' if sets else '{"sets": []}\n'


def read_accepted(path: Path) -> dict[Key, Sketch]:
    """Read the accepted version; an empty list means that nothing was accepted yet.

    Raises:
        DataError: The file is missing or is not of that form.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {(entry["split"], entry["dataset"]): _read(entry) for entry in content["sets"]}
    except FileNotFoundError:
        raise DataError(
            f"{path} does not exist. It holds the accepted data version; with none, it is "
            '{"sets": []}. Restore it, or write the present one with `pasam data accept`.'
        ) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path} is not an accepted data version ({error!r}). Restore it, or write the "
            "present one with `pasam data accept`."
        ) from None


def write_accepted(path: Path, text: str) -> None:
    """Write the accepted version, whole or not at all."""
    write_whole(path, text)


def _sketch(pairs: pd.DataFrame, images: pd.DataFrame) -> Sketch:
    resolution = np.sqrt(images["height"].to_numpy(np.float64) * images["width"].to_numpy())
    return Sketch(
        masks=len(pairs),
        images=len(images),
        values={
            "area": pairs["area"].to_numpy(np.float64),
            "complexity": pairs["complexity"].to_numpy(np.float64),
            "resolution": resolution,
            "brightness": images["brightness"].to_numpy(np.float64),
        },
    )


def _thinned(values: NDArray[np.float64]) -> list[float]:
    """Keep at most 200 values, evenly by rank, with four digits."""
    ordered = np.sort(values)
    if len(ordered) > _KEPT:
        ranks = (np.arange(_KEPT) + 0.5) / _KEPT
        ordered = np.quantile(ordered, ranks, method="inverted_cdf")
    return [float(f"{value:.{_DIGITS}g}") for value in ordered]


def _read(entry: Mapping[str, Any]) -> Sketch:
    values = {name: np.array(entry["values"][name], dtype=np.float64) for name in QUANTITIES}
    return Sketch(masks=int(entry["masks"]), images=int(entry["images"]), values=values)
