"""Whether the report's intervals and p-values keep what they promise, where the truth is known.

    python benchmarks/statistics_simulation.py                  # minutes; the tables of docs/
    python benchmarks/statistics_simulation.py --tables 200     # a first look
    python benchmarks/statistics_simulation.py --only "spread 4"

A trial is a whole table as the report prints it: five models, each trained with S seeds, scored on
the same images, all ten pairs compared, Holm's correction over the ten. Differences are in units
of what a difference varies from image to image. "Spread" is how much the mean over seeds varies by
the seeds, over how much it varies by the images: both standard errors. In the default run it lies
between 0.3 and 2.0 (three seeds).
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pasam.evaluation.statistics import estimate_many, holm

# Shapes: T tables, M models, P = M (M - 1) / 2 pairs, S seeds, n masks of a benchmark.

LEVEL = 0.95
MODELS = 5
PAIRS = tuple(itertools.combinations(range(MODELS), 2))
_AT_ONCE = 50  # tables, which share their draws
_RESIDUAL = 0.6  # seeds by images, as a share of the spread of images: 0.2 to 0.9 is measured

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """What is known of a table before it is measured."""

    images: tuple[int, ...] = (60,) * 4
    """Images of each benchmark."""
    masks: int = 1
    """Masks of each image."""
    correlation: float = 0.0
    """Of two masks of one image (intra-class correlation)."""
    seeds: int = 3
    spread: float = 0.0
    """Standard error by the seeds over that by the images, of a difference."""
    restless: float = 1.0
    """How much more than the others the first model varies by its seed."""
    skewed: bool = False
    """Differences as they come from IoU: most small, a few large."""
    gain: float = 0.0
    """By how much the last model is better than all others, in standard errors by the images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of many tables; fractions in [0, 1]."""

    coverage: float
    """Intervals of 95 % that hold the truth."""
    single: float
    """Comparisons of equal models whose interval leaves zero."""
    tables: float
    """Tables with a false alarm after Holm's correction."""
    shown: float
    """Comparisons with the better model that are shown after Holm's correction; 0 without one."""


def standard_error(design: Design) -> float:
    """Standard error by the images of a difference, whose standard deviation by mask is 1."""
    share = design.correlation + (1 - design.correlation) / design.masks
    return float(np.sqrt(sum(share / n for n in design.images)) / len(design.images))


def draw(design: Design, tables: int, generator: np.random.Generator) -> dict[str, Values]:
    """Draw the differences of all pairs, (T * P, S, n), by benchmark."""
    error = standard_error(design)
    own = np.full(MODELS, design.spread * error * np.sqrt(design.seeds / 2))
    own[0] *= design.restless
    by_seed = generator.normal(0, 1, (tables, MODELS, design.seeds, 1)) * own[:, None, None]
    better = np.zeros((MODELS, 1, 1))
    better[-1] = design.gain * error
    found = {}
    for number, n in enumerate(design.images):
        shape = (tables, MODELS, 1, n)
        shared = np.repeat(_by_image(design, shape, generator), design.masks, axis=3)
        alone = _by_image(design, (*shape[:3], n * design.masks), generator)
        scores = np.sqrt(design.correlation) * shared + np.sqrt(1 - design.correlation) * alone
        if design.seeds > 1:
            scores = scores + generator.normal(
                0, _RESIDUAL / np.sqrt(2), (tables, MODELS, design.seeds, n * design.masks)
            )
        scores = scores + by_seed + better
        of_pairs = np.stack([scores[:, a] - scores[:, b] for a, b in PAIRS], axis=1)
        found[f"benchmark {number}"] = of_pairs.reshape(-1, design.seeds, n * design.masks)
    return found


def _by_image(design: Design, shape: tuple[int, ...], generator: np.random.Generator) -> Values:
    """What images make of models: of variance 1/2, so that a difference has 1."""
    if not design.skewed:
        return generator.normal(0, np.sqrt(0.5), shape)
    skew = np.where(np.arange(MODELS) % 2, 1.0, -1.0)[:, None, None]  # else it would cancel
    drawn = generator.exponential(np.sqrt(0.5), shape)
    return np.asarray(skew * (drawn - np.sqrt(0.5)), np.float64)


def simulate(design: Design, *, tables: int, n_resamples: int, seed: int) -> Outcome:
    """Measure many tables of one design and count what was right.

    Args:
        design: The design.
        tables: Tables T to draw.
        n_resamples: Bootstrap resamples of each comparison.
        seed: Seed of the tables and the draws.
    """
    generator = np.random.default_rng(seed)
    truth = design.gain * standard_error(design) * np.array([-(b == MODELS - 1) for _, b in PAIRS])
    units = {
        f"benchmark {number}": np.repeat(np.arange(n), design.masks).astype(np.str_).tolist()
        for number, n in enumerate(design.images)
    }
    lows, highs, adjusted = [], [], []
    for start in range(0, tables, _AT_ONCE):
        part = min(_AT_ONCE, tables - start)
        found = estimate_many(
            draw(design, part, generator), units_by_stratum=units if design.masks > 1 else None,
            n_resamples=n_resamples, confidence=LEVEL, seed=seed + start,
        )  # fmt: skip
        lows.append(found.low.reshape(part, -1))
        highs.append(found.high.reshape(part, -1))
        adjusted += [holm(row) for row in found.p.reshape(part, -1).tolist()]
    low, high, p = np.concatenate(lows), np.concatenate(highs), np.array(adjusted)
    equal, shown = truth == 0, p < 1 - LEVEL
    outside = (low > 0) | (high < 0)
    return Outcome(
        coverage=float(((low <= truth) & (truth <= high)).mean()),
        single=float(outside[:, equal].mean()),
        tables=float(shown[:, equal].any(axis=1).mean()),
        shown=float(shown[:, ~equal].mean()) if design.gain else 0.0,
    )


SPREADS = (0.0, 0.5, 1.0, 2.0, 4.0)

EQUAL: dict[str, Design] = {
    "one seed, four of 60 images": Design(seeds=1),
    "one seed, one of 60 images": Design(seeds=1, images=(60,)),
    "one seed, one of 60 images, skewed": Design(seeds=1, images=(60,), skewed=True),
    "one seed, one of 3 images": Design(seeds=1, images=(3,)),
    "one seed, one of 11 images": Design(seeds=1, images=(11,)),
    "one seed, one of 30 images": Design(seeds=1, images=(30,)),
    "one seed, one of 3 images and three of 60": Design(seeds=1, images=(3, 60, 60, 60)),
    "one seed, 470, 280, 287 and 500 images": Design(seeds=1, images=(470, 280, 287, 500)),
    **{
        f"{seeds} seeds, four of 60 images, spread {spread:g}": Design(seeds=seeds, spread=spread)
        for seeds in (3, 8)
        for spread in SPREADS
    },
    "3 seeds, one of 60 images, spread 1": Design(images=(60,), spread=1.0),
    "3 seeds, one of 500 images, spread 2": Design(images=(500,), spread=2.0),
    "3 seeds, four of 60, skewed, spread 1": Design(skewed=True, spread=1.0),
    "3 seeds, spread 1, one model three times as restless": Design(spread=1.0, restless=3.0),
    "8 seeds, spread 1, one model three times as restless": Design(
        seeds=8, spread=1.0, restless=3.0
    ),
    "one seed, 60 photographs of 5 masks, correlation 0.3": Design(
        seeds=1, images=(60,), masks=5, correlation=0.3
    ),
    "3 seeds, 60 photographs of 5 masks, correlation 0.3, spread 1": Design(
        images=(60,), masks=5, correlation=0.3, spread=1.0
    ),
}
"""Designs of models that are equal."""

# In the default run a difference in mBIoU varies by 0.1 to 0.4 points by the images (0.35 here) and
# by 0.15 to 1.1 from seed to seed, half of the pairs by less than 0.5.
ERROR = 0.35
GAINS: dict[str, Design] = {
    f"{seeds} seeds that vary by {by_seed:g} points": Design(
        seeds=seeds, spread=by_seed / np.sqrt(seeds) / ERROR, gain=2 / ERROR
    )
    for seeds in (3, 8)
    for by_seed in (0.35, 0.6, 1.1)
}
"""Designs in which one model is 2 points of mBIoU better than the others."""


def rows(tables: int, n_resamples: int, *, only: str = "") -> Iterator[str]:
    """Write the two tables of docs/statistics.md, row by row: designs with `only` in their name."""
    yield "| equal models | coverage | single false alarms | tables with one after Holm |"
    yield "| --- | --- | --- | --- |"
    for name, design in EQUAL.items():
        if only not in name:
            continue
        found = simulate(design, tables=tables, n_resamples=n_resamples, seed=1)
        numbers = (found.coverage, found.single, found.tables)
        yield f"| {name} | " + " | ".join(f"{100 * number:.1f} %" for number in numbers) + " |"
    yield ""
    yield "| one model better by 2 points | coverage | shown after Holm | false alarms |"
    yield "| --- | --- | --- | --- |"
    for name, design in GAINS.items():
        if only not in name:
            continue
        found = simulate(design, tables=tables, n_resamples=n_resamples, seed=2)
        numbers = (found.coverage, found.shown, found.tables)
        yield f"| {name} | " + " | ".join(f"{100 * number:.1f} %" for number in numbers) + " |"


def main() -> None:
    """Print the tables of docs/statistics.md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tables", type=int, default=2000)
    parser.add_argument("--n-resamples", type=int, default=4000)
    parser.add_argument("--only", default="", help="Designs with this in their name.")
    options = parser.parse_args()
    for row in rows(options.tables, options.n_resamples, only=options.only):
        print(row, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
