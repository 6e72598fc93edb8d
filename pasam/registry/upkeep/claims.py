"""What the champion really gained in a year: measured on images that no judgement has seen.

Whoever is promoted for its scores was lucky with the images that it was judged on, so that its
verdict says more than is true. On the sealed set (`gate.sealed`) it was not. Each claim uses the
set, and whoever chose models by many claims would be lucky there, too: claims are counted in the
log, only the champion can have one, and the n-th on one set has 1/2^n of the error rate.
"""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from pasam.config.params_file import load_section
from pasam.config.requirements import GateParams
from pasam.errors import RegistryError
from pasam.registry.decision_log import CLAIM, PROMOTED, Standing
from pasam.registry.evidence import reevaluate
from pasam.registry.gate import Gain, gains_of, per_image
from pasam.registry.promotion import gate_in_force
from pasam.registry.snapshot import PARAMS, Snapshot, rows_md5, take_snapshot
from pasam.registry.store import wrap_mlflow_errors
from pasam.registry.transitions import Decisions, Draft, by_digest, open_decisions
from pasam.registry.version_files import predictor_of, score_bytes

YEAR = datetime.timedelta(days=365)
OURS, THEIRS = "sealed.parquet", "sealed-before.parquet"
"""Scores of the champion and of the one before, among the evidence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The champion against an earlier one, on the sealed set."""

    champion: int
    before: int
    use: int
    """How often the set was used, this time included."""
    confidence: float
    """Level of the interval."""
    gain: Gain
    gains: dict[str, Gain]
    """The same by data set."""

    @property
    def message(self) -> str:
        """A sentence for people."""
        shown = "shown" if self.gain.low > 0 else "not shown"
        return (
            f"version {self.champion} gains {self.gain.mean:+.2f} points of boundary IoU over "
            f"version {self.before} on {self.gain.images} sealed images, {shown}: the "
            f"{100 * self.confidence:.4g}% lower bound is {self.gain.low:+.2f} (use {self.use} of "
            "this set)"
        )


def claim(project: Path, against: int | str | None = None) -> Claim:
    """Measure champion and an earlier champion on the sealed set, and keep it in the log.

    Args:
        project: The project's root, its data prepared.
        against: A version; None takes the champion of a year ago, or the first one.

    Raises:
        RegistryError: No set is sealed, a judgement could have seen it, or there is no champion
            before this one.
    """
    decisions = open_decisions(project)
    snapshot, standing = take_snapshot(project), decisions.standing
    gate = gate_in_force(standing, load_section(GateParams, "gate", project / PARAMS))
    digest = _sealed_set(snapshot, gate)
    champion = standing.champion
    before = _earlier(standing) if against is None else decisions.version(against).number
    if champion is None or before is None or before == champion:
        raise RegistryError(
            "there is no champion, or none before it, so that nothing was gained yet. See `pasam "
            "registry log`."
        )
    scores = {number: _scores(decisions, snapshot, gate, number) for number in (champion, before)}

    def made(standing: Standing) -> Claim:
        use = 1 + len([each for each in standing.claims if each.details["set"] == digest])
        level = 1 - (1 - gate.confidence) / 2**use
        gain, gains = gains_of(
            per_image(scores[champion]), per_image(scores[before]),
            gate.replaced(confidence=level), level=level,
        )  # fmt: skip
        return Claim(
            champion=champion, before=before, use=use, confidence=level, gain=gain, gains=gains
        )

    tables = {OURS: score_bytes(scores[champion]), THEIRS: score_bytes(scores[before])}
    digests, evidence = by_digest(tables)

    def draft(standing: Standing) -> Draft:
        if standing.champion != champion:
            raise RegistryError(f"version {standing.champion} became champion; claim again.")
        found = made(standing)
        details: dict[str, Any] = {"set": digest, "sealed": list(gate.sealed), **asdict(found)}
        entry = decisions.entry(CLAIM, champion, found.message, details=details, evidence=digests)
        return Draft(entries=(entry,), evidence=evidence)

    (entry,) = decisions.decide(draft)
    return TypeAdapter(Claim).validate_python(entry.details)


def _sealed_set(snapshot: Snapshot, gate: GateParams) -> str:
    """Digest the sealed images, which nothing else may be measured or trained on."""
    if not gate.sealed:
        raise RegistryError(
            "no data set is sealed: add one that nothing is measured on (`pasam data add NAME "
            "--split val`), name it under gate.sealed in params.yaml, and let that hold with "
            '`pasam registry gate --adopt --why "..."`.'
        )
    seen = sorted(snapshot.benchmarks & set(gate.sealed))
    if seen:
        raise RegistryError(
            f"{seen} are sealed, and the last run was measured on them: expected sets that "
            "evaluate.benchmarks does not name. Seal another one."
        )
    rows = snapshot.manifest
    sealed = rows[(rows["split"] == "val") & rows["dataset"].isin(gate.sealed)]
    if lacking := sorted(set(gate.sealed) - set(sealed["dataset"])):
        raise RegistryError(
            f"the prepared data has no images of {lacking} in its split val, which gate.sealed "
            "names. Add them to data.own, and run `dvc repro prepare`."
        )
    others = rows.drop(sealed.index)
    if shared := set(sealed["image_sha256"]) & set(others["image_sha256"]):
        raise RegistryError(
            f"{len(shared)} sealed images are also trained or measured on. Seal others."
        )
    return rows_md5(sealed)


def _earlier(standing: Standing) -> int | None:
    """Who was champion a year ago; the first one, if that is less."""
    then = (datetime.datetime.now(datetime.UTC) - YEAR).isoformat()
    # A version that took the place of another has its entries, which name the other's number.
    took_over = [
        (entry.number, version.number)
        for version in standing.versions.values() if version.number in standing.champions
        for entry in version.entries if entry.event == PROMOTED and entry.time <= then
    ]  # fmt: skip
    return max(took_over)[1] if took_over else next(iter(standing.champions), None)


def _scores(
    decisions: Decisions, snapshot: Snapshot, gate: GateParams, number: int
) -> pd.DataFrame:
    with (
        wrap_mlflow_errors(decisions.registry.store.registry_uri),
        decisions.fetched(number) as folder,
    ):
        predictor = predictor_of(folder)
    return reevaluate(snapshot, predictor, benchmarks=gate.sealed)
