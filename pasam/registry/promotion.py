"""From the project's results to a champion: register, judge, decide.

A verdict is kept in the log of decisions with the champion, the data, the evaluator and the gate's
settings that it was given against. It is good for as long as these are the same: asked again, the
gate gives the same answer without measuring; as soon as one has changed, it judges again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from pasam.config.params_file import load_section
from pasam.config.requirements import GateParams
from pasam.config.schema import DataParams
from pasam.errors import RegistryError
from pasam.files import sha256_of, temporary_folder, write_text
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.registry.decision_log import (
    GATE,
    PROMOTED,
    REJECTED,
    REJECTED_BY,
    ROLLBACK,
    ROLLED_BACK,
    STAGED,
    VERDICT,
    Entry,
    Standing,
    VersionStanding,
)
from pasam.registry.evidence import (
    CorrectedImage,
    corrected_images,
    latencies,
    reevaluate,
    reload_parity,
    remeasure,
    trial_images,
)
from pasam.registry.gate import (
    EvaluationKey,
    GateDecision,
    Preconditions,
    ScoredModel,
    judge,
)
from pasam.registry.runs import record_runs
from pasam.registry.snapshot import PARAMS, Snapshot, take_snapshot
from pasam.registry.store import Tag, wrap_mlflow_errors
from pasam.registry.transitions import (
    Decisions,
    Draft,
    PromotionResult,
    by_digest,
    open_decisions,
    result_of,
)
from pasam.registry.verdict_page import verdict_pages
from pasam.registry.version_files import (
    Candidate,
    evaluation_key,
    find_candidate,
    is_whole,
    measured_of,
    open_files,
    predictor_of,
    register,
    score_bytes,
    scores_of,
    write_files,
)
from pasam.registry.versions import PAGES, SCORES

PRODUCTION, STAGING_ENVIRONMENT = "production", "staging"
"""Environments. Production is whatever serves the champion."""
TRIALS = 4
"""Benchmarks of which one image is predicted, to compare and to time the models."""
OPPONENT_SCORES = "champion.parquet"
"""The champion's per-image scores among a verdict's evidence."""


def promote(
    project: Path,
    which: int | str | None = None,
    *,
    to: str = PRODUCTION,
    allow_local: bool = False,
    why: str = "",
    flow_run: str | None = None,
) -> PromotionResult:
    """Judge what the last reproduction trained, or a version, and promote it if the gate says so.

    It may be called again at any time: what is recorded, registered or judged already is found.

    Args:
        project: The project's root.
        which: A version's number or alias; None registers what the last reproduction trained.
        to: `production`, whose gate compares with the champion; or `staging`, whose gate asks for
            whole files, sound data and scores, floors and latency, and compares with nobody.
        allow_local: Judge although the tree is dirty, unpushed, or the data not validated.
        why: A person's reason, for the log.
        flow_run: The Prefect run that this belongs to, if any.

    Raises:
        RegistryError: The tree is dirty or unpushed, or the results are not complete.
        TransientError: MLflow or the log's remote cannot be reached; calling it again goes on.
    """
    tree = load_section(GateParams, "gate", project / PARAMS)
    snapshot = take_snapshot(project, flow_run=flow_run)
    candidate = find_candidate(snapshot, tree.model) if which is None else None
    if candidate is not None and not allow_local:
        _require_shared(snapshot)
    decisions = open_decisions(project, flow_run=flow_run)
    if decisions.standing.gate is None:
        change_gate(decisions, tree, "the first settings")
    with wrap_mlflow_errors(decisions.registry.store.registry_uri):
        if candidate is None:
            assert which is not None
            version = decisions.version(which)
        else:
            known = decisions.standing.by_key(candidate.key)
            settled = known and _settled(decisions, known, to)
            if known and settled and (not settled.promoted or is_whole(decisions, known)):
                return settled
            runs = record_runs(snapshot, decisions.registry.store).runs
            version = register(decisions, candidate, run_id=runs[candidate.stage])
        judgement = Judgement(
            snapshot=snapshot, decisions=decisions, version=version, candidate=candidate,
            tree=tree, allow_local=allow_local, why=why,
        )  # fmt: skip
        return judgement.stage() if to == STAGING_ENVIRONMENT else judgement.decide()


def settings_of(params: GateParams) -> dict[str, Any]:
    """What the gate asks for; which model is registered is no part of that."""
    return params.model_dump(exclude={"model"})


def settings_digest(params: GateParams) -> str:
    """Digest of what the gate asks for."""
    return sha256_of(json.dumps(settings_of(params), sort_keys=True))


def gate_in_force(standing: Standing, tree: GateParams) -> GateParams:
    """Take the gate's settings from the log, not from the tree that is under judgement.

    Args:
        standing: What follows from the log.
        tree: `gate` of the tree's params file: it says which model is registered, and the values
            of settings that the log does not know yet.
    """
    logged = standing.gate.details["settings"] if standing.gate else {}
    known = {name: value for name, value in logged.items() if name in settings_of(tree)}
    return tree.replaced(**known)


def set_gate(project: Path, *, why: str) -> bool:
    """Let the settings of `params.yaml` hold from the next judgement on; say if they differ."""
    tree = load_section(GateParams, "gate", project / PARAMS)
    return change_gate(open_decisions(project), tree, why)


def change_gate(decisions: Decisions, tree: GateParams, why: str) -> bool:
    """Put a tree's settings into the log, if they differ from those in force; say if they did."""
    digest = settings_digest(tree)

    def draft(standing: Standing) -> Draft:
        if standing.gate is not None and standing.gate.gate == digest:
            return Draft()
        # As the log keeps them: a tuple becomes a list there.
        wanted = json.loads(json.dumps(settings_of(tree)))
        before = {} if standing.gate is None else standing.gate.details["settings"]
        changed = [
            f"{name} {before.get(name)} -> {value}"
            for name, value in wanted.items() if before and before.get(name) != value
        ]  # fmt: skip
        details = {"settings": wanted, "changed": changed}
        return Draft(entries=(decisions.entry(GATE, None, why, gate=digest, details=details),))

    return bool(decisions.decide(draft))


def _require_shared(snapshot: Snapshot) -> None:
    git, note = snapshot.git, snapshot.results_note()
    if note is not None:
        raise RegistryError(f"{note} To judge it on this machine alone, add --allow-local.")
    if git.dirty or not git.pushed:
        state = "has uncommitted changes" if git.dirty else "is at a commit that no remote has"
        raise RegistryError(
            f"the working tree {state}, so nobody else could make this version again. Commit and "
            "push (`git push`, `dvc push`), or try it on this machine alone with --allow-local."
        )


def _settled(
    decisions: Decisions, version: VersionStanding, to: str = PRODUCTION
) -> PromotionResult | None:
    """Say what became of a version whose bytes need no judgement: in use, or barred."""
    standing = decisions.standing
    number, barred = version.number, standing.barring(version)
    if number == standing.staging and to == STAGING_ENVIRONMENT:
        return result_of(decisions, number, True, "is in staging already; its files are the same")
    if number == standing.champion and to == PRODUCTION:
        return result_of(decisions, number, True, "is the champion already; its files are the same")
    if barred is None:
        return None
    who, day = barred.by.get("who", ""), barred.time[:10]
    how = {REJECTED_BY: REJECTED, ROLLBACK: ROLLED_BACK}.get(barred.event, version.status)
    other = "" if barred.version == number else f" as version {barred.version}"
    message = (
        f"has bytes that are barred: {how}{other} on {day} by {who} ({barred.why}). They stay out "
        f'until a person lifts that: `pasam registry lift {barred.version} --why "..."`.'
    )
    return result_of(decisions, number, False, message)


@dataclass(kw_only=True)
class Judgement:
    """One version before the gate; thought over again whenever others have decided meanwhile."""

    snapshot: Snapshot
    decisions: Decisions
    version: VersionStanding
    candidate: Candidate | None
    """The project's own results, if the version was made of them just now."""
    tree: GateParams
    allow_local: bool
    why: str
    _given: dict[tuple[int | None, str], tuple[GateDecision, dict[str, bytes]]] = field(
        default_factory=dict
    )
    """Decision and evidence by the champion and the gate's settings."""
    _corrected: Sequence[CorrectedImage] = ()
    """What people have corrected, as it was last measured."""

    def decide(self) -> PromotionResult:
        """Judge, and let the log have the verdict and what follows from it in one step."""
        number = self.version.number
        made = self.decisions.decide(self.draft)
        moved = any(entry.event == PROMOTED for entry in made)
        standing = self.decisions.standing
        version = standing.versions[number]
        settled = None if moved else _settled(self.decisions, version)
        if settled is not None:
            return settled
        gate = gate_in_force(standing, self.tree)
        if gate.mode == "off":
            message = "is champion now; the gate is off"
            return result_of(self.decisions, number, True, message, moved=True)
        verdict = version.verdict
        assert verdict is not None
        decision, page = decision_of(verdict.details), self._page(verdict)
        message = self._message(decision, verdict, moved=moved, new=verdict in made)
        return result_of(self.decisions, number, moved, message, moved, decision, page)

    def stage(self) -> PromotionResult:
        """Let the version into staging, if its gate accepts it; production stays as it is."""
        number = self.version.number
        made = self.decisions.decide(self._draft_of_staging)
        if not made:
            version = self.decisions.standing.versions[number]
            found = _settled(self.decisions, version, STAGING_ENVIRONMENT)
            assert found is not None
            return found
        (entry,) = made
        decision, moved = decision_of(entry.details), bool(entry.details["moved"])
        if moved:
            message = (
                "is in staging now; `pasam registry promote staging` takes it on to production"
            )
        elif decision.accepted:
            message = "was accepted for staging; gate.mode is dry-run"
        else:
            message = "was refused by staging's gate"
        page = self._page(entry)
        return result_of(self.decisions, number, moved, message, moved, decision, page)

    def _draft_of_staging(self, standing: Standing) -> Draft:
        version = standing.versions[self.version.number]
        if version.number == standing.staging or standing.barring(version):
            return Draft()
        gate, facts = gate_in_force(standing, self.tree), self._facts()
        decision, tables = self._assess(standing, gate, facts, alone=True)
        digest = settings_digest(gate)
        details = {
            **self._details(decision, None, gate, facts), "environment": STAGING_ENVIRONMENT,
            "moved": gate.mode == "off" or (decision.accepted and gate.mode == "on"),
        }  # fmt: skip
        why = self.why or "; ".join(decision.reasons) or "accepted by staging's gate"
        digests, evidence = by_digest(tables)
        entry = self.decisions.entry(
            STAGED, version.number, why, details=details, gate=digest, evidence=digests
        )
        return Draft(entries=(entry,), evidence=evidence)

    def _message(self, decision: GateDecision, verdict: Entry, *, moved: bool, new: bool) -> str:
        again = "" if new else f" (entry {verdict.number} of the log; nothing has changed since)"
        in_force = gate_in_force(self.decisions.standing, self.tree)
        note = "" if settings_digest(in_force) == settings_digest(self.tree) else (
            ". The gate of params.yaml differs from the one in force, which the log holds; to let "
            'it hold, run `pasam registry gate --adopt --why "..."`'
        )  # fmt: skip
        if moved:
            return f"is champion now{again}{note}"
        if decision.accepted:
            return f"was accepted; gate.mode is dry-run{note}"
        champion = self.decisions.standing.champion
        against = "" if champion is None else f", beside version {champion}, the champion"
        return f"was refused by the gate{against}{again}{note}"

    def draft(self, standing: Standing) -> Draft:
        """Say what to decide as things stand."""
        version = standing.versions[self.version.number]
        if version.number == standing.champion or standing.barring(version):
            return Draft()
        gate = gate_in_force(standing, self.tree)
        number = version.number
        promotion = self.decisions.entry(
            PROMOTED, number, self.why or "accepted by the gate", after=number
        )
        if gate.mode == "off":
            why = self.why or "the gate is off"
            return Draft(entries=(dataclasses.replace(promotion, why=why),))
        facts = self._facts()
        if self._holds(version, standing, gate, facts):
            assert version.verdict is not None
            accepted = version.verdict.details["accepted"]
            return Draft(entries=(promotion,) if accepted else ())
        if self._given:
            self.decisions.notes.append(
                f"Judged again: version {standing.champion} became champion meanwhile, or the "
                "gate's settings changed."
            )
        verdict, evidence = self._verdict(standing, gate, facts)
        accepted = verdict.details["accepted"] and gate.mode == "on"
        return Draft(entries=(verdict, promotion) if accepted else (verdict,), evidence=evidence)

    def _holds(
        self,
        version: VersionStanding,
        standing: Standing,
        gate: GateParams,
        facts: Mapping[str, Any],
    ) -> bool:
        """Whether the last verdict was given against all that there is now."""
        if version.verdict is None or version.verdict.gate != settings_digest(gate):
            return False
        given = version.verdict.details
        return (
            given["champion"] == standing.champion
            and given["measured"] == dataclasses.asdict(self._today())
            and given["facts"] == facts
            and not (given["accepted"] and given["gate"]["mode"] != "on")
            and version.verdict.evidence.get(SCORES) == version.registered.evidence.get(SCORES)
        )

    def _today(self) -> EvaluationKey:
        return evaluation_key(self.snapshot.lineage)

    def _facts(self) -> dict[str, Any]:
        """What holds of the version besides its scores; of an older one, as it was registered."""
        tags = self.version.tags
        git = self.snapshot.git
        ours = self.candidate is not None
        return {
            "clean": not git.dirty if ours else tags.get(Tag.DIRTY) == "false",
            "pushed": git.pushed if ours else tags.get(Tag.PUSHED) == "true",
            "local_allowed": self.allow_local,
            "validation": self.snapshot.lineage[Tag.VALIDATION],
            "weights": tags.get(Tag.WEIGHTS, "unknown"),
        }

    def _verdict(
        self, standing: Standing, gate: GateParams, facts: Mapping[str, Any]
    ) -> tuple[Entry, dict[str, bytes]]:
        digest = settings_digest(gate)
        case = (standing.champion, digest)
        if case not in self._given:
            self._given[case] = self._assess(standing, gate, facts)
        decision, tables = self._given[case]
        details = {
            **self._details(decision, standing.champion, gate, facts),
            "attempt": self._attempt(standing),
        }
        digests, evidence = by_digest(tables)
        entry = self.decisions.entry(
            VERDICT, self.version.number, "; ".join(decision.reasons), details=details, gate=digest,
            evidence=digests,
        )  # fmt: skip
        return entry, evidence

    def _details(
        self,
        decision: GateDecision,
        champion: int | None,
        gate: GateParams,
        facts: Mapping[str, Any],
    ) -> dict[str, Any]:
        return {
            "version": self.version.number,
            "champion": champion,
            **dataclasses.asdict(decision),
            "accepted": decision.accepted,
            "reasons": list(decision.reasons),
            "gate": gate.model_dump(),
            "lineage": self.version.tags,
            "measured": dataclasses.asdict(self._today()),
            "facts": dict(facts),
        }

    def _assess(
        self,
        standing: Standing,
        gate: GateParams,
        facts: Mapping[str, Any],
        *,
        alone: bool = False,
    ) -> tuple[GateDecision, dict[str, bytes]]:
        """Gather the evidence and judge; what was measured otherwise is measured again first.

        Where it stands `alone`, as before staging's gate, it is compared with no champion.
        """
        seen = trial_images(self.snapshot, count=TRIALS)
        number = self.version.number
        champion = None if alone else standing.versions.get(standing.champion or 0)
        with self.decisions.fetched(number) as folder, temporary_folder() as own:
            model = self._trained(Path(own), folder)
            ours = self._scores(self.version, model)
            parity = reload_parity(folder, model, seen)
        tables = {SCORES: score_bytes(ours)}
        if champion is None:
            checked = self._checked(facts, parity, model, ours)
            self._corrected = corrected_images(self._own_folder(), {"candidate": model})
            (time,) = latencies([model], seen, settled=lambda t: t[0] <= gate.latency_ms)
            return judge(self._scored(ours, time), None, checked, gate), tables
        with self.decisions.fetched(champion.number) as folder:
            reigning = predictor_of(folder)
        self._corrected = corrected_images(
            self._own_folder(), {"champion": reigning, "candidate": model}
        )
        theirs = self._scores(champion, reigning)
        if not same_images(ours, theirs):
            theirs = reevaluate(self.snapshot, reigning)
        checked = self._checked(facts, parity, model, ours, theirs)
        tables[OPPONENT_SCORES] = score_bytes(theirs)
        our_time, their_time = latencies(
            [model, reigning], seen,
            settled=lambda t: t[0] <= min(gate.latency_ms, gate.latency_ratio * t[1]),
        )  # fmt: skip
        decision = judge(
            self._scored(ours, our_time), self._scored(theirs, their_time), checked, gate,
            attempt=self._attempt(standing),
        )  # fmt: skip
        return decision, tables

    def _checked(
        self,
        facts: Mapping[str, Any],
        parity: bool,
        model: PromptAdapterPredictor,
        ours: pd.DataFrame,
        theirs: pd.DataFrame | None = None,
    ) -> Preconditions:
        remeasured = remeasure(self.snapshot, model, ours, champion=theirs)
        return Preconditions(**facts, reload_parity=parity, remeasured=remeasured)

    def _attempt(self, standing: Standing) -> int:
        """Which judgement against a champion on today's images this is, from 1."""
        verdicts = [
            entry.details
            for version in standing.versions.values()
            for entry in version.entries
            if entry.event == VERDICT and entry.details["champion"] is not None
        ]
        today = self._today().evaluation_set
        return 1 + len([each for each in verdicts if each["measured"]["evaluation_set"] == today])

    def _scored(self, scores: pd.DataFrame, latency_ms: float) -> ScoredModel:
        return ScoredModel(scores=scores, measured=self._today(), latency_ms=latency_ms)

    def _scores(self, version: VersionStanding, model: PromptAdapterPredictor) -> pd.DataFrame:
        """A model's scores on today's images by today's evaluator."""
        if self.candidate is not None and version.number == self.version.number:
            return self.candidate.scores
        kept = scores_of(self.decisions.log, version)
        if kept is not None and measured_of(version) == self._today():
            return kept
        return reevaluate(self.snapshot, model)

    def _trained(self, own: Path, folder: Path) -> PromptAdapterPredictor:
        """The predictor of the project's own files, past the registry, where there are such."""
        if self.candidate is None:
            return predictor_of(folder)
        write_files(own, self.candidate)
        return open_files(own)

    def _page(self, verdict: Entry) -> Path:
        """Write a verdict's pages beside MLflow's records; numbered, so that none is replaced."""
        place = self.decisions.registry.store.folder / PAGES / f"v{self.version.number}"
        page = place / f"{verdict.number:06}-verdict.html"
        if page.is_file() and not self._corrected:  # of a verdict that still holds
            return page
        for name, text in verdict_pages(verdict, self._corrected, place).items():
            write_text(place / f"{verdict.number:06}-{name}", text)
        return page

    def _own_folder(self) -> Path:
        project = self.snapshot.project
        return project / load_section(DataParams, "data", project / PARAMS).own


def same_images(ours: pd.DataFrame, theirs: pd.DataFrame) -> bool:
    """Whether two tables of scores are of the same images and prompts."""
    columns = ["benchmark", "image_id", "prompt"]
    first, second = (
        frame[columns].sort_values(columns, ignore_index=True) for frame in (ours, theirs)
    )
    return first.equals(second)


def decision_of(details: Mapping[str, Any]) -> GateDecision:
    """Read what the gate said from an entry of the log."""
    return TypeAdapter(GateDecision).validate_python(details)
