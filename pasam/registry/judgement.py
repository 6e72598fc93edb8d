"""One judgement: the evidence gathered, the champion measured again if need be, the gate asked."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pasam.gate_params import GateParams
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.registry.candidate import Candidate
from pasam.registry.download import fetched, predictor_of
from pasam.registry.evidence import examples, latencies, reload_parity
from pasam.registry.gate import Facts, Measured, Side, judge
from pasam.registry.model_files import ADAPTER, BASE, WORDS, open_files, write_files
from pasam.registry.register import measured_of, scores_of
from pasam.registry.remeasure import todays_scores
from pasam.registry.verdict import REEVALUATE, Verdict
from pasam.registry.versions import CHAMPION, Registry, Version

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
