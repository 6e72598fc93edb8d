"""What the log of decisions says of champions, for people: when, why, over whom, made of what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pasam.errors import RegistryError
from pasam.registry.decision_log import (
    BRANCH,
    PROMOTED,
    ROLLBACK,
    VERDICT,
    DecisionLog,
    Entry,
    Standing,
    VersionStanding,
    standing_of,
)
from pasam.registry.snapshot import has_repository
from pasam.registry.store import Tag
from pasam.registry.versions import PARAMS

Fact = tuple[str, str]
"""What, and its value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reign:
    """From when until when a version was in use, and why."""

    version: int
    begun: Entry
    ended: Entry | None = None
    """What took it out of use; None of the champion that there is now."""


def reigns(entries: Iterable[Entry]) -> list[Reign]:
    """List who was in use, one after the other."""
    found: list[Reign] = []
    for entry in entries:
        if entry.after == entry.before:
            continue
        if found:
            found[-1] = replace(found[-1], ended=entry)
        if entry.after is not None:
            found.append(Reign(version=entry.after, begun=entry))
    return found


def moment(entry: Entry) -> str:
    """Write when an entry was made, to the minute."""
    return f"{entry.time[:16].replace('T', ' ')} UTC"


def by_whom(entry: Entry) -> str:
    """Say who decided, on which machine, and in which flow run if in any."""
    run = entry.by.get("flow_run", "")
    who, host = entry.by.get("who", "unknown"), entry.by.get("host", "unknown")
    return f"{who} on {host}{f', flow run {run}' if run else ''}"


def decided(entry: Entry) -> str:
    """Say when, by whom and with what reason something was decided."""
    why = f": {entry.why}" if entry.why and entry.event != VERDICT else ""
    return f"entry {entry.number} of the log, {moment(entry)}, {by_whom(entry)}{why}"


def how_begun(reign: Reign) -> str:
    """Say how a version came into use."""
    if reign.begun.event == ROLLBACK:
        return f"came back when version {reign.begun.version} was rolled back"
    return {PROMOTED: "promoted"}.get(reign.begun.event, reign.begun.event)


def how_ended(reign: Reign) -> str:
    """Say why a version is no longer in use."""
    ended = reign.ended
    if ended is None:
        return "still in use"
    if ended.event == ROLLBACK:
        return f"rolled back; {decided(ended)}"
    return f"version {ended.after} took its place; {decided(ended)}"


def verdict_behind(version: VersionStanding) -> Entry | None:
    """Find the judgement by which a version was promoted last; None if nobody judged it then.

    It need not be the last one: a version that was in use once may be judged again, and refused.
    """
    found, latest = None, None
    for entry in version.entries:
        if entry.event == VERDICT:
            latest = entry
        elif entry.event == PROMOTED:
            found = latest if latest is not None and _led_to(latest, entry) else None
    return found


def _led_to(verdict: Entry, promoted: Entry) -> bool:
    """Whether a promotion followed from a verdict: at once, or later under the same settings."""
    at_once = promoted.number == verdict.number + 1
    return bool(verdict.details["accepted"]) and (at_once or promoted.gate == verdict.gate)


def comparison(verdict: Entry) -> str:
    """Say what a judged version was compared with, and what it gained."""
    details = verdict.details
    score, gain = f"mean boundary IoU {details['mean_score']:.2f}", details["mean_gain"]
    if gain is None:
        return f"{score}; there was no champion to compare it with, so only the floors counted"
    return (
        f"{score}, {gain['mean']:+.2f} points against version {details['champion']}, the champion "
        f"of that moment (at least {gain['low']:+.2f} with the confidence that the gate asks for)"
    )


def why_in_use(entries: Sequence[Entry], standing: Standing) -> list[Fact]:
    """Say since when and why the champion is in use, and what became of the one before it."""
    if standing.champion is None:
        return []
    version, every = standing.versions[standing.champion], reigns(entries)
    reign = every[-1]
    promoted = [entry for entry in version.entries if entry.event == PROMOTED]
    facts = [
        ("in use since", f"{moment(reign.begun)}: {how_begun(reign)}"),
        ("decided", decided(reign.begun)),
    ]
    if promoted and promoted[-1] is not reign.begun and promoted[-1].version == version.number:
        facts.append(("promoted before", decided(promoted[-1])))
    verdict = verdict_behind(version)
    if verdict is None:
        facts.append(
            ("why it won", "nobody judged it: the gate was off, or it is of before the log")
        )
    else:
        facts += [("why it won", comparison(verdict)), ("judged", decided(verdict))]
    facts.append(("registered", decided(version.registered)))
    if len(every) > 1:
        before = every[-2]
        facts.append(("champion before", f"version {before.version}; {how_ended(before)}"))
    else:
        facts.append(("champion before", "none"))
    return facts


_ORIGIN = {
    Tag.MODEL: "model",
    Tag.WEIGHTS: "weights are",
    Tag.COMMIT: "code: git commit",
    Tag.DIRTY: "code: uncommitted changes",
    Tag.STAGE: "code: DVC stage",
    Tag.LOCK_SHA256: "code and data: dvc.lock, sha256",
    Tag.MANIFEST_MD5: "data: manifest, md5",
    Tag.VALIDATION: "data: validation",
    Tag.PARAMS_SHA256: "params: params.yaml, sha256",
    Tag.SEED: "params: seed of the training",
    Tag.BASE_SHA256: "base: sha256",
    Tag.ADAPTER_SHA256: "adapter: sha256",
    Tag.EVALUATION_SET: "scored on: evaluation set, md5",
    Tag.EVALUATOR_VERSION: "scored by: evaluator's digest",
}
"""What tags of a version say of the data, code and params it was made of."""


def origin(version: VersionStanding) -> list[Fact]:
    """Say of which data, code and params a version was made, and what it was scored on."""
    found = {name: str(version.tags[name]) for name in _ORIGIN if name in version.tags}
    if Tag.DIRTY in found:
        found[Tag.DIRTY] = {"false": "none", "true": "yes"}.get(found[Tag.DIRTY], found[Tag.DIRTY])
    return [(_ORIGIN[name], value) for name, value in found.items()]


def evidence(log: DecisionLog, version: VersionStanding) -> list[Fact]:
    """Say where the evidence on a version lies, and whether every byte is as it was logged."""
    facts = []
    judged = verdict_behind(version) or version.verdict
    for entry in filter(None, (version.registered, judged)):
        for name, digest in entry.evidence.items():
            try:
                log.evidence(digest)
            except RegistryError:
                state = "DAMAGED OR GONE"
            else:
                state = "whole"
            facts.append((f"{name} of entry {entry.number}", f"evidence/{digest}: {state}"))
    chain = f"entries 1 to {len(log.entries)} each continue the one before"
    place = f"branch {BRANCH} of git, folders entries and evidence; {chain}"
    more = f"`pasam registry verify {version.number}` compares MLflow's files with the log now"
    return [("the log lies", place), *facts, ("the model's files", more)]


def barred(standing: Standing) -> list[tuple[VersionStanding, Entry]]:
    """List the versions that are never promoted until a person lifts that, with what says so."""
    every = (standing.versions[number] for number in sorted(standing.versions, reverse=True))
    return [(each, entry) for each in every if (entry := standing.barring(each)) is not None]


def account(log: DecisionLog, standing: Standing, number: int) -> dict[str, list[Fact]]:
    """Say all that a log that was read knows of one of its versions, in sections by headings."""
    version = standing.versions[number]
    reign = next((each for each in reversed(reigns(log.entries)) if each.version == number), None)
    if number == standing.champion:
        state = why_in_use(log.entries, standing)
    else:
        state = [("registered", decided(version.registered))]
        if version.verdict is not None:
            state.append(("judged", f"{comparison(version.verdict)}; {decided(version.verdict)}"))
        if reign is not None:
            state += [("in use", f"from {moment(reign.begun)}; {how_ended(reign)}")]
    bar = standing.barring(version)
    if bar is not None:
        lifted = f'`pasam registry lift {number} --why "..."` lifts that'
        state.append(("may not be promoted", f"{bar.event}; {decided(bar)}; {lifted}"))
    behind = verdict_behind(version) if number == standing.champion else version.verdict
    checks = [] if behind is None else behind.details["checks"]
    return {
        "state": state,
        "what the gate found": [
            ("holds" if check["passed"] else "FAILS", check["reason"]) for check in checks
        ],
        "made of": origin(version),
        "evidence": evidence(log, version),
        "made with the params": list(version.registered.details.get(PARAMS, {}).items()),
    }


def account_in(project: Path, number: int) -> dict[str, list[Fact]]:
    """Say what a clone's log says of a version; nothing where it does not know it."""
    if not has_repository(project):
        return {}
    log = DecisionLog(project)
    standing = standing_of(log.read(shared=False))
    return account(log, standing, number) if number in standing.versions else {}
