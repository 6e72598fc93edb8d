"""Checks that refuse an impossible value of a params dataclass at once, and quote it."""

from __future__ import annotations

from typing import Any

from pasam.errors import ParamsError


def require(holds: bool, key: str, value: object, expected: str) -> None:
    """Refuse a value unless it holds.

    Raises:
        ParamsError: It does not; the message says the key, the value and what was expected.
    """
    if not holds:
        raise ParamsError(f"{key} is {value!r}, expected {expected}.")


def at_least(section: object, least: int, *keys: str) -> None:
    """Refuse a section whose named values are below `least`."""
    for key in keys:
        value: Any = getattr(section, key)
        require(value >= least, key, value, f"{least} or more")


def above_zero(section: object, *keys: str) -> None:
    """Refuse a section whose named values are not above 0."""
    for key in keys:
        value: Any = getattr(section, key)
        require(value > 0, key, value, "more than 0")


def share(section: object, key: str) -> None:
    """Refuse a section whose named value is not between 0 and 1."""
    value: Any = getattr(section, key)
    require(0 < value < 1, key, value, "more than 0 and less than 1")
