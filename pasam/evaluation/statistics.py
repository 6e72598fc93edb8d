"""Bootstrap intervals over seeds and images, stratified by benchmark and paired between models.

The statistic is always the mean over benchmarks of each benchmark's per-image mean, averaged over
seeds of training where there are several. Seeds are drawn first, then images within their
benchmark. How they are drawn depends on the seed of the draws, the benchmark's name and its number
of images and on nothing else, so that every model and every metric of a report meets the same
draws. With one seed of training an interval covers the sampling of test images only.

Two corrections make the intervals hold for few images and few seeds: each draw takes one less
than there are (Rao and Wu 1988: without it the variance comes out too small), and the deviations
from the mean are stretched from the normal to Student's distribution (Hesterberg 2015), with
Satterthwaite's degrees of freedom. `docs/statistics.md` has the simulated coverage.
"""

# Shapes: S seeds of training, n images of one benchmark, N images of all benchmarks together,
# P comparisons that are made at once, R resamples.

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from pasam.errors import DataError, ParamsError, ShapeError

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
    """Fraction of all images on which the first model scores higher, in [0, 1]."""
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
    groups = _groups(values_by_stratum, n_resamples, confidence)
    mean, resampled = _resample(groups, n_resamples=n_resamples, confidence=confidence, seed=seed)
    low, high = _ends(resampled, confidence)
    return Interval(mean=float(mean[0]), low=float(low[0]), high=float(high[0]))


def lower_ends(
    values_by_benchmark: Mapping[str, Values], *, n_resamples: int, confidence: float, seed: int
) -> tuple[Values, dict[str, Values]]:
    """Lower ends of `interval` for P comparisons of one seed each, at once, for simulations.

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
    groups = {
        name: np.ascontiguousarray(values.T)[:, None, :]  # (P, 1, n)
        for name, values in values_by_benchmark.items()
    }

    def lows(chosen: Mapping[str, Values]) -> Values:
        _, resampled = _resample(chosen, n_resamples=n_resamples, confidence=confidence, seed=seed)
        return _ends(resampled, confidence)[0]

    return lows(groups), {name: lows({name: group}) for name, group in groups.items()}


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
    groups = _groups(dict(by_stratum(delta, strata)), n_resamples, confidence)
    mean, resampled = _resample(groups, n_resamples=n_resamples, confidence=confidence, seed=seed)
    low, high = _ends(resampled, confidence)
    per_image = delta.mean(axis=0)
    return Difference(
        mean=float(mean[0]),
        low=float(low[0]),
        high=float(high[0]),
        better=float((per_image > 0).mean()),
        worse=float((per_image < 0).mean()),
        tied=float((per_image == 0).mean()),
        p=_two_sided(resampled[0]),
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


def _groups(
    values_by_stratum: Mapping[str, Values], n_resamples: int, confidence: float
) -> dict[str, Values]:
    """Check the scores of every benchmark and give them one form, (1, S, n)."""
    if n_resamples < 1:
        raise ParamsError(f"report.n_resamples is {n_resamples}, expected at least 1.")
    if not 0 < confidence < 1:
        raise ParamsError(f"report.confidence is {confidence}, expected a level in (0, 1).")
    if not values_by_stratum:
        raise DataError("There is no benchmark to average over; score at least one.")
    groups = {name: _checked(values, name) for name, values in values_by_stratum.items()}
    seeds = {len(group) for group in groups.values()}
    if len(seeds) > 1:
        raise ShapeError(f"Benchmarks were scored with {sorted(seeds)} seeds; expected one number.")
    return {name: group[None] for name, group in groups.items()}


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


def _resample(
    groups: Mapping[str, Values], *, n_resamples: int, confidence: float, seed: int
) -> tuple[Values, Values]:
    """Resample P comparisons of groups (P, S, n).

    Returns:
        The means, (P,), and the resampled means, (P, R), stretched for few images and seeds;
        R is 0 where there is nothing to draw from.
    """
    names = sorted(groups)  # The order of a float sum must not depend on the caller.
    pairs, seeds, _ = groups[names[0]].shape
    mean = np.zeros(pairs)
    for name in names:
        mean += [of_pair.mean() for of_pair in groups[name]]
    mean /= len(names)
    if all(groups[name][0].size == 1 for name in names):
        return mean, np.empty((pairs, 0))
    weights = _seed_weights(seeds, n_resamples=n_resamples, seed=seed)
    resampled = np.zeros((pairs, n_resamples))
    for name in names:
        means = _resampled_means(groups[name], name, n_resamples=n_resamples, seed=seed)
        resampled += (weights * means).sum(axis=1) / len(names)
    stretch = _stretch([groups[name] for name in names], confidence)
    return mean, mean[:, None] + stretch[:, None] * (resampled - mean[:, None])


def _seed_weights(seeds: int, *, n_resamples: int, seed: int) -> Values:
    """Weight of every seed of training in every draw, (S, R); they sum to one."""
    if seeds == 1:
        return np.ones((1, n_resamples))
    generator = np.random.default_rng([seed, zlib.crc32(_SEEDS.encode())])
    picked = generator.integers(seeds, size=(n_resamples, seeds - 1))
    counts = [(picked == which).mean(axis=1) for which in range(seeds)]
    return np.array(counts)


def _resampled_means(values: Values, name: str, *, n_resamples: int, seed: int) -> Values:
    """Means of resamples of one benchmark's images, (P, S, n), by seed of training, (P, S, R)."""
    pairs, seeds, n = values.shape
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    rows = max(1, _CHUNK // (n * seeds))
    means = np.empty((pairs, seeds, n_resamples))
    for start in range(0, n_resamples, rows):
        stop = min(start + rows, n_resamples)
        picked = generator.integers(n, size=(stop - start, max(1, n - 1)))
        if pairs == 1:  # a report's numbers depend on no BLAS
            means[0, :, start:stop] = values[0][:, picked].mean(axis=2)
        else:  # the same means, but for rounding, at a tenth of the time for hundreds of pairs
            places = picked + n * np.arange(len(picked))[:, None]
            counts = np.bincount(places.ravel(), minlength=len(picked) * n).reshape(-1, n)
            means[:, :, start:stop] = values @ (counts / picked.shape[1]).T
    return means


def _stretch(groups: Sequence[Values], confidence: float) -> Values:
    """How much wider Student's interval is than the normal one, (P,), at least 1."""
    parts = [  # Variance of the mean that each source brings, and its degrees of freedom.
        (group.mean(axis=1).var(axis=1, ddof=1) / n / len(groups) ** 2, n - 1)
        for group in groups
        if (n := group.shape[2]) > 1
    ]
    seeds = groups[0].shape[1]
    if seeds > 1:
        runs = np.mean([group.mean(axis=2) for group in groups], axis=0)  # (P, S)
        parts.append((runs.var(axis=1, ddof=1) / seeds, seeds - 1))
    uncertainty = sum((variance**2 / freedom for variance, freedom in parts), np.zeros(1))
    total = sum((variance for variance, _ in parts), np.zeros(1))
    known = uncertainty > 0
    freedom = np.where(known, total**2 / np.where(known, uncertainty, 1.0), np.inf)
    upper = (1 + confidence) / 2
    wider = stdtrit(np.where(known, freedom, 1.0), upper) / ndtri(upper)
    return np.asarray(np.where(known, wider, 1.0), np.float64)


def _ends(resampled: Values, confidence: float) -> tuple[Values, Values]:
    """The ends of P intervals, (P,) each; infinite where there are no resamples."""
    if not resampled.shape[1]:
        return np.full(len(resampled), -np.inf), np.full(len(resampled), np.inf)
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=1)
    return low, high


def _two_sided(resampled: Values) -> float:
    """Fraction of draws (R,) beyond zero, twice; never zero, since draws are finite."""
    if not len(resampled):
        return 1.0
    below, above = int((resampled <= 0).sum()), int((resampled >= 0).sum())
    return min(1.0, 2 * (1 + min(below, above)) / (1 + len(resampled)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that the chance of one false positive in the table keeps its level.

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
