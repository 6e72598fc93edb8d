"""From the project's results to a champion: register, judge, promote; and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pasam.errors import RegistryError
from pasam.gate_params import GateParams
from pasam.params_file import load_section
from pasam.registry.candidate import Candidate, find_candidate
from pasam.registry.journal import Journal
from pasam.registry.judgement import assess
from pasam.registry.moves import (
    Move,
    carry_out,
    exclusive,
    finish,
    start_promotion,
    start_rollback,
)
from pasam.registry.record import record
from pasam.registry.register import register
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
from pasam.tracking.runs import sync
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


def promote(
    project: Path, *, allow_local: bool = False, why: str = "", flow_run: str | None = None
) -> Outcome:
    """Register what the last reproduction trained, judge it, and promote it if the gate says so.

    It may be called again at any time: what is recorded, registered or judged already is found,
    and a promotion that was cut short is finished first.

    Args:
        project: The project's root.
        allow_local: Judge although the tree is dirty, unpushed, or the data not validated.
        why: A person's reason, for the log.
        flow_run: The Prefect run that this belongs to, if any.

    Raises:
        RegistryError: The tree is dirty or unpushed, or the results are not complete.
        BusyError: Another process is at it.
        TrackingError: MLflow cannot be reached; nothing is lost, and calling it again goes on.
    """
    gate = load_section(GateParams, "gate", project / "params.yaml")
    candidate = find_candidate(project, gate.model, flow_run=flow_run)
    if not allow_local:
        _require_shared(candidate)
    synced = sync(project, flow_run=flow_run)
    with _held(project) as (registry, journal):
        version = register(registry, candidate, run_id=synced.runs[candidate.stage])
        if CHAMPION in version.aliases:
            return _outcome(version, True, "is the champion already; its files are the same")
        if gate.mode == "off":
            _move(registry, journal, version, why or "the gate is off")
            return _outcome(version, True, "is champion now; the gate is off", moved=True)
        verdict = assess(project, registry, version, candidate, gate, allow_local=allow_local)
        page = record(registry, journal, version, verdict, gate)
        return _decide(registry, journal, version, verdict, page, gate, why)


def promote_version(project: Path, which: int | str, *, why: str) -> Outcome:
    """Promote a version that the gate has accepted before, such as one judged in a dry run.

    Raises:
        RegistryError: There is no such version, or the gate has not accepted it.
    """
    with _held(project) as (registry, journal):
        version = registry.version(which)
        if CHAMPION in version.aliases:
            return _outcome(version, True, "is the champion already")
        decision = version.tags.get("gate.decision", "nothing")
        if decision != PROMOTE:
            raise RegistryError(
                f"version {version.number} cannot be promoted: the gate said {decision!r} of it, "
                f"expected {PROMOTE!r}. Its reasons: `pasam registry show {version.number}`."
            )
        _move(registry, journal, version, why)
        return _outcome(version, True, "is champion now", moved=True)


def reject(project: Path, which: int | str, *, why: str) -> Version:
    """Mark a version as rejected by a person.

    Raises:
        RegistryError: It is the champion, or does not exist.
    """
    with _held(project) as (registry, journal):
        version = registry.version(which)
        if CHAMPION in version.aliases:
            raise RegistryError(
                f"version {version.number} is the champion and in use; go back to the one before "
                'it with `pasam registry rollback --why "..."`.'
            )
        _reject(registry, version, why)
        journal.append({"event": "reject", "version": version.number, "why": why})
        return registry.version(version.number)


def rollback(project: Path, *, why: str) -> Move:
    """Bring the previous champion back.

    Raises:
        RegistryError: There is none.
    """
    with _held(project) as (registry, journal):
        move = start_rollback(registry, why=why)
        carry_out(registry, journal, move)
        return move


@contextmanager
def _held(project: Path) -> Iterator[tuple[Registry, Journal]]:
    """Hold the registry alone, with everything finished that was cut short before."""
    registry = open_registry(project)
    journal = Journal(registry.store.folder)
    with exclusive(registry.store), translated(registry.store.registry_uri):
        finish(registry, journal)
        yield registry, journal


def _decide(
    registry: Registry,
    journal: Journal,
    version: Version,
    verdict: Verdict,
    page: Path,
    gate: GateParams,
    why: str,
) -> Outcome:
    if not verdict.accepted:
        _reject(registry, version, "; ".join(verdict.reasons))
        return _outcome(version, False, "was rejected", verdict=verdict, page=page)
    if gate.mode == "dry-run":
        words = "was accepted; gate.mode is dry-run"
        return _outcome(version, False, words, verdict=verdict, page=page)
    _move(registry, journal, version, why or "accepted by the gate")
    return _outcome(version, True, "is champion now", moved=True, verdict=verdict, page=page)


def _move(registry: Registry, journal: Journal, version: Version, why: str) -> None:
    carry_out(registry, journal, start_promotion(registry, version.number, why=why))


def _reject(registry: Registry, version: Version, why: str) -> None:
    registry.tag(version.number, {STATUS: REJECTED, "pasam.why": why[:4000]})
    if registry.aliases().get(CANDIDATE) == version.number:
        registry.point(CANDIDATE, None)


def _outcome(
    version: Version,
    promoted: bool,
    message: str,
    moved: bool = False,
    verdict: Verdict | None = None,
    page: Path | None = None,
) -> Outcome:
    return Outcome(
        version=version.number, promoted=promoted, moved=moved, verdict=verdict, page=page,
        message=f"version {version.number} {message}",
    )  # fmt: skip


def _require_shared(candidate: Candidate) -> None:
    dirty = candidate.lineage["git.dirty"] == "true"
    if dirty or candidate.lineage["git.pushed"] != "true":
        state = "has uncommitted changes" if dirty else "is at a commit that no remote has"
        raise RegistryError(
            f"the working tree {state}, so nobody else could make this version again. Commit and "
            "push (`git push`, `dvc push`), or try it on this machine alone with --allow-local."
        )
