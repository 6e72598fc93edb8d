"""From the project's results to a champion: register, judge, promote."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pasam.config.params_file import load_section
from pasam.config.schema import GateParams
from pasam.errors import RegistryError
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.registry.candidate import Candidate, find_candidate
from pasam.registry.decision import REEVALUATE, Verdict
from pasam.registry.evidence import examples, latencies, reload_parity, todays_scores
from pasam.registry.gate import Facts, Measured, Side, judge
from pasam.registry.model_files import (
    ADAPTER,
    BASE,
    WORDS,
    fetched,
    measured_of,
    open_files,
    predictor_of,
    register,
    scores_of,
    write_files,
)
from pasam.registry.runs import sync
from pasam.registry.transitions import Journal, Outcome, held, move, outcome_of, turn_down
from pasam.registry.verdict_page import record
from pasam.registry.versions import CHAMPION, Registry, Version

# --- judgement: One judgement: the evidence gathered, the champion measured again if need be,
# the gate asked.

EXAMPLES = 4


def assess(
    project: Path,
    registry: Registry,
    version: Version,
    candidate: Candidate,
    gate: GateParams,
    *,
    allow_local: bool,
) -> Verdict:
    """Gather the evidence for a version and judge it against the champion.

    A champion that was measured with other images or another evaluator is measured again first.
    """
    champion = registry.version(CHAMPION) if CHAMPION in registry.aliases() else None
    seen = examples(project, candidate.manifest, count=EXAMPLES)
    with fetched(registry, version) as folder:
        trained = _trained(folder.parent / "trained", candidate)
        facts = Facts(
            clean=candidate.lineage["git.dirty"] == "false",
            pushed=candidate.lineage["git.pushed"] == "true",
            local_allowed=allow_local,
            validation=candidate.lineage["data.validation"],
            weights=candidate.weights,
            reload_parity=reload_parity(folder, trained, seen),
        )
    if champion is None:
        ours = _side(candidate.scores, candidate.measured, latencies([trained], seen)[0])
        return judge(ours, None, facts, gate)
    with fetched(registry, champion) as folder:
        reigning = predictor_of(folder)
    our_time, their_time = latencies([trained, reigning], seen)
    ours = _side(candidate.scores, candidate.measured, our_time)
    theirs = _side(scores_of(registry, champion), measured_of(champion), their_time)
    verdict = judge(ours, theirs, facts, gate)
    if verdict.decision == REEVALUATE:
        again = todays_scores(project, reigning)
        return judge(ours, _side(again, candidate.measured, their_time), facts, gate)
    return verdict


def _side(scores: pd.DataFrame, measured: Measured, latency: float) -> Side:
    return Side(scores=scores, measured=measured, latency_ms=latency)


def _trained(folder: Path, candidate: Candidate) -> PromptAdapterPredictor:
    """Make the predictor of the project's own files, past the registry."""
    files = write_files(folder, candidate)
    return open_files(*(Path(files[name]) for name in (ADAPTER, BASE, WORDS)))


# --- promotion: From the project's results to a champion: register, judge, promote.


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
