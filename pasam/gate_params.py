"""The section `gate` of `params.yaml`: what a new version must show to become champion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pasam.param_checks import above_zero, at_least, require


@dataclass(frozen=True, kw_only=True, slots=True)
class GateParams:
    """When a candidate replaces the champion. Scores are mean boundary IoU in points, 0 to 100."""

    mode: Literal["off", "dry-run", "on"]
    """`on` judges and promotes, `dry-run` only judges, `off` promotes what a person asks for."""
    model: str
    """Trained model that is registered, by its key in `models`."""
    minimum_gain: float
    """The lower bound of the mean gain over the champion must be above this."""
    margin: float
    """No benchmark may be worse by this or more: the lower bound of its gain is above `-margin`."""
    confidence: float
    """Level of the intervals; wrong promotions are at most 1 - confidence of the judgements."""
    draws: int
    """Bootstrap draws."""
    seed: int
    floor_mean: float
    """Mean over benchmarks below which nothing is promoted, not even a first version."""
    floor_benchmark: float
    """The same for every single benchmark."""
    latency_ms: float
    """Longest median time of one prediction of an embedded image, on the judging machine."""
    latency_ratio: float
    """How many times the champion's time, on the same machine, a candidate may take."""
    allow_generated: bool
    """Whether a model of generated data or of the small base may become champion."""

    def __post_init__(self) -> None:
        at_least(self, 0, "minimum_gain", "margin", "seed", "floor_mean", "floor_benchmark")
        at_least(self, 100, "draws")
        at_least(self, 1, "latency_ratio")
        above_zero(self, "latency_ms")
        for key in ("floor_mean", "floor_benchmark"):
            require(getattr(self, key) <= 100, key, getattr(self, key), "points, 100 at most")
        require(0.5 < self.confidence < 1, "confidence", self.confidence, "between 0.5 and 1")
