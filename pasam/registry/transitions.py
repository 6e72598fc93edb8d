"""Changes of the champion that survive a crash at any point, each in the audit log.

What is about to be done is written into the registry first and removed last. Each step in between
may be repeated, and whoever comes next finishes what is written there before anything else. The
one step that changes the champion sets one alias, which MLflow does in one transaction: there is
one valid champion at any time.

Nothing here needs a model or its scores, so that the way back takes seconds.
"""

from __future__ import annotations

import datetime
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock, Timeout

from pasam.errors import BusyError, RegistryError
from pasam.files import sha256_of
from pasam.registry.store import Tag, TrackingStore, is_local, wrap_mlflow_errors
from pasam.registry.versions import (
    ACCEPTED,
    CANDIDATE,
    CHAMPION,
    PREVIOUS,
    PROMOTE,
    REJECTED,
    ROLLED_BACK,
    Registry,
    Version,
    open_registry,
)

if TYPE_CHECKING:
    from pasam.registry.gate import GateDecision

LOG = "registry-log.jsonl"


class AuditLog:
    """One JSON line per event, never changed afterwards.

    Args:
        folder: Where the file lies; it is made at the first event.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
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
def exclusive(store: TrackingStore) -> Iterator[None]:
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


def lock_path(store: TrackingStore) -> Path:
    """Where the lock lies: beside a local database, else one per server for all of this machine."""
    if is_local(store.registry_uri):
        return store.folder / "registry.lock"
    name = sha256_of(store.registry_uri)[:12]
    return Path(tempfile.gettempdir()) / f"pasam-registry-{name}.lock"


def plan_promotion(registry: Registry, number: int, *, why: str) -> Transition:
    """Plan that a version takes over from the champion."""
    aliases = registry.aliases()
    champion = aliases.get(CHAMPION)
    return Transition(action="promote", to=number, champion=champion, previous=champion, why=why)


def plan_rollback(registry: Registry, *, why: str) -> Transition:
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
    before = registry.version(previous).tags.get(Tag.PREDECESSOR, "")
    earlier = int(before) if before.isdecimal() else None
    return Transition(action="roll back", to=previous, champion=champion, previous=earlier, why=why)


def apply(registry: Registry, log: AuditLog, transition: Transition) -> None:
    """Make a transition, the intention first; a crash in between is finished by `finish`."""
    registry.set_tag(Tag.INTENT, json.dumps(asdict(transition)))
    _steps(registry, log, transition)


def finish(registry: Registry, log: AuditLog) -> Transition | None:
    """Finish a transition that was cut short; return it, or None if there is none."""
    found = registry.get_tag(Tag.INTENT)
    if found is None:
        return None
    transition = Transition(**json.loads(found))
    _steps(registry, log, transition)
    return transition


def _steps(registry: Registry, log: AuditLog, transition: Transition) -> None:
    """All steps but the first; each may be done twice."""
    if transition.action == "promote":
        # `previous` goes first: from here on there is a way back.
        registry.set_alias(PREVIOUS, transition.previous)
        before = "" if transition.champion is None else str(transition.champion)
        registry.tag_version(transition.to, {Tag.PREDECESSOR: before})
        registry.set_alias(CHAMPION, transition.to)
        registry.tag_version(transition.to, {Tag.STATUS: ACCEPTED, Tag.WHY: transition.why})
        if registry.aliases().get(CANDIDATE) == transition.to:
            registry.set_alias(CANDIDATE, None)
    else:
        registry.set_alias(CHAMPION, transition.to)
        registry.set_alias(PREVIOUS, transition.previous)
        if transition.champion is not None:
            registry.tag_version(
                transition.champion, {Tag.STATUS: ROLLED_BACK, Tag.WHY: transition.why}
            )
    log.append_once({"event": transition.action, **asdict(transition)})
    registry.set_tag(Tag.INTENT, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class PromotionResult:
    """What a call of `promote` did."""

    version: int
    promoted: bool
    """Whether this version is the champion now."""
    moved: bool
    """Whether this call made it so."""
    gate: GateDecision | None
    """What the gate said; None where it was not asked."""
    page: Path | None
    """The verdict as a page."""
    message: str


def promote_version(project: Path, which: int | str, *, why: str) -> PromotionResult:
    """Promote a version that the gate has accepted before, such as one judged in a dry run.

    Raises:
        RegistryError: There is no such version, or the gate has not accepted it.
    """
    with held(open_registry(project)) as (registry, log):
        version = registry.version(which)
        if CHAMPION in version.aliases:
            return result_of(version, True, "is the champion already")
        decision = version.tags.get(Tag.DECISION, "nothing")
        if decision != PROMOTE:
            raise RegistryError(
                f"version {version.number} cannot be promoted: the gate said {decision!r} of it, "
                f"expected {PROMOTE!r}. Its reasons: `pasam registry show {version.number}`."
            )
        make_champion(registry, log, version, why)
        return result_of(version, True, "is champion now", moved=True)


def reject(project: Path, which: int | str, *, why: str) -> Version:
    """Mark a version as rejected by a person.

    Raises:
        RegistryError: It is the champion, or does not exist.
    """
    with held(open_registry(project)) as (registry, log):
        version = registry.version(which)
        if CHAMPION in version.aliases:
            raise RegistryError(
                f"version {version.number} is the champion and in use; go back to the one before "
                'it with `pasam registry rollback --why "..."`.'
            )
        mark_rejected(registry, version, why)
        log.append({"event": "reject", "version": version.number, "why": why})
        return registry.version(version.number)


def rollback(project: Path, *, why: str) -> Transition:
    """Bring the previous champion back.

    Raises:
        RegistryError: There is none.
    """
    with held(open_registry(project)) as (registry, log):
        back = plan_rollback(registry, why=why)
        apply(registry, log, back)
        return back


@contextmanager
def held(registry: Registry) -> Iterator[tuple[Registry, AuditLog]]:
    """Hold the registry alone, with everything finished that was cut short before."""
    log = AuditLog(registry.store.folder)
    with exclusive(registry.store), wrap_mlflow_errors(registry.store.registry_uri):
        finish(registry, log)
        yield registry, log


def make_champion(registry: Registry, log: AuditLog, version: Version, why: str) -> None:
    """Make a version champion."""
    apply(registry, log, plan_promotion(registry, version.number, why=why))


def mark_rejected(registry: Registry, version: Version, why: str) -> None:
    """Mark a version as rejected; it is no candidate any more."""
    registry.tag_version(version.number, {Tag.STATUS: REJECTED, Tag.WHY: why[:4000]})
    if registry.aliases().get(CANDIDATE) == version.number:
        registry.set_alias(CANDIDATE, None)


def result_of(
    version: Version,
    promoted: bool,
    message: str,
    moved: bool = False,
    gate: GateDecision | None = None,
    page: Path | None = None,
) -> PromotionResult:
    """Say what became of a version."""
    return PromotionResult(
        version=version.number, promoted=promoted, moved=moved, gate=gate, page=page,
        message=f"version {version.number} {message}",
    )  # fmt: skip
