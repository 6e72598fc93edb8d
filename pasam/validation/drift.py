"""Drift: whether the data still looks like the version that was accepted last."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp

from pasam.validation.accepted import QUANTITIES, WHOLE, Key, Sketch

COLUMNS = ("split", "dataset", "quantity", "distance", "p", "limit_p", "drifted")


def compare(
    present: Mapping[Key, Sketch], accepted: Mapping[Key, Sketch], *, p: float, effect: float
) -> pd.DataFrame:
    """Compare every distribution of the present data with the accepted one's.

    The test is Kolmogorov and Smirnov's for two samples. A distribution has drifted when the
    test is significant at `p` divided by the number of comparisons (Bonferroni) and the distance
    between the two distribution functions is above `effect`: with many images the test alone
    would call every difference significant, however small.

    Args:
        present: Values by split and data set.
        accepted: The same of the accepted version. Sets that only one of the two has are left
            out, and a split as a whole unless it still has some set of the accepted version.
        p: Chance of a false alarm over all comparisons together.
        effect: Largest distance that still counts as the same, in (0, 1): 0.15 says that at any
            value, the shares of data below it differ by 15 points at most.

    Returns:
        One row per set and quantity, with the columns of `COLUMNS`.
    """
    shared = [key for key in present if key in accepted and _worth_it(key, present, accepted)]
    limit = p / max(1, len(shared) * len(QUANTITIES))
    rows = []
    for split, dataset in shared:
        for quantity in QUANTITIES:
            now = present[split, dataset].values[quantity]
            then = accepted[split, dataset].values[quantity]
            distance, chance = _test(now, then)
            drifted = distance > effect and chance < limit
            rows.append((split, dataset, quantity, distance, chance, limit, drifted))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _worth_it(key: Key, present: Mapping[Key, Sketch], accepted: Mapping[Key, Sketch]) -> bool:
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
    """Give the statistic, 0 to 1, and the p-value; accepted values are rounded, so these are."""
    rounded = np.array([float(f"{value:.4g}") for value in now])
    result = ks_2samp(rounded, then, method="asymp")
    return float(result.statistic), float(result.pvalue)
