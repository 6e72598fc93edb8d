"""What the gate decides: promote, reject or re-evaluate, each check with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PROMOTE, REJECT, REEVALUATE = "promote", "reject", "re-evaluate the champion"
"""The three ways in which a judgement ends."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One condition."""

    name: str
    passed: bool
    reason: str
    """What was found and what was expected, in one sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gain:
    """How far the candidate is ahead, in points of boundary IoU."""

    mean: float
    low: float
    """Lower end of the interval."""
    spread: float
    """Standard deviation of the difference per image, within a benchmark."""
    images: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the gate says, and why."""

    decision: str
    """`PROMOTE`, `REJECT` or `REEVALUATE`."""
    checks: tuple[Check, ...]
    scores: Mapping[str, float]
    """The candidate's mean boundary IoU by benchmark and, as `mean`, over benchmarks, in points."""
    gains: Mapping[str, Gain]
    """Gain over the champion by benchmark and as `mean`; empty for a first version."""

    @property
    def accepted(self) -> bool:
        """Whether the candidate may become champion."""
        return self.decision == PROMOTE

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why not, or, of an accepted candidate, why."""
        return tuple(c.reason for c in self.checks if self.accepted or not c.passed)
