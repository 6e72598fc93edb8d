"""The last accepted data version, in one small file, and whether the data still looks like it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from pasam.errors import DataError
from pasam.files import read_json

QUANTITIES = ("area", "complexity", "resolution", "brightness")
"""What is compared: of every mask its area and complexity, of every image its size and light."""
WHOLE = "(all)"
"""Stands for all data sets of a split together."""
COLUMNS = ("split", "dataset", "quantity", "distance", "p", "limit_p", "drifted")
"""Of a comparison's rows."""
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
        pairs: Valid rows, one per mask.
        images: Valid rows, one per image.
    """
    for split, masks in pairs.groupby("split", sort=True):
        own = images[images["split"] == split]
        for dataset, of_set in masks.groupby("dataset", sort=True):
            yield (str(split), str(dataset)), _sketch(of_set, own[own["dataset"] == dataset])
        yield (str(split), WHOLE), _sketch(masks, own)


def accepted_text(pairs: pd.DataFrame, images: pd.DataFrame) -> str:
    """Write down the present data as the version that later ones are compared with."""
    sets = [
        {
            "split": split, "dataset": dataset, "masks": sketch.masks, "images": sketch.images,
            "values": {name: _thinned(values) for name, values in sketch.values.items()},
        }
        for (split, dataset), sketch in group_values(pairs, images)
    ]  # fmt: skip
    lines = ",\n".join(json.dumps(entry, sort_keys=True) for entry in sets)
    return f'{{"sets": [\n{lines}\n]}}\n' if sets else '{"sets": []}\n'


def read_accepted(path: Path) -> dict[Key, Sketch]:
    """Read the accepted version; an empty list means that nothing was accepted yet.

    Raises:
        DataError: The file is missing or is not of that form.
    """
    content = read_json(
        path,
        advice='It holds the accepted data version; with none, it is {"sets": []}. Restore it, or '
        "write the present one with `pasam data accept`.",
    )
    try:
        return {
            (entry["split"], entry["dataset"]): Sketch(
                masks=int(entry["masks"]),
                images=int(entry["images"]),
                values={q: np.array(entry["values"][q], dtype=np.float64) for q in QUANTITIES},
            )
            for entry in content["sets"]
        }
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise DataError(
            f"{path} is not an accepted data version ({error!r}). Restore it, or write the "
            "present one with `pasam data accept`."
        ) from None


def _sketch(pairs: pd.DataFrame, images: pd.DataFrame) -> Sketch:
    values = {
        "area": pairs["area"],
        "complexity": pairs["complexity"],
        "resolution": np.sqrt(images["height"].astype(float) * images["width"]),
        "brightness": images["brightness"],
    }
    arrays = {name: np.asarray(column, np.float64) for name, column in values.items()}
    return Sketch(masks=len(pairs), images=len(images), values=arrays)


def _thinned(values: NDArray[np.float64]) -> list[float]:
    """Keep at most 200 values, evenly by rank, with four digits."""
    ordered = np.sort(values)
    if len(ordered) > _KEPT:
        ranks = (np.arange(_KEPT) + 0.5) / _KEPT
        ordered = np.quantile(ordered, ranks, method="inverted_cdf")
    return [float(f"{value:.{_DIGITS}g}") for value in ordered]


def compare(
    present: Mapping[Key, Sketch],
    accepted: Mapping[Key, Sketch],
    *,
    p: float,
    effect: float,
    quantities: Sequence[str] = QUANTITIES,
) -> pd.DataFrame:
    """Compare every distribution of the present data with the accepted one's.

    The test is Kolmogorov and Smirnov's for two samples. A distribution has drifted when the
    test is significant at `p` divided by the number of comparisons (Bonferroni) and the distance
    between the two distribution functions is above `effect`: with many images the test alone
    would call every difference significant, however small.

    Sets that only one of the two versions has are left out, and a split as a whole unless it
    still has some set of the accepted version.

    Args:
        present: Values by split and data set.
        accepted: The same of the accepted version.
        p: Chance of a false alarm over all comparisons together.
        effect: Largest distance that still counts as the same, in (0, 1): 0.15 says that at any
            value, the shares of data below it differ by 15 points at most.
        quantities: What is compared.

    Returns:
        One row per set and quantity, with the columns of `COLUMNS`.
    """
    shared = [key for key in present if key in accepted and _is_comparable(key, present, accepted)]
    limit = p / max(1, len(shared) * len(quantities))
    rows = []
    for split, dataset in shared:
        for quantity in quantities:
            now, then = (
                version[split, dataset].values[quantity] for version in (present, accepted)
            )
            distance, chance = _test(now, then)
            drifted = distance > effect and chance < limit
            rows.append((split, dataset, quantity, distance, chance, limit, drifted))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _is_comparable(key: Key, present: Mapping[Key, Sketch], accepted: Mapping[Key, Sketch]) -> bool:
    """Leave a split as a whole out where it is one set anyway, or other data altogether."""
    split, dataset = key
    if dataset != WHOLE:
        return True
    now, then = (
        {name for of, name in version if of == split and name != WHOLE}
        for version in (present, accepted)
    )
    return bool(now & then) and len(now | then) > 1


def _test(now: np.ndarray, then: np.ndarray) -> tuple[float, float]:
    """Give the statistic, 0 to 1, and the p-value; accepted values are rounded, so all are."""
    rounded = [np.array([float(f"{value:.4g}") for value in values]) for values in (now, then)]
    few = len(now) == len(then) == 1  # the approximation has no size for that
    result = ks_2samp(*rounded, method="exact" if few else "asymp")
    return float(result.statistic), float(result.pvalue)
