"""How often the bootstrap's intervals hold the truth, and how often it cries wolf.

    python benchmarks/bootstrap_coverage.py            # a few minutes; prints the table of docs/

Every trial draws differences of two models per benchmark, image and seed from a population whose
mean is known, and asks whether the 95 % interval holds that mean (coverage). With a mean of zero
the models are identical but for chance, and an interval that leaves zero is a false alarm; a table
of six such comparisons has one after Holm's correction at most as often as its level says.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pasam.evaluation.statistics import holm, interval, paired_difference

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A population of differences between two models."""

    images: tuple[int, ...]
    """Images of each benchmark."""
    seeds: int = 1
    seed_share: float = 0.0
    """Spread between seeds as a share of the spread of the mean over images."""
    skewed: bool = False
    """Differences as they come from IoU: most small, a few large."""


SCENARIOS: Mapping[str, Scenario] = {
    "four benchmarks of 60": Scenario(images=(60,) * 4),
    "four benchmarks of 60, skewed": Scenario(images=(60,) * 4, skewed=True),
    "one benchmark of 20": Scenario(images=(20,)),
    "one benchmark of 20, skewed": Scenario(images=(20,), skewed=True),
    "470, 280, 287 and 500 images": Scenario(images=(470, 280, 287, 500)),
    "four of 60, 3 seeds, alike": Scenario(images=(60,) * 4, seeds=3),
    "four of 60, 3 seeds, half as spread": Scenario(images=(60,) * 4, seeds=3, seed_share=0.5),
    "four of 60, 3 seeds, as spread": Scenario(images=(60,) * 4, seeds=3, seed_share=1.0),
    "four of 60, 5 seeds, twice as spread": Scenario(images=(60,) * 4, seeds=5, seed_share=2.0),
}


def draw(
    scenario: Scenario, generator: np.random.Generator, *, mean: float = 0.0
) -> dict[str, NDArray[np.float64]]:
    """Draw one experiment: differences (S, n) by benchmark."""
    spread_of_mean = float(np.sqrt(sum(1 / n for n in scenario.images)) / len(scenario.images))
    seed_effects = generator.normal(
        0, scenario.seed_share * spread_of_mean * np.sqrt(scenario.seeds), (scenario.seeds, 1)
    )
    groups = {}
    for number, n in enumerate(scenario.images):
        centred = generator.exponential(1, n) - 1 if scenario.skewed else generator.normal(0, 1, n)
        noise = generator.normal(0, 0.3, (scenario.seeds, n)) if scenario.seeds > 1 else 0.0
        groups[f"benchmark {number}"] = mean + centred + noise + seed_effects
    return groups


def coverage(scenario: Scenario, *, trials: int, n_resamples: int, seed: int) -> float:
    """Share of trials whose interval holds the population's mean."""
    generator = np.random.default_rng(seed)
    hits = 0
    for trial in range(trials):
        found = interval(
            draw(scenario, generator, mean=0.3),
            n_resamples=n_resamples,
            confidence=LEVEL,
            seed=trial,
        )
        hits += found.low <= 0.3 <= found.high
    return hits / trials


def false_alarms(*, rows: int, trials: int, n_resamples: int, seed: int) -> tuple[float, float]:
    """Shares of trials with a false alarm: of the first row, and of any of `rows` after Holm."""
    generator = np.random.default_rng(seed)
    scenario = Scenario(images=(60,) * 4)
    strata = [name for name, n in enumerate(scenario.images) for _ in range(n)]
    single = family = 0
    for trial in range(trials):
        found = []
        for _ in range(rows):
            delta = np.concatenate(list(draw(scenario, generator).values()), axis=1)
            base = generator.random(delta.shape[1])
            found.append(
                paired_difference(
                    base + delta, base, list(map(str, strata)),
                    n_resamples=n_resamples, confidence=LEVEL, seed=trial,
                )
            )  # fmt: skip
        single += found[0].low > 0 or found[0].high < 0
        family += min(holm([row.p for row in found])) < 1 - LEVEL
    return single / trials, family / trials


def main() -> None:
    """Print the table of docs/statistics.md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--n-resamples", type=int, default=1000)
    options = parser.parse_args()
    print("| population | coverage of the 95 % interval |\n| --- | --- |")  # noqa: T201
    for name, scenario in SCENARIOS.items():
        share = coverage(scenario, trials=options.trials, n_resamples=options.n_resamples, seed=1)
        print(f"| {name} | {100 * share:.1f} % |", flush=True)  # noqa: T201
    single, family = false_alarms(
        rows=6, trials=options.trials // 2, n_resamples=options.n_resamples, seed=2
    )
    print(f"\nFalse alarms on identical models: {100 * single:.1f} % of single comparisons,")  # noqa: T201
    print(f"{100 * family:.1f} % of tables of six after Holm's correction.")  # noqa: T201


if __name__ == "__main__":
    main()
