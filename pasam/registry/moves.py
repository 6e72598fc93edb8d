"""Moving the champion, so that a crash at any point leaves one valid champion and can be finished.

What is about to be done is written into the registry first and removed last. Each step in between
may be repeated, and whoever comes next finishes what is written there before anything else. The
one step that changes the champion sets one alias, which MLflow does in one transaction.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from pasam.errors import BusyError, RegistryError
from pasam.registry.journal import Journal
from pasam.registry.versions import (
    ACCEPTED,
    CANDIDATE,
    CHAMPION,
    PREDECESSOR,
    PREVIOUS,
    ROLLED_BACK,
    STATUS,
    Registry,
)
from pasam.tracking.store import Store, is_local

INTENT = "pasam.in_progress"


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """A change of the champion, with all that is needed to finish it."""

    action: Literal["promote", "roll back"]
    to: int
    """Version that becomes champion."""
    champion: int | None
    """Champion before."""
    previous: int | None
    """What `previous` points to afterwards."""
    why: str


@contextmanager
def exclusive(store: Store) -> Iterator[None]:
    """Hold the registry for one process of this machine; the second is told at once.

    Raises:
        BusyError: Another process holds it.
    """
    path = lock_path(store)
    try:
        with FileLock(path, timeout=0):
            yield
    except Timeout:
        raise BusyError(
            f"another process is changing the registry (it holds {path}). Nothing was changed "
            "here; wait until it has ended, look at `pasam registry list`, and try again."
        ) from None


def lock_path(store: Store) -> Path:
    """Where the lock lies: beside a local database, else one per server for all of this machine."""
    if is_local(store.registry_uri):
        return store.folder / "registry.lock"
    name = sha256(store.registry_uri.encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"pasam-registry-{name}.lock"


def start_promotion(registry: Registry, number: int, *, why: str) -> Move:
    """Plan that a version takes over from the champion."""
    aliases = registry.aliases()
    champion = aliases.get(CHAMPION)
    return Move(action="promote", to=number, champion=champion, previous=champion, why=why)


def start_rollback(registry: Registry, *, why: str) -> Move:
    """Plan that the previous champion comes back.

    Raises:
        RegistryError: There is no champion, or none before it.
    """
    aliases = registry.aliases()
    champion, previous = aliases.get(CHAMPION), aliases.get(PREVIOUS)
    if champion is None or previous is None:
        lacking = "champion" if champion is None else "previous champion"
        raise RegistryError(
            f"there is no {lacking} to go back from or to; the aliases are {aliases or 'none'}. "
            "Promote a version by number with `pasam registry promote VERSION`."
        )
    before = registry.version(previous).tags.get(PREDECESSOR, "")
    earlier = int(before) if before.isdecimal() else None
    return Move(action="roll back", to=previous, champion=champion, previous=earlier, why=why)


def carry_out(registry: Registry, journal: Journal, move: Move) -> None:
    """Do a move, the intention first; a crash in between is finished by `finish`."""
    registry.note(INTENT, json.dumps(asdict(move)))
    _steps(registry, journal, move)


def finish(registry: Registry, journal: Journal) -> Move | None:
    """Finish a move that was cut short; return it, or None if there is none."""
    found = registry.noted(INTENT)
    if found is None:
        return None
    move = Move(**json.loads(found))
    _steps(registry, journal, move)
    return move


def _steps(registry: Registry, journal: Journal, move: Move) -> None:
    """All steps but the first; each may be done twice."""
    if move.action == "promote":
        # `previous` goes first: from here on there is a way back.
        registry.point(PREVIOUS, move.previous)
        before = "" if move.champion is None else str(move.champion)
        registry.tag(move.to, {PREDECESSOR: before})
        registry.point(CHAMPION, move.to)
        registry.tag(move.to, {STATUS: ACCEPTED, "pasam.why": move.why})
        if registry.aliases().get(CANDIDATE) == move.to:
            registry.point(CANDIDATE, None)
    else:
        registry.point(CHAMPION, move.to)
        registry.point(PREVIOUS, move.previous)
        if move.champion is not None:
            registry.tag(move.champion, {STATUS: ROLLED_BACK, "pasam.why": move.why})
    journal.append_once({"event": move.action, **asdict(move)})
    registry.note(INTENT, None)
