"""Moving the champion so that a crash at any point leaves one valid champion, each move logged."""

from __future__ import annotations

import datetime
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from pasam.errors import BusyError, RegistryError
from pasam.registry.decision import PROMOTE, Verdict
from pasam.registry.store import Store, is_local, translated
from pasam.registry.versions import (
    ACCEPTED,
    CANDIDATE,
    CHAMPION,
    PREDECESSOR,
    PREVIOUS,
    REJECTED,
    ROLLED_BACK,
    STATUS,
    Registry,
    Version,
    open_registry,
)

# --- journal: The append-only log of everything that was judged, promoted, rejected or taken back.

NAME = "registry-log.jsonl"


class Journal:
    """One JSON line per event, never changed afterwards.

    Args:
        folder: Where the file lies; it is made at the first event.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def append(self, event: Mapping[str, Any]) -> None:
        """Add an event with its time; the line is on the disk when this returns."""
        moment = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": moment, **event}, sort_keys=True) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # One write to a file opened for appending: lines of two processes never mix.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, self._mend() + line.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def append_once(self, event: Mapping[str, Any]) -> None:
        """Add an event unless it is the last one already, as after a crash in between."""
        events = self.events()
        last = {k: v for k, v in events[-1].items() if k != "time"} if events else None
        if last != dict(event):
            self.append(event)

    def events(self) -> list[dict[str, Any]]:
        """Read all events, the oldest first; a line that a crash cut short is left out."""
        if not self.path.is_file():
            return []
        found = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return found

    def _mend(self) -> bytes:
        """A line break, if a crash has left the last line without its own."""
        if not self.path.is_file() or not self.path.stat().st_size:
            return b""
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return b"" if file.read(1) == b"\n" else b"\n"


# --- moves: Moving the champion, so that a crash at any point leaves one valid champion and can
# be finished.
#
# What is about to be done is written into the registry first and removed last. Each step in between
# may be repeated, and whoever comes next finishes what is written there before anything else. The
# one step that changes the champion sets one alias, which MLflow does in one transaction.

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


# --- by_hand: What a person does to the registry: promote a judged version, reject one, go back.
#
# Nothing here needs a model or its scores, so that the way back takes seconds.


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
