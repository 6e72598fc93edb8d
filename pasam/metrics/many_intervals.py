"""The intervals of `pasam.metrics.bootstrap` for many comparisons at once, for simulations."""

# Shapes: n images of a benchmark, P comparisons, each with one seed of training.

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from pasam.errors import DataError

Values = NDArray[np.float64]

_CHUNK = 2_000_000


def lower_ends(
    values_by_benchmark: Mapping[str, Values], *, draws: int, confidence: float, seed: int
) -> tuple[Values, dict[str, Values]]:
    """Lower ends of the intervals of P comparisons, those of `bootstrap.interval` for each.

    Args:
        values_by_benchmark: One column per comparison, (n, P) for every benchmark.
        draws: Bootstrap draws.
        confidence: Level of the intervals, in (0, 1).
        seed: Seed of the draws.

    Returns:
        For the mean over benchmarks, (P,), and for every benchmark, (P,) each.

    Raises:
        DataError: There is no benchmark.
    """
    if not values_by_benchmark:
        raise DataError("There is no benchmark to compare on; score at least one.")
    names = sorted(values_by_benchmark)
    total: Values = np.zeros(1)
    lows: dict[str, Values] = {}
    for name in names:
        values = values_by_benchmark[name]
        resampled = _resampled_means(values, name, draws=draws, seed=seed)
        lows[name] = _low(resampled, [values], confidence)
        total = total + resampled / len(names)
    return _low(total, [values_by_benchmark[name] for name in names], confidence), lows


def _low(resampled: Values, groups: list[Values], confidence: float) -> Values:
    if all(len(group) == 1 for group in groups):
        return np.full(groups[0].shape[1], -np.inf)  # one image says nothing about the next
    mean = np.mean([group.mean(axis=0) for group in groups], axis=0)
    low = np.quantile(resampled, (1 - confidence) / 2, axis=0)
    return np.asarray(mean + _stretch(groups, confidence) * (low - mean), np.float64)


def _stretch(groups: list[Values], confidence: float) -> Values:
    """How much wider Student's interval is than the normal one, (P,), at least 1."""
    parts = [
        (group.var(axis=0, ddof=1) / len(group) / len(groups) ** 2, len(group) - 1)
        for group in groups
        if len(group) > 1
    ]
    upper = (1 + confidence) / 2
    uncertainty = sum((variance**2 / freedom for variance, freedom in parts), np.zeros(1))
    spread = sum((variance for variance, _ in parts), np.zeros(1))
    known = uncertainty > 0
    freedom = np.where(known, spread**2 / np.where(known, uncertainty, 1.0), np.inf)
    return np.where(known, stdtrit(np.where(known, freedom, 1.0), upper) / ndtri(upper), 1.0)


def _resampled_means(values: Values, name: str, *, draws: int, seed: int) -> Values:
    """Means of every resample, (draws, P): a matrix product of counts and values."""
    n = len(values)
    means = np.empty((draws, values.shape[1]))
    for span, picked in _picks(n, name, draws=draws, seed=seed):
        rows = len(picked)
        places = picked + n * np.arange(rows)[:, None]
        counts = np.bincount(places.ravel(), minlength=rows * n).reshape(rows, n)
        means[span] = counts @ values / picked.shape[1]
    return means


def _picks(
    n: int, name: str, *, draws: int, seed: int
) -> Iterator[tuple[slice, NDArray[np.int64]]]:
    """Yield spans of draws with the images that each of them takes, (rows, n - 1)."""
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    rows = max(1, _CHUNK // n)
    for start in range(0, draws, rows):
        stop = min(start + rows, draws)
        yield slice(start, stop), generator.integers(n, size=(stop - start, max(1, n - 1)))
