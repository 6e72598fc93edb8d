"""One thing that was looked at, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "missing"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """What was found, and what to do about it."""

    name: str
    state: State
    """`missing` keeps the run from working; a `note` is worth knowing."""
    found: str
    remedy: str = ""
    """A command, or what to change."""
    size: int | None = None
    """Bytes to bring, if something is to be brought and its size is known."""
    origin: str = ""
    """Address that it comes from."""


def gigabytes(size: float) -> str:
    """Write a number of bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 0.95e8 else f"{size / 1e6:.0f} MB"
