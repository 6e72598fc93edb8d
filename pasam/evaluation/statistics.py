"""Bootstrap intervals over seeds and images, and Holm's correction."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from pasam.errors import DataError, ParamsError, ShapeError

# --- bootstrap: Bootstrap intervals over seeds and images, stratified by benchmark and paired
# between models.
#
# The statistic is always the mean over benchmarks of each benchmark's per-image mean, averaged over
# seeds of training where there are several. Seeds are drawn first, then images within their
# benchmark. How they are drawn depends on the seed of the draws, the benchmark's name and its
# number
# of images and on nothing else, so that every model and every metric of a report meets the same
# draws. With one seed of training an interval covers the sampling of test images only.
#
# Two corrections make the intervals hold for few images and few seeds: each draw takes one less
# than there are (Rao and Wu 1988: without it the variance comes out too small), and the deviations
# from the mean are stretched from the normal to Student's distribution (Hesterberg 2015), with
# Satterthwaite's degrees of freedom. `docs/statistics.md` has the simulated coverage.

# Shapes: S seeds of training, n images of one benchmark, N images of all benchmarks together.


Values = NDArray[np.float64]

GAIN, LOSS, UNDECIDED = "gain shown", "loss shown", "no difference shown"

_CHUNK = 2_000_000  # Indices drawn at a time: 16 MB, whatever the size of the benchmark.
_SEEDS = "seeds of training"


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
    p: float
    """Two-sided p-value of the same draws: below 1 - confidence where the interval leaves zero."""
    seeds: int
    """Seeds of training that were resampled; 1 says that the interval covers test images only."""

    @property
    def verdict(self) -> str:
        """What the interval allows to be said; an interval round zero shows nothing."""
        if self.low > 0:
            return GAIN
        return LOSS if self.high < 0 else UNDECIDED


def interval(
    values_by_stratum: Mapping[str, Values], *, n_resamples: int, confidence: float, seed: int
) -> Interval:
    """Estimate the mean over benchmarks of per-benchmark means, with its interval.

    Args:
        values_by_stratum: Scores per image, (n,) or (S, n), of every benchmark, by its name; one
            entry gives the interval of a single benchmark.
        n_resamples: Bootstrap resamples, at least 1.
        confidence: Level of the interval, in (0, 1).
        seed: Seed of the draws.

    Returns:
        The mean of the values themselves and the interval of the resampled means; it is without
        ends where one image per benchmark and one seed leave nothing to estimate it from.

    Raises:
        DataError: There is no benchmark, one is empty, or a score is not finite.
        ShapeError: Scores have more than two dimensions, or benchmarks differ in their seeds.
        ParamsError: `n_resamples` or `confidence` is impossible.
    """
    mean, resampled = _resample(
        values_by_stratum, n_resamples=n_resamples, confidence=confidence, seed=seed
    )
    low, high = _ends(resampled, confidence)
    return Interval(mean=mean, low=low, high=high)


def paired_difference(
    a: Values, b: Values, strata: Sequence[str], *, n_resamples: int, confidence: float, seed: int
) -> Difference:
    """Compare two models on the same images: `a` minus `b`.

    The differences are resampled, not the models: each draw takes the same images for both, so
    that what makes an image hard for both of them cancels out.

    Args:
        a: Scores of the first model, (N,) or (S, N).
        b: Scores of the second model on the same images in the same order, (N,) or (S, N); one
            row is held against every seed of the other.
        strata: Benchmark of every image, (N,).
        n_resamples: Bootstrap resamples, at least 1.
        confidence: Level of the interval, in (0, 1).
        seed: Seed of the draws.

    Raises:
        ShapeError: The inputs differ in images, or both have several seeds but not as many.
        DataError: There is no image, or a score is not finite.
        ParamsError: `n_resamples` or `confidence` is impossible.
    """
    delta = _differences(np.asarray(a, np.float64), np.asarray(b, np.float64), len(strata))
    groups = dict(by_stratum(delta, strata))
    mean, resampled = _resample(groups, n_resamples=n_resamples, confidence=confidence, seed=seed)
    low, high = _ends(resampled, confidence)
    per_image = delta.mean(axis=0)
    return Difference(
        mean=mean,
        low=low,
        high=high,
        better=float((per_image > 0).mean()),
        worse=float((per_image < 0).mean()),
        tied=float((per_image == 0).mean()),
        p=_two_sided(resampled),
        seeds=len(delta),
    )


def by_stratum(values: Values, strata: Sequence[str]) -> Iterator[tuple[str, Values]]:
    """Split scores (..., N) by benchmark, keeping their order; names come out sorted."""
    labels = np.asarray(strata, dtype=np.str_)
    for name in np.unique(labels):
        yield str(name), values[..., labels == name]


def _differences(a: Values, b: Values, images: int) -> Values:
    """Differences per seed and image, (S, N)."""
    first, second = np.atleast_2d(a), np.atleast_2d(b)
    fitting = first.ndim == second.ndim == 2 and first.shape[1] == second.shape[1] == images
    if not fitting or (len(first) != len(second) and 1 not in (len(first), len(second))):
        raise ShapeError(
            "A paired comparison needs both scores and the benchmark of each image, and equally "
            f"many seeds or one; got {a.shape} and {b.shape} scores for {images} images."
        )
    return np.asarray(first - second, np.float64)


def _resample(
    values_by_stratum: Mapping[str, Values], *, n_resamples: int, confidence: float, seed: int
) -> tuple[float, Values | None]:
    """The mean, and the resampled means (n_resamples,), stretched for few images and seeds.

    There are no resampled means where there is nothing to draw from.
    """
    _check_settings(n_resamples, confidence)
    if not values_by_stratum:
        raise DataError("There is no benchmark to average over; score at least one.")
    names = sorted(values_by_stratum)  # The order of a float sum must not depend on the caller.
    groups = [_checked(values_by_stratum[name], name) for name in names]
    seeds = {len(group) for group in groups}
    if len(seeds) > 1:
        raise ShapeError(f"Benchmarks were scored with {sorted(seeds)} seeds; expected one number.")
    mean = sum(float(group.mean()) for group in groups) / len(groups)
    if all(group.size == 1 for group in groups):
        return mean, None
    weights = _seed_weights(seeds.pop(), n_resamples=n_resamples, seed=seed)
    resampled = np.zeros(n_resamples)
    for name, group in zip(names, groups, strict=True):
        means = _resampled_means(group, name, n_resamples=n_resamples, seed=seed)
        resampled += (weights * means).sum(axis=0) / len(names)
    return mean, mean + _stretch(groups, confidence) * (resampled - mean)


def _seed_weights(seeds: int, *, n_resamples: int, seed: int) -> Values:
    """Weight of every seed of training in every draw, (S, n_resamples); they sum to one."""
    if seeds == 1:
        return np.ones((1, n_resamples))
    generator = np.random.default_rng([seed, zlib.crc32(_SEEDS.encode())])
    picked = generator.integers(seeds, size=(n_resamples, seeds - 1))
    counts = [(picked == which).mean(axis=1) for which in range(seeds)]
    return np.array(counts)


def _resampled_means(values: Values, name: str, *, n_resamples: int, seed: int) -> Values:
    """Means of resamples of one benchmark's images, by seed of training, (S, n_resamples)."""
    seeds, n = values.shape
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    rows = max(1, _CHUNK // (n * seeds))
    means = np.empty((seeds, n_resamples))
    for start in range(0, n_resamples, rows):
        stop = min(start + rows, n_resamples)
        picked = generator.integers(n, size=(stop - start, max(1, n - 1)))
        means[:, start:stop] = values[:, picked].mean(axis=2)
    return means


def _stretch(groups: Sequence[Values], confidence: float) -> float:
    """How much wider Student's interval is than the normal one, at least 1."""
    parts = [  # Variance of the mean that each source brings, and its degrees of freedom.
        (float(group.mean(axis=0).var(ddof=1)) / group.shape[1] / len(groups) ** 2, n - 1)
        for group in groups
        if (n := group.shape[1]) > 1
    ]
    seeds = len(groups[0])
    if seeds > 1:
        runs = np.mean([group.mean(axis=1) for group in groups], axis=0)
        parts.append((float(runs.var(ddof=1)) / seeds, seeds - 1))
    uncertainty = sum(variance**2 / freedom for variance, freedom in parts)
    if not uncertainty:
        return 1.0
    freedom = sum(variance for variance, _ in parts) ** 2 / uncertainty
    upper = (1 + confidence) / 2
    return float(stdtrit(freedom, upper) / ndtri(upper))


def _ends(resampled: Values | None, confidence: float) -> tuple[float, float]:
    if resampled is None:
        return -np.inf, np.inf
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)


def _two_sided(resampled: Values | None) -> float:
    """Share of draws on the other side of zero, twice; never zero, since draws are finite."""
    if resampled is None:
        return 1.0
    below, above = int((resampled <= 0).sum()), int((resampled >= 0).sum())
    return min(1.0, 2 * (1 + min(below, above)) / (1 + len(resampled)))


def _checked(values: Values, name: str) -> Values:
    array = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if array.ndim != 2:
        raise ShapeError(
            f"Scores of '{name}' must be one per image, (n,), or per seed and image, (S, n); "
            f"got {array.shape}."
        )
    if not array.size:
        raise DataError(f"Benchmark '{name}' holds no scored image; remove it or evaluate it.")
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise DataError(
            f"Benchmark '{name}' holds {bad} scores that are not finite, of {array.size}; "
            "every score is defined, so the score file is damaged: evaluate again."
        )
    return array


def _check_settings(n_resamples: int, confidence: float) -> None:
    if n_resamples < 1:
        raise ParamsError(f"report.n_resamples is {n_resamples}, expected at least 1.")
    if not 0 < confidence < 1:
        raise ParamsError(f"report.confidence is {confidence}, expected a level in (0, 1).")


# --- holm: Holm's correction: what the smallest p-values of a table are worth, given how many
# there are.

# Shapes: m comparisons of one table.


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


# --- many_intervals: The intervals of `pasam.evaluation.statistics` for many comparisons at
# once, for simulations.

# Shapes: n images of a benchmark, P comparisons, each with one seed of training.


ManyIntervalsValues = NDArray[np.float64]

_MANY_INTERVALS_CHUNK = 2_000_000


def lower_ends(
    values_by_benchmark: Mapping[str, ManyIntervalsValues],
    *,
    n_resamples: int,
    confidence: float,
    seed: int,
) -> tuple[ManyIntervalsValues, dict[str, ManyIntervalsValues]]:
    """Lower ends of the intervals of P comparisons, those of `bootstrap.interval` for each.

    Args:
        values_by_benchmark: One column per comparison, (n, P) for every benchmark.
        n_resamples: Bootstrap resamples.
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
    total: ManyIntervalsValues = np.zeros(1)
    lows: dict[str, ManyIntervalsValues] = {}
    for name in names:
        values = values_by_benchmark[name]
        resampled = _many_intervals_resampled_means(
            values, name, n_resamples=n_resamples, seed=seed
        )
        lows[name] = _low(resampled, [values], confidence)
        total = total + resampled / len(names)
    return _low(total, [values_by_benchmark[name] for name in names], confidence), lows


def _low(
    resampled: ManyIntervalsValues, groups: list[ManyIntervalsValues], confidence: float
) -> ManyIntervalsValues:
    if all(len(group) == 1 for group in groups):
        return np.full(groups[0].shape[1], -np.inf)  # one image says nothing about the next
    mean = np.mean([group.mean(axis=0) for group in groups], axis=0)
    low = np.quantile(resampled, (1 - confidence) / 2, axis=0)
    return np.asarray(mean + _many_intervals_stretch(groups, confidence) * (low - mean), np.float64)


def _many_intervals_stretch(
    groups: list[ManyIntervalsValues], confidence: float
) -> ManyIntervalsValues:
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


def _many_intervals_resampled_means(
    values: ManyIntervalsValues, name: str, *, n_resamples: int, seed: int
) -> ManyIntervalsValues:
    """Means of every resample, (n_resamples, P): a matrix product of counts and values."""
    n = len(values)
    means = np.empty((n_resamples, values.shape[1]))
    for span, picked in _picks(n, name, n_resamples=n_resamples, seed=seed):
        rows = len(picked)
        places = picked + n * np.arange(rows)[:, None]
        counts = np.bincount(places.ravel(), minlength=rows * n).reshape(rows, n)
        means[span] = counts @ values / picked.shape[1]
    return means


def _picks(
    n: int, name: str, *, n_resamples: int, seed: int
) -> Iterator[tuple[slice, NDArray[np.int64]]]:
    """Yield spans of draws with the images that each of them takes, (rows, n - 1)."""
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    rows = max(1, _MANY_INTERVALS_CHUNK // n)
    for start in range(0, n_resamples, rows):
        stop = min(start + rows, n_resamples)
        yield slice(start, stop), generator.integers(n, size=(stop - start, max(1, n - 1)))
