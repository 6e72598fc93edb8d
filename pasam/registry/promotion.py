"""From the project's results to a champion: register, judge, promote."""

from __future__ import annotations

from pathlib import Path

from pasam.errors import RegistryError
from pasam.gate_params import GateParams
from pasam.params_file import load_section
from pasam.registry.by_hand import Outcome, held, move, outcome_of, turn_down
from pasam.registry.candidate import Candidate, find_candidate
from pasam.registry.journal import Journal
from pasam.registry.judgement import assess
from pasam.registry.record import record
from pasam.registry.register import register
from pasam.registry.verdict import Verdict
from pasam.registry.versions import CHAMPION, Registry, Version
from pasam.tracking.runs import sync


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
    with held(project) as (registry, journal):
        version = register(registry, candidate, run_id=synced.runs[candidate.stage])
        if CHAMPION in version.aliases:
            return outcome_of(version, True, "is the champion already; its files are the same")
        if gate.mode == "off":
            move(registry, journal, version, why or "the gate is off")
            return outcome_of(version, True, "is champion now; the gate is off", moved=True)
        verdict = assess(project, registry, version, candidate, gate, allow_local=allow_local)
        page = record(registry, journal, version, verdict, gate)
        return _decide(registry, journal, version, verdict, page, gate, why)


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
        turn_down(registry, version, "; ".join(verdict.reasons))
        return outcome_of(version, False, "was rejected", verdict=verdict, page=page)
    if gate.mode == "dry-run":
        words = "was accepted; gate.mode is dry-run"
        return outcome_of(version, False, words, verdict=verdict, page=page)
    move(registry, journal, version, why or "accepted by the gate")
    return outcome_of(version, True, "is champion now", moved=True, verdict=verdict, page=page)


def _require_shared(candidate: Candidate) -> None:
    dirty = candidate.lineage["git.dirty"] == "true"
    if dirty or candidate.lineage["git.pushed"] != "true":
        state = "has uncommitted changes" if dirty else "is at a commit that no remote has"
        raise RegistryError(
            f"the working tree {state}, so nobody else could make this version again. Commit and "
            "push (`git push`, `dvc push`), or try it on this machine alone with --allow-local."
        )
