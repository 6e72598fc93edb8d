"""Holm's correction: what the smallest p-values of a table are worth, given how many there are."""

# Shapes: m comparisons of one table.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pasam.errors import DataError


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that the chance of one false alarm in the table keeps its level.

    The smallest is multiplied by m, the next by m - 1, and so on, each at least as large as the
    one before (Holm 1979). It assumes nothing about how the comparisons depend on each other.

    Args:
        p_values: One per comparison, (m,) in [0, 1].

    Returns:
        The adjusted values in the same order, (m,), each in [p, 1].

    Raises:
        DataError: A value is outside [0, 1].
    """
    values = np.asarray(p_values, dtype=np.float64)
    outside = [p for p in p_values if not 0 <= p <= 1]
    if outside:
        raise DataError(f"p-values lie in [0, 1]; got {outside[:3]}.")
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return [float(p) for p in adjusted]
