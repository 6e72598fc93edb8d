"""Intervals and p-values for means over benchmarks: of one model, and of two on the same images.

The statistic is always the mean over benchmarks of each benchmark's per-mask mean, averaged over
seeds of training where there are several. Two things in it are left to chance, and each is treated
as what it is:

- The images. The unit that is resampled is the image, or the group of images that belong together
  (a film, a patient, a scene), with all its masks: masks of one image are no independent evidence.
  Units are drawn within their benchmark, one less than there are (Rao and Wu 1988: without it the
  variance comes out too small), and the deviations are stretched from the normal to Student's
  distribution (Hesterberg 2015), with Satterthwaite's degrees of freedom over benchmarks.
- The seeds of training. Three seeds cannot be resampled: their draws have ten different means. So
  what the seeds' means deviate is drawn from Student's distribution with S - 1 degrees of freedom
  and their standard error, and added to the deviation of the images: the two-variance problem of
  Behrens and Fisher, whose solution keeps its level whichever of the two variances is the larger.

How units are drawn depends on the seed of the draws, the benchmark's name and its number of units
and on nothing else, so that every model and every metric of a report meets the same draws. With
one seed of training an interval covers the sampling of test images only: it speaks of these
weights, not of the method. `docs/statistics.md` has the simulated coverage and false alarms.
"""

# Shapes: S seeds of training, n masks of one benchmark, N masks of all benchmarks together, G units
# (images or groups) of one benchmark, P comparisons that are made at once, R resamples.

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from pasam.errors import DataError, ParamsError, ShapeError

Values = NDArray[np.float64]
Labels = Sequence[str] | NDArray[Any]
"""One name for every mask."""

GAIN, LOSS, UNDECIDED = "gain shown", "loss shown", "no difference shown"

SEEDS_FOR_P = 3
"""Fewer seeds of training cannot carry a p-value: their spread is not known."""

_FEW, _FEW_ALONE = 6, 30
"""Units from which a benchmark is resampled, one of several and one by itself: fewer have too few
different means, as seeds have."""

_CHUNK = 2_000_000  # Indices drawn at a time: 16 MB, whatever the size of the benchmark.
_SEEDS = "seeds of training"


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A mean and its interval, in the unit of the values."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """How much one model is ahead of another on the same images."""

    mean: float
    """Mean over benchmarks of the mean difference per mask."""
    low: float
    high: float
    better: float
    """Fraction of all masks on which the first model scores higher, in [0, 1]."""
    worse: float
    tied: float
    p: float
    """Two-sided p-value of the same draws: below 1 - confidence where the interval leaves zero.
    What Holm's correction runs over; it is printed from `SEEDS_FOR_P` seeds on."""
    seeds: int
    """Seeds of training that it covers; 1 says that it speaks of these weights only."""

    @property
    def verdict(self) -> str:
        """What the interval allows to be said; an interval round zero shows nothing."""
        if self.low > 0:
            return GAIN
        return LOSS if self.high < 0 else UNDECIDED


def worded(verdict: str, seeds: int) -> str:
    """Write a verdict with what it speaks of: with one seed, of these weights and no method."""
    return f"{verdict} for these weights" if seeds == 1 and verdict != UNDECIDED else verdict


def interval(
    values_by_stratum: Mapping[str, Values],
    *,
    units_by_stratum: Mapping[str, Labels] | None = None,
    n_resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Estimate the mean over benchmarks of per-benchmark means, with its interval.

    Args:
        values_by_stratum: Scores per mask, (n,) or (S, n), of every benchmark, by its name; one
            entry gives the interval of a single benchmark.
        units_by_stratum: Image or group of every mask, (n,), by benchmark: the column `group` of
            score rows. None takes every mask for a unit of its own, which is right only where
            every image has one mask.
        n_resamples: Bootstrap resamples, at least 1.
        confidence: Level of the interval, in (0, 1).
        seed: Seed of the draws.

    Returns:
        The mean of the values themselves and the interval of the resampled means; it is without
        ends where a benchmark of one single unit leaves nothing to estimate it from.

    Raises:
        DataError: There is no benchmark, one is empty, or a score is not finite.
        ShapeError: Scores have more than two dimensions, benchmarks differ in their seeds, or
            there are other units than masks.
        ParamsError: `n_resamples` or `confidence` is impossible.
    """
    strata = _strata(values_by_stratum, units_by_stratum, n_resamples, confidence)
    found = _estimates(strata, n_resamples=n_resamples, confidence=confidence, seed=seed)
    return Interval(mean=float(found.mean[0]), low=float(found.low[0]), high=float(found.high[0]))


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimates:
    """P comparisons at once; all (P,)."""

    mean: Values
    low: Values
    high: Values
    p: Values


def estimate_many(
    values_by_stratum: Mapping[str, Values],
    *,
    units_by_stratum: Mapping[str, Labels] | None = None,
    n_resamples: int,
    confidence: float,
    seed: int,
) -> Estimates:
    """Estimate P means as `interval` does each, with their p-values, at once: for simulations.

    Args:
        values_by_stratum: Differences per mask, (P, S, n) for every benchmark.
        units_by_stratum: Image or group of every mask, (n,), by benchmark.
        n_resamples: Bootstrap resamples.
        confidence: Level of the intervals, in (0, 1).
        seed: Seed of the draws.

    Raises:
        DataError: There is no benchmark.
    """
    if not values_by_stratum:
        raise DataError("There is no benchmark to compare on; score at least one.")
    strata = [
        _stratum(name, values_by_stratum[name], (units_by_stratum or {}).get(name))
        for name in sorted(values_by_stratum)
    ]
    return _estimates(strata, n_resamples=n_resamples, confidence=confidence, seed=seed)


def _estimates(
    strata: Sequence[_Stratum], *, n_resamples: int, confidence: float, seed: int
) -> Estimates:
    mean, resampled = _resample(strata, n_resamples=n_resamples, confidence=confidence, seed=seed)
    low, high = _ends(resampled, confidence)
    return Estimates(mean=mean, low=low, high=high, p=_two_sided(resampled))


def paired_difference(
    a: Values,
    b: Values,
    strata: Labels,
    *,
    units: Labels | None = None,
    n_resamples: int,
    confidence: float,
    seed: int,
) -> Difference:
    """Compare two models on the same images: `a` minus `b`.

    The differences are resampled, not the models: each draw takes the same images for both, so
    that what makes an image hard for both of them cancels out.

    Args:
        a: Scores of the first model, (N,) or (S, N).
        b: Scores of the second model on the same masks in the same order, (N,) or (S, N); one
            row is held against every seed of the other.
        strata: Benchmark of every mask, (N,).
        units: Image or group of every mask, (N,); None takes every mask for a unit of its own.
        n_resamples: Bootstrap resamples, at least 1.
        confidence: Level of the interval, in (0, 1).
        seed: Seed of the draws.

    Raises:
        ShapeError: The inputs differ in masks, or both have several seeds but not as many.
        DataError: There is no mask, or a score is not finite.
        ParamsError: `n_resamples` or `confidence` is impossible.
    """
    delta = _differences(np.asarray(a, np.float64), np.asarray(b, np.float64), len(strata))
    parts = _strata(
        dict(by_stratum(delta, strata)),
        None if units is None else dict(by_stratum(np.asarray(units, np.str_), strata)),
        n_resamples,
        confidence,
    )
    found = _estimates(parts, n_resamples=n_resamples, confidence=confidence, seed=seed)
    per_mask = delta.mean(axis=0)
    return Difference(
        mean=float(found.mean[0]),
        low=float(found.low[0]),
        high=float(found.high[0]),
        better=float((per_mask > 0).mean()),
        worse=float((per_mask < 0).mean()),
        tied=float((per_mask == 0).mean()),
        p=float(found.p[0]),
        seeds=len(delta),
    )


def by_stratum(values: NDArray[Any], strata: Labels) -> Iterator[tuple[str, NDArray[Any]]]:
    """Split scores (..., N) by benchmark, keeping their order; names come out sorted."""
    labels = np.asarray(strata, dtype=np.str_)
    for name in np.unique(labels):
        yield str(name), values[..., labels == name]


def _differences(a: Values, b: Values, masks: int) -> Values:
    """Differences per seed and mask, (S, N)."""
    first, second = np.atleast_2d(a), np.atleast_2d(b)
    fitting = first.ndim == second.ndim == 2 and first.shape[1] == second.shape[1] == masks
    if not fitting or (len(first) != len(second) and 1 not in (len(first), len(second))):
        raise ShapeError(
            "A paired comparison needs both scores and the benchmark of each image, and equally "
            f"many seeds or one; got {a.shape} and {b.shape} scores for {masks} images."
        )
    return np.asarray(first - second, np.float64)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stratum:
    """One benchmark of P comparisons, summed up by what is drawn at random."""

    name: str
    means: Values
    """(P,)"""
    runs: Values
    """Mean of every seed of training, (P, S)."""
    sums: Values
    """Sum over the masks of every unit, of the means over seeds, (P, G)."""
    sizes: Values
    """Masks of every unit, (G,)."""


def _stratum(name: str, values: Values, units: Labels | None) -> _Stratum:
    masks = values.shape[2]
    if units is not None and len(units) != masks:
        raise ShapeError(f"'{name}' has {masks} scores, but {len(units)} images of them are named.")
    over_seeds, sizes = values.mean(axis=1), np.ones(masks)
    if units is not None:
        names, codes = np.unique(np.asarray(units, np.str_), return_inverse=True)
        sizes = np.bincount(codes, minlength=len(names)).astype(np.float64)
        if len(names) < masks:
            over_seeds = over_seeds @ np.eye(len(names))[codes]
    return _Stratum(
        name=name,
        means=np.array([of_pair.mean() for of_pair in values]),
        runs=values.mean(axis=2),
        sums=np.ascontiguousarray(over_seeds),
        sizes=sizes,
    )


def _strata(
    values_by_stratum: Mapping[str, Values],
    units_by_stratum: Mapping[str, Labels] | None,
    n_resamples: int,
    confidence: float,
) -> list[_Stratum]:
    """Check one comparison, P = 1; sorted, for the order of a sum must not depend on the caller."""
    if n_resamples < 1:
        raise ParamsError(f"report.n_resamples is {n_resamples}, expected at least 1.")
    if not 0 < confidence < 1:
        raise ParamsError(f"report.confidence is {confidence}, expected a level in (0, 1).")
    if not values_by_stratum:
        raise DataError("There is no benchmark to average over; score at least one.")
    groups = {name: _checked(values_by_stratum[name], name) for name in sorted(values_by_stratum)}
    seeds = {len(group) for group in groups.values()}
    if len(seeds) > 1:
        raise ShapeError(f"Benchmarks were scored with {sorted(seeds)} seeds; expected one number.")
    units = units_by_stratum or {}
    return [_stratum(name, group[None], units.get(name)) for name, group in groups.items()]


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
    strata: Sequence[_Stratum], *, n_resamples: int, confidence: float, seed: int
) -> tuple[Values, Values]:
    """Draw what the mean might have been with other images and other seeds of training.

    Returns:
        The means, (P,), and the resampled means, (P, R); R is 0 where a benchmark has one unit.
    """
    mean = np.sum([part.means for part in strata], axis=0) / len(strata)
    if min(len(part.sizes) for part in strata) < 2:
        return mean, np.empty((len(mean), 0))
    least = _FEW if len(strata) > 1 else _FEW_ALONE
    many = [part for part in strata if len(part.sizes) >= least]
    deviations = np.zeros((len(mean), n_resamples))
    if many:
        for part in many:
            means = _resampled_means(part, n_resamples=n_resamples, seed=seed)
            deviations += means / len(strata)
        centre = np.sum([part.means for part in many], axis=0) / len(strata)
        deviations = _stretch(many, confidence)[:, None] * (deviations - centre[:, None])
    for part in strata:
        if len(part.sizes) < least:
            variance, freedom = _over_units(part)
            # With the mean's sign: two models in the other order have the mirrored interval.
            error = np.copysign(np.sqrt(variance), part.means) / len(strata)
            chance = _student(freedom, of=part.name, n_resamples=n_resamples, seed=seed)
            deviations += error[:, None] * chance
    runs = np.mean([part.runs for part in strata], axis=0)  # (P, S)
    seeds = runs.shape[1]
    if seeds > 1:
        error = np.sqrt(runs.var(axis=1, ddof=1) / seeds)
        deviations += error[:, None] * _student(
            seeds - 1, of=_SEEDS, n_resamples=n_resamples, seed=seed
        )
    return mean, mean[:, None] + deviations


def _student(freedom: float, *, of: str, n_resamples: int, seed: int) -> Values:
    """Student's distribution in R equally likely values, in a random order of its own, (R,)."""
    generator = np.random.default_rng([seed, zlib.crc32(of.encode())])
    places = (generator.permutation(n_resamples) + 0.5) / n_resamples
    return np.asarray(stdtrit(freedom, places), np.float64)


def _resampled_means(part: _Stratum, *, n_resamples: int, seed: int) -> Values:
    """Means of resamples of one benchmark's units, (P, R)."""
    pairs, units = part.sums.shape
    generator = np.random.default_rng([seed, zlib.crc32(part.name.encode())])
    rows = max(1, _CHUNK // units)
    means = np.empty((pairs, n_resamples))
    for start in range(0, n_resamples, rows):
        stop = min(start + rows, n_resamples)
        picked = generator.integers(units, size=(stop - start, units - 1))
        sizes = part.sizes[picked].sum(axis=1)
        if pairs == 1:  # a report's numbers depend on no BLAS
            means[0, start:stop] = part.sums[0][picked].sum(axis=1) / sizes
        else:  # the same means, but for rounding, at a tenth of the time for hundreds of pairs
            places = picked + units * np.arange(len(picked))[:, None]
            counts = np.bincount(places.ravel(), minlength=len(picked) * units).reshape(-1, units)
            means[:, start:stop] = part.sums @ (counts / sizes[:, None]).T
    return means


def _stretch(strata: Sequence[_Stratum], confidence: float) -> Values:
    """How much wider Student's interval over images is than the normal one, (P,), at least 1."""
    uncertainty = total = np.zeros(1)
    for part in strata:
        of_mean, alone = _over_units(part)
        variance = of_mean / len(strata) ** 2
        uncertainty = uncertainty + variance**2 / alone
        total = total + variance
    known = uncertainty > 0
    freedom = np.where(known, total**2 / np.where(known, uncertainty, 1.0), np.inf)
    upper = (1 + confidence) / 2
    wider = stdtrit(np.where(known, freedom, 1.0), upper) / ndtri(upper)
    return np.asarray(np.where(known, wider, 1.0), np.float64)


def _over_units(part: _Stratum) -> tuple[Values, float]:
    """Estimate the variance of a benchmark's mean, (P,), with its degrees of freedom."""
    masks, units = part.sizes.sum(), len(part.sizes)
    deviations = part.sums - part.means[:, None] * part.sizes
    variance = (deviations**2).sum(axis=1) * units / (units - 1) / masks**2
    # As many units as, all of one size, would tell as much as these of different sizes.
    alike = (part.sizes**2).sum() ** 2 / (part.sizes**4).sum()
    return np.asarray(variance, np.float64), max(1.0, float(alike) - 1)


def _ends(resampled: Values, confidence: float) -> tuple[Values, Values]:
    """The ends of P intervals, (P,) each; infinite where there are no resamples."""
    if not resampled.shape[1]:
        return np.full(len(resampled), -np.inf), np.full(len(resampled), np.inf)
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=1)
    return low, high


def _two_sided(resampled: Values) -> Values:
    """Fraction of draws (P, R) beyond zero, twice, (P,); never zero, since draws are finite."""
    draws = resampled.shape[1]
    least = np.minimum((resampled <= 0).sum(axis=1), (resampled >= 0).sum(axis=1))
    return np.asarray(np.minimum(1.0, 2 * (1 + least) / (1 + draws)), np.float64)


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
