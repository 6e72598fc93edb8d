"""What the gate does to models whose true difference is known: its error rate and its power.

Differences per image are drawn from Student's t with five degrees of freedom, whose tails are as
heavy as those of two trained models' differences, scaled to a stated spread.
"""

# Shapes: n images of a benchmark, P simulated pairs of models.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pasam.gate_params import GateParams
from pasam.metrics.many_intervals import lower_ends

_FREEDOM = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Simulated:
    """How often pairs with one true difference pass."""

    name: str
    expected: str
    promoted: float
    """Share of the simulated pairs, in [0, 1]."""
    holds: bool
    """Whether the share is what was expected."""


def simulate(
    params: GateParams, images: Mapping[str, int], *, spread: float, pairs: int, seed: int = 0
) -> list[Simulated]:
    """Try the gate's bounds on equal, harmful, worse and better models.

    Args:
        params: The gate.
        images: Number of images of every benchmark.
        spread: Standard deviation of the difference per image, in points.
        pairs: Simulated pairs for each kind.
        seed: Seed of the simulation.
    """
    stated = 1 - params.confidence
    worst = min(images)

    def share(gain: float, harm: Mapping[str, float] | None = None) -> float:
        true = dict.fromkeys(images, gain) | dict(harm or {})
        deltas = draw_deltas(true, images, spread=spread, pairs=pairs, seed=seed)
        return float(passes(deltas, params).mean())

    equal, worse = share(0.0), share(-params.margin)
    harmful, better = share(2.0, {worst: -params.margin}), share(2.0)
    at_most, at_least = f"at most {stated:.1%}", "at least 90%"
    return [
        _row("equal models", at_most, equal, equal <= stated),
        _row(f"worse by the margin ({params.margin:g} points)", at_most, worse, worse <= stated),
        _row(f"better by 2 points, but worse by the margin on {worst}", at_most, harmful,
             harmful <= stated),
        _row("better by 2 points", at_least, better, better >= 0.9),
    ]  # fmt: skip


def draw_deltas(
    true: Mapping[str, float], images: Mapping[str, int], *, spread: float, pairs: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Draw differences per image, (n, P) for every benchmark, round their true means."""
    generator = np.random.default_rng(seed)
    scale = spread / np.sqrt(_FREEDOM / (_FREEDOM - 2))
    return {
        name: true[name] + scale * generator.standard_t(_FREEDOM, size=(n, pairs))
        for name, n in sorted(images.items())
    }


def passes(deltas: Mapping[str, NDArray[np.float64]], params: GateParams) -> NDArray[np.bool_]:
    """Say which of P comparisons pass the gate's two kinds of bounds, (P,)."""
    mean_low, lows = lower_ends(
        deltas, draws=params.draws, confidence=params.confidence, seed=params.seed
    )
    found = mean_low > params.minimum_gain
    for low in lows.values():
        found = found & (low > -params.margin)
    return np.asarray(found, dtype=np.bool_)


def _row(name: str, expected: str, promoted: float, holds: bool) -> Simulated:
    return Simulated(name=name, expected=expected, promoted=promoted, holds=holds)
