"""Bootstrap intervals over images, stratified by benchmark and paired between models.

The statistic is always the mean over benchmarks of each benchmark's per-image mean. Images are
drawn with replacement within their benchmark; how they are drawn depends on the seed, the
benchmark's name and its number of images and on nothing else, so that every model and every
metric of a report meets the same draws. An interval covers the sampling of test images only: it
says nothing about another seed of training.
"""

# Shapes: n images of one benchmark, N images of all benchmarks together.

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pasam.errors import DataError, ParamsError, ShapeError

Values = NDArray[np.float64]

GAIN, LOSS, UNDECIDED = "gain shown", "loss shown", "no difference shown"

_CHUNK = 2_000_000  # Indices drawn at a time: 16 MB, whatever the size of the benchmark.


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A mean and its bootstrap percentile interval, in the unit of the values."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """How much one model is ahead of another on the same images."""

    mean: float
    """Mean over benchmarks of the mean difference per image."""
    low: float
    high: float
    better: float
    """Share of all images on which the first model scores higher, in [0, 1]."""
    worse: float
    tied: float

    @property
    def verdict(self) -> str:
        """What the interval allows to be said; an interval round zero shows nothing."""
        if self.low > 0:
            return GAIN
        return LOSS if self.high < 0 else UNDECIDED


def interval(
    values_by_stratum: Mapping[str, Values], *, draws: int, confidence: float, seed: int
) -> Interval:
    """Estimate the mean over benchmarks of per-benchmark means, with its interval.

    Args:
        values_by_stratum: Scores per image (n,) of every benchmark, by its name; one entry gives
            the interval of a single benchmark.
        draws: Bootstrap draws, at least 1.
        confidence: Level of the interval, in (0, 1).
        seed: Seed of the draws.

    Returns:
        The mean of the values themselves and the percentile interval of the resampled means.

    Raises:
        DataError: There is no benchmark, one is empty, or a score is not finite.
        ShapeError: The scores of a benchmark are not one-dimensional.
        ParamsError: `draws` or `confidence` is impossible.
    """
    _check_settings(draws, confidence)
    if not values_by_stratum:
        raise DataError("There is no benchmark to average over; score at least one.")
    names = sorted(values_by_stratum)  # The order of a float sum must not depend on the caller.
    resampled = np.zeros(draws)
    mean = 0.0
    for name in names:
        values = _checked(values_by_stratum[name], name)
        mean += float(values.mean()) / len(names)
        resampled += _resampled_means(values, name, draws=draws, seed=seed) / len(names)
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(mean=mean, low=float(low), high=float(high))


def paired_difference(
    a: Values, b: Values, strata: Sequence[str], *, draws: int, confidence: float, seed: int
) -> Difference:
    """Compare two models on the same images: `a` minus `b`.

    The differences are resampled, not the models: each draw takes the same images for both, so
    that what makes an image hard for both of them cancels out.

    Args:
        a: Scores of the first model, (N,).
        b: Scores of the second model on the same images in the same order, (N,).
        strata: Benchmark of every image, (N,).
        draws: Bootstrap draws, at least 1.
        confidence: Level of the interval, in (0, 1).
        seed: Seed of the draws.

    Raises:
        ShapeError: The three inputs differ in length.
        DataError: There is no image, or a score is not finite.
        ParamsError: `draws` or `confidence` is impossible.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if not first.shape == second.shape == (len(strata),):
        raise ShapeError(
            "A paired comparison needs both scores and the benchmark of each image; got "
            f"{first.shape} and {second.shape} scores for {len(strata)} images."
        )
    delta = first - second
    groups = dict(by_stratum(delta, strata))
    found = interval(groups, draws=draws, confidence=confidence, seed=seed)
    return Difference(
        mean=found.mean,
        low=found.low,
        high=found.high,
        better=float((delta > 0).mean()),
        worse=float((delta < 0).mean()),
        tied=float((delta == 0).mean()),
    )


def by_stratum(values: Values, strata: Sequence[str]) -> Iterator[tuple[str, Values]]:
    """Split scores (N,) by benchmark, keeping their order; names come out sorted."""
    labels = np.asarray(strata, dtype=np.str_)
    for name in np.unique(labels):
        yield str(name), values[labels == name]


def _resampled_means(values: Values, name: str, *, draws: int, seed: int) -> Values:
    """Means of `draws` resamples of one benchmark, (draws,)."""
    n = len(values)
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    rows = max(1, _CHUNK // n)
    means = np.empty(draws)
    for start in range(0, draws, rows):
        stop = min(start + rows, draws)
        picked = generator.integers(n, size=(stop - start, n))
        means[start:stop] = values[picked].mean(axis=1)
    return means


def _checked(values: Values, name: str) -> Values:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ShapeError(f"Scores of '{name}' must be one per image, (n,); got {array.shape}.")
    if not len(array):
        raise DataError(f"Benchmark '{name}' holds no scored image; remove it or evaluate it.")
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise DataError(
            f"Benchmark '{name}' holds {bad} scores that are not finite, of {len(array)}; "
            "every score is defined, so the score file is damaged: evaluate again."
        )
    return array


def _check_settings(draws: int, confidence: float) -> None:
    if draws < 1:
        raise ParamsError(f"report.draws is {draws}, expected at least 1.")
    if not 0 < confidence < 1:
        raise ParamsError(f"report.confidence is {confidence}, expected a level in (0, 1).")
