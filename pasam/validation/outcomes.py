"""What came of every expectation, in words that no library knows and no clock changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["item", "error", "warning"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One expectation after a look at the data."""

    name: str
    table: str
    level: Level
    """What a failure does: `item` leaves the items out, `error` stops, `warning` is reported."""
    says: str
    """What was expected."""
    column: str
    """Column of the table in which an offender's value stands."""
    checked: int
    """Rows that were looked at."""
    offenders: tuple[Mapping[Any, Any], ...]
    """Rows of the table that break the expectation, in the table's order."""

    @property
    def held(self) -> bool:
        """Whether every row is as expected."""
        return not self.offenders


def failed(outcomes: tuple[Outcome, ...], level: Level) -> tuple[str, ...]:
    """Name the expectations of one level that did not hold."""
    return tuple(o.name for o in outcomes if o.level == level and not o.held)
