"""What data and models have to pass: the sections `validate` and `gate` of `params.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pasam.config.section import (
    Count,
    Fraction,
    Level,
    Listed,
    Natural,
    NotNegative,
    Pair,
    Positive,
    Section,
    within,
)

Points = Annotated[NotNegative, within(lambda points: points <= 100, "points, 100 at most")]


class GateParams(Section):
    """When a candidate replaces the champion. Scores are mean boundary IoU in points, 0 to 100."""

    mode: Literal["off", "dry-run", "on"]
    """`on` judges and promotes, `dry-run` only judges, `off` promotes what a person asks for."""
    model: str
    """Trained model that is registered, by its key in `models`."""
    minimum_gain: Points
    """The lower bound of the mean gain over the champion must be above this."""
    margin: Points
    """No benchmark may be worse by this or more: the lower bound of its gain is above `-margin`."""
    confidence: Annotated[float, within(lambda level: 0.5 < level < 1, "between 0.5 and 1")]
    """Level of the intervals; the chance of any wrong promotion in `attempts` judgements is at most
    1 - confidence."""
    attempts: Count
    """Judgements on one evaluation set that share the error rate, such as a year's; those of the
    next year share half of it, and so on."""
    n_resamples: Annotated[int, within(lambda value: value >= 100, "100 or more")]
    """Bootstrap resamples."""
    seed: Natural
    floor_mean: Points
    """Mean over benchmarks below which nothing is promoted, not even a first version."""
    floor_benchmark: Points
    """The same for every single benchmark."""
    latency_ms: Positive
    """Longest median time of one prediction of an embedded image, on the judging machine."""
    latency_ratio: Annotated[float, within(lambda value: value >= 1, "1 or more")]
    """How many times the champion's time, on the same machine, a candidate may take."""
    latency: Literal["required", "advisory"]
    """Whether a slow candidate is refused, or only told to be slow: on a machine that others share
    or whose clock is not its own."""
    sealed: Listed[str]
    """Data sets that no judgement ever sees; what the champion gained is claimed on them."""
    allow_generated: bool
    """Whether a model of generated data or of the small base may become champion."""


Area = Annotated[
    Pair[float],
    within(lambda area: 0 <= area[0] < area[1] <= 1, "two fractions, 0 <= low < high <= 1"),
]
Sides = Annotated[
    Pair[int], within(lambda sides: 1 <= sides[0] <= sides[1], "two sides, 1 <= low <= high")
]


class ValidateParams(Section):
    """Limits of the expectations, and which of them only warn."""

    unreviewed_fraction: Fraction
    """Fraction of a data set's items that may be unfit without being in quarantine.
    They are left out in any case; above the fraction the run stops."""
    quarantined_fraction: Fraction
    """Fraction of a data set's items that may be in quarantine; above it the run stops."""
    area: Area
    """Smallest and largest fraction of the image that a mask should cover."""
    side: Sides
    """Shortest and longest side that an image should have, in pixels."""
    contrast: NotNegative
    """Least standard deviation of an image's grey values (0..255); below it nothing shows."""
    near_bits: Annotated[int, within(lambda bits: 0 <= bits <= 16, "0 to 16 bits")]
    """Bits, of 64, by which both perceptual hashes of two near duplicates differ at most."""
    drift_p: Level
    """Chance of a false alarm over all comparisons together when nothing drifted, in (0, 1)."""
    drift_effect: Level
    """Largest distance between two distribution functions that still counts as the same, (0, 1)."""
    warnings: Listed[str]
    """Expectations whose failure is only reported; every other failure stops the run."""
