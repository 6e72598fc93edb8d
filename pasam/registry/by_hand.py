"""What a person does to the registry: promote a judged version, reject one, go back.

Nothing here needs a model or its scores, so that the way back takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pasam.errors import RegistryError
from pasam.registry.journal import Journal
from pasam.registry.moves import (
    Move,
    carry_out,
    exclusive,
    finish,
    start_promotion,
    start_rollback,
)
from pasam.registry.verdict import PROMOTE, Verdict
from pasam.registry.versions import (
    CANDIDATE,
    CHAMPION,
    REJECTED,
    STATUS,
    Registry,
    Version,
    open_registry,
)
from pasam.tracking.store import translated


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a call of `promote` did."""

    version: int
    promoted: bool
    """Whether this version is the champion now."""
    moved: bool
    """Whether this call made it so."""
    verdict: Verdict | None
    """What the gate said; None where it was not asked."""
    page: Path | None
    """The verdict as a page."""
    message: str


def promote_version(project: Path, which: int | str, *, why: str) -> Outcome:
    """Promote a version that the gate has accepted before, such as one judged in a dry run.

    Raises:
        RegistryError: There is no such version, or the gate has not accepted it.
    """
    with held(project) as (registry, journal):
        version = registry.version(which)
        if CHAMPION in version.aliases:
            return outcome_of(version, True, "is the champion already")
        decision = version.tags.get("gate.decision", "nothing")
        if decision != PROMOTE:
            raise RegistryError(
                f"version {version.number} cannot be promoted: the gate said {decision!r} of it, "
                f"expected {PROMOTE!r}. Its reasons: `pasam registry show {version.number}`."
            )
        move(registry, journal, version, why)
        return outcome_of(version, True, "is champion now", moved=True)


def reject(project: Path, which: int | str, *, why: str) -> Version:
    """Mark a version as rejected by a person.

    Raises:
        RegistryError: It is the champion, or does not exist.
    """
    with held(project) as (registry, journal):
        version = registry.version(which)
        if CHAMPION in version.aliases:
            raise RegistryError(
                f"version {version.number} is the champion and in use; go back to the one before "
                'it with `pasam registry rollback --why "..."`.'
            )
        turn_down(registry, version, why)
        journal.append({"event": "reject", "version": version.number, "why": why})
        return registry.version(version.number)


def rollback(project: Path, *, why: str) -> Move:
    """Bring the previous champion back.

    Raises:
        RegistryError: There is none.
    """
    with held(project) as (registry, journal):
        back = start_rollback(registry, why=why)
        carry_out(registry, journal, back)
        return back


@contextmanager
def held(project: Path) -> Iterator[tuple[Registry, Journal]]:
    """Hold the registry alone, with everything finished that was cut short before."""
    registry = open_registry(project)
    journal = Journal(registry.store.folder)
    with exclusive(registry.store), translated(registry.store.registry_uri):
        finish(registry, journal)
        yield registry, journal


def move(registry: Registry, journal: Journal, version: Version, why: str) -> None:
    """Make a version champion."""
    carry_out(registry, journal, start_promotion(registry, version.number, why=why))


def turn_down(registry: Registry, version: Version, why: str) -> None:
    """Mark a version as rejected; it is no candidate any more."""
    registry.tag(version.number, {STATUS: REJECTED, "pasam.why": why[:4000]})
    if registry.aliases().get(CANDIDATE) == version.number:
        registry.point(CANDIDATE, None)


def outcome_of(
    version: Version,
    promoted: bool,
    message: str,
    moved: bool = False,
    verdict: Verdict | None = None,
    page: Path | None = None,
) -> Outcome:
    """Say what became of a version."""
    return Outcome(
        version=version.number, promoted=promoted, moved=moved, verdict=verdict, page=page,
        message=f"version {version.number} {message}",
    )  # fmt: skip
