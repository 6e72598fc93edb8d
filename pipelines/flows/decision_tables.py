"""What the page of operations says of decisions: tables made of the log, and of nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pasam.registry.snapshot import WEIGHTS, DvcLock
from pasam.registry.store import FOLDER, Tag, addresses
from pasam.registry.versions import PAGES, PARAMS, version_page
from pipelines.flows.servers import HOST, own_server

if TYPE_CHECKING:
    from pasam.registry.decision_log import DecisionLog, Entry, Standing, VersionStanding

PAGE = Path("reports") / "operations.html"
MOST_ROWS = 60
"""Rows of a table of the page."""


@dataclass(frozen=True, slots=True)
class PageLink:
    """Words that lead somewhere: to a file of the project, or to a server's page."""

    words: str
    address: str


Cell: TypeAlias = str | PageLink


@dataclass(frozen=True, slots=True)
class OperationsTable:
    """One part of the page."""

    heading: str
    lead: str
    head: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]


def file_link(words: str, path: Path) -> Cell:
    """Link to a file of the project, if it is there."""
    if not path.exists():
        return words
    return PageLink(words, Path(os.path.relpath(path, PAGE.parent)).as_posix())


def run_link(run: str, words: str = "") -> Cell:
    """Link to a flow run on Prefect's page, if one is known."""
    words, server = words or run, os.environ.get("PREFECT_API_URL", "").removesuffix("/api")
    own = own_server("prefect")
    page = server or (f"http://{HOST}:{own}" if own else "")
    return PageLink(words, f"{page}/runs/flow-run/{run}") if page and run else words


def _in_mlflow(version: int) -> Cell:
    own = own_server("mlflow")
    known = f"http://{HOST}:{own}" if own else addresses(Path())[1]
    page = version_page(known, version)
    return f"`make ui` shows it as version {version}" if page is None else PageLink(page, page)


def _verdict_page(version: VersionStanding, verdict: Entry | None, words: str) -> Cell:
    """Link to the page of a verdict on a version, if it was given in this clone."""
    if verdict is None:
        return words
    folder = Path(FOLDER) / PAGES / f"v{version.number}"
    return file_link(words, folder / f"{verdict.number:06}-verdict.html")


def decision_tables(
    log: DecisionLog | None, standing: Standing, lock: DvcLock | None
) -> list[OperationsTable]:
    """Make the tables about decisions.

    Args:
        log: The log as this clone knows it; None where there is none.
        standing: What follows from it.
        lock: The lock of the last reproduction.
    """
    entries = () if log is None else log.entries
    return [
        _champion(entries, standing, lock),
        _why(standing),
        _origin(standing),
        _params(standing),
        _champions(entries),
        _barred(standing),
        _versions(standing),
        _gate(entries),
        _settings(standing),
        _evidence(log, standing),
        _decided(entries),
    ]


def _champion(
    entries: Sequence[Entry], standing: Standing, lock: DvcLock | None
) -> OperationsTable:
    from pasam.registry.upkeep.champion_history import verdict_behind, why_in_use

    head = ("What", "Value")
    if standing.champion is None:
        return OperationsTable("Champion", "No version is in use yet.", head, ())
    version = standing.versions[standing.champion]
    verdict = verdict_behind(version)
    words = "none: it was not judged" if verdict is None else f"entry {verdict.number} of the log"
    run = str(version.registered.by.get("flow_run", ""))
    rows: list[Sequence[Cell]] = [
        *why_in_use(entries, standing),
        ("the way back", _way_back(standing)),
        ("can it be made again", _again(version)),
        ("verdict", _verdict_page(version, verdict, words)),
        ("flow run that registered it", run_link(run) if run else "none: by hand"),
        ("in MLflow", _in_mlflow(version.number)),
        *_card(lock, version),
    ]
    return OperationsTable("Champion", f"Version {version.number} is in use.", head, rows)


def _way_back(standing: Standing) -> str:
    """Name the version that a rollback brings back, or say why there is none and what is left."""
    from pasam.registry.upkeep.champion_history import barred

    if standing.previous:
        return f"version {standing.previous}"
    # Of a removed version no file is left that could be judged.
    kept = {number for number, version in standing.versions.items() if not version.removed}
    out = kept & {version.number for version, _ in barred(standing)}
    left = sorted(kept - out - {standing.champion})
    if left:
        return f"none; pasam registry promote {left[-1]} has the gate judge version {left[-1]}"
    if out:
        return (
            "none: every other version may not be promoted (below), until "
            f'pasam registry lift {max(out)} --why "..." lets one be judged again'
        )
    return "none: there is no other version"


def _again(version: VersionStanding) -> str:
    """Say whether a version can be made again, as far as git shows, and how."""
    from pasam.registry.reproduction import not_again
    from pasam.registry.versions import Version, known_tags

    shown = Version(
        number=version.number, aliases=(), tags=known_tags(version), run_id="", created=0
    )
    reason = not_again(Path(), [shown]).get(version.number)
    if reason is not None:
        return f"no: {reason}"
    return (
        "yes: its commit is in this clone, without further changes, and its dvc.lock is the one "
        f"registered. `pasam registry reproduce {version.number} --into FOLDER` trains it anew and "
        "compares the bytes"
    )


def _card(lock: DvcLock | None, version: VersionStanding) -> list[Sequence[Cell]]:
    """Link to the model's card, and say whether the last report is about this very version."""
    tags = version.registered.details["tags"]
    cards = None if lock is None else lock.output("model_cards")
    if lock is None or cards is None:
        return []
    name = f"{tags.get(Tag.MODEL, '')}.md"
    weights = {stage.out_with(WEIGHTS) for stage in lock.stages.values() if stage.kind == "train"}
    same = tags.get(Tag.MODEL_MD5, "") in {each.md5 for each in weights if each is not None}
    about = "of this version" if same else "of the last training, which is not this version"
    return [("model card", file_link(f"{name}, {about}", Path(cards.path) / name))]


def _why(standing: Standing) -> OperationsTable:
    """Show the judgement by which the champion won, benchmark by benchmark and check by check."""
    from pasam.registry.upkeep.champion_history import verdict_behind

    head = ("Check", "Holds", "Found and asked for")
    version = standing.versions.get(standing.champion or 0)
    verdict = None if version is None else verdict_behind(version)
    if version is None or verdict is None:
        lead = "There is no champion yet." if version is None else "Nobody judged the champion."
        return OperationsTable("Why it won", lead, head, ())
    details = verdict.details
    other = details["champion"]
    lead = (
        f"What the gate found when it judged version {version.number} "
        + (f"against version {other}, the champion of that moment." if other else "as the first.")
        + " Scores are boundary IoU in points."
    )
    rows = [
        (check["name"], "yes" if check["passed"] else "no", check["reason"])
        for check in details["checks"]
    ]
    rows += [
        (f"score {name}", "", f"{score:.2f}")
        for name, score in (("mean", details["mean_score"]), *details["scores"].items())
    ]
    return OperationsTable("Why it won", lead, head, rows)


def _origin(standing: Standing) -> OperationsTable:
    from pasam.registry.upkeep.champion_history import origin

    version = standing.versions.get(standing.champion or 0)
    rows = [] if version is None else origin(version)
    lead = "Which code, data, params and base the champion was made of, and what it was scored on."
    return OperationsTable("What it was made of", lead, ("What", "Value"), rows)


def _params(standing: Standing) -> OperationsTable:
    head, version = ("Param", "Value"), standing.versions.get(standing.champion or 0)
    params: Mapping[str, str] = version.registered.details.get(PARAMS, {}) if version else {}
    lead = "What the champion was trained with, and its data made with."
    if version is None:
        lead = "There is no champion yet."
    elif not params:
        commit = version.registered.details["tags"].get(Tag.COMMIT, "")[:10]
        lead = f"The log has none of this version; `git show {commit}:params.yaml` may."
    return OperationsTable("Params", lead, head, list(params.items()))


def _champions(entries: Sequence[Entry]) -> OperationsTable:
    from pasam.registry.upkeep.champion_history import decided, how_begun, how_ended, reigns

    def day(entry: Entry | None) -> str:
        return "" if entry is None else entry.time[:16]

    rows = [
        (str(each.version), day(each.begun), f"{how_begun(each)}; {decided(each.begun)}",
         day(each.ended), how_ended(each))
        for each in reversed(reigns(entries))
    ]  # fmt: skip
    head = ("Version", "From", "How it came", "Until", "Why it is not any more")
    lead = "Who was in use, the newest first."
    return OperationsTable("Champions", lead, head, rows[:MOST_ROWS])


def _barred(standing: Standing) -> OperationsTable:
    from pasam.registry.upkeep.champion_history import barred, by_whom

    rows = [
        (str(version.number), version.status, entry.time[:16], by_whom(entry), entry.why,
         f'pasam registry lift {version.number} --why "..."')
        for version, entry in barred(standing)
    ]  # fmt: skip
    lead = (
        "What a person has rejected or rolled back is never promoted, whatever the gate says, nor "
        "are the same bytes made again, until a person lifts that. What the gate alone has refused "
        "is not barred: it is judged anew when it is asked for and something has changed."
    )
    head = ("Version", "Status", "Since", "Barred by", "Why", "Lifted by")
    return OperationsTable("May not be promoted", lead, head, rows[:MOST_ROWS])


def _versions(standing: Standing) -> OperationsTable:
    rows = []
    for version in sorted(standing.versions.values(), key=lambda v: v.number, reverse=True):
        begun, words = version.registered, _verdict(version)
        tags = begun.details["tags"]
        commit, seed = str(tags.get(Tag.COMMIT, ""))[:10], str(tags.get(Tag.SEED, ""))
        number = _verdict_page(version, version.verdict, str(version.number))
        facts = (number, version.status, begun.time[:16], commit, seed)
        rows.append((*facts, *words, version.why))
    head = (
        "Version", "Status", "Registered", "Commit", "Seed", "Boundary IoU", "Against", "Gain",
        "Why",
    )  # fmt: skip
    lead = (
        "Every model that was registered, with what the gate found; scores in points. The number "
        "leads to the verdict, where it was given in this clone. Accepted: in use now or once. "
        "Refused: by "
        "the gate, which may be asked again. Rejected: by a person, out whatever the gate says "
        "until `pasam registry lift VERSION --why ...`."
    )
    return OperationsTable("Versions", lead, head, rows[:MOST_ROWS])


def _verdict(version: VersionStanding) -> tuple[str, str, str]:
    """Return the score, the version it was compared with, and the gain; empty where unjudged."""
    if version.verdict is None:
        scores = json.loads(version.registered.details["tags"].get(Tag.SCORES, "{}"))
        measured = scores.get("mean")
        words = "" if measured is None else f", measured {measured:.2f}"
        return f"not judged{words}", "", ""
    details = version.verdict.details
    gain, other = details["mean_gain"], details["champion"]
    words = "" if gain is None else f"{gain['mean']:+.2f} (at least {gain['low']:+.2f})"
    return f"{details['mean_score']:.2f}", f"version {other}" if other else "floors only", words


def _gate(entries: Sequence[Entry]) -> OperationsTable:
    from pasam.registry.upkeep.champion_history import by_whom

    rows = [
        (str(e.number), e.time[:16], by_whom(e), ", ".join(e.details.get("changed", ())) or
         "all of params.yaml, as the first", e.why)
        for e in reversed(entries) if e.event == "gate"
    ]  # fmt: skip
    lead = "How the gate's settings came, the newest first; the first row is in force."
    head = ("Entry", "When", "Who", "What changed", "Why")
    return OperationsTable("Gate: changes", lead, head, rows[:MOST_ROWS])


def _settings(standing: Standing) -> OperationsTable:
    gate: Mapping[str, Any] = {} if standing.gate is None else standing.gate.details["settings"]
    lead = (
        "None yet: the first judgement takes those of params.yaml."
        if standing.gate is None
        else f"By entry {standing.gate.number} of the log. Those of params.yaml hold only after "
        "`pasam registry gate --adopt --why ...`."
    )
    rows = [(name, str(value)) for name, value in gate.items()]
    return OperationsTable("Gate: settings in force", lead, ("Setting", "Value"), rows)


def _evidence(log: DecisionLog | None, standing: Standing) -> OperationsTable:
    from pasam.registry.upkeep.champion_history import evidence

    version = standing.versions.get(standing.champion or 0)
    rows = [] if version is None or log is None else evidence(log, version)
    lead = (
        "Where the scores and decisions lie that the champion rests on. Each was compared with "
        "its sha256, which the log holds, when this page was written."
    )
    return OperationsTable("Evidence", lead, ("What", "Where, and whether it is whole"), rows)


def _decided(entries: Sequence[Entry]) -> OperationsTable:
    rows = [
        (str(e.number), e.time[:16], e.event, str(e.version or ""),
         f"{e.before or '-'} to {e.after or '-'}", e.by.get("who", ""), e.by.get("host", ""),
         run_link(e.by.get("flow_run", "")),
         ": ".join(part for part in (", ".join(e.details.get("changed", ())), e.why) if part))
        for e in reversed(entries)
    ]  # fmt: skip
    head = (
        "Entry", "When", "Decision", "Version", "Champion", "Who", "Machine", "Flow run", "Why"
    )  # fmt: skip
    lead = "The log of decisions, the newest first; `pasam registry log` has all of it."
    return OperationsTable("Decisions", lead, head, rows[:MOST_ROWS])
