"""What people hear and see of the flows: messages, a sign of life, an alarm, and one page.

The page says who is champion since when and why, how the versions went, what was decided and
skipped and why, how the data stand, and what comes next, with links to where there is more. It is
made of the log of decisions, of how flows ended, and of the data's findings; no server is asked.
"""

from __future__ import annotations

import datetime
import json
import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from pasam.errors import PasamError
from pasam.files import write_text
from pasam.registry.snapshot import (
    MANIFEST,
    VERDICT,
    WEIGHTS,
    DvcLock,
    git_state,
    has_repository,
    read_lock,
)
from pasam.registry.store import FOLDER, Tag, addresses
from pasam.registry.versions import PAGES, PARAMS, version_page
from pipelines.dvc import STATE
from pipelines.flows.endings import (
    CANCELLED,
    FAILED,
    Ending,
    description,
    keep,
    last,
    next_due,
    now,
    project_name,
    read_endings,
    write_metrics,
)
from pipelines.flows.engine import LOGGER, Outcome, flow_run_id, in_flow_run, notify, show_text
from pipelines.flows.servers import HOST, own_server

if TYPE_CHECKING:
    from pasam.registry.decision_log import Entry, Standing, VersionStanding

TOLD = STATE / "told.json"
UNFINISHED = STATE / "unfinished"
"""There from the beginning of a retraining to the end of its judgement."""
DEPLOYMENTS = Path("prefect.yaml")
POOL = "here"
"""Name of the work pool whose deployments need nothing but this machine."""
PAGE = Path("reports") / "operations.html"
MOST_ROWS = 60
"""Rows of a table of the page."""

QUIET = frozenset({"unchanged", "watched", "reproduced", "studied"})
"""Endings without news. Nobody is told of them; the weekly sign of life counts them."""

SIGN_OF_LIFE = datetime.timedelta(days=7)
ALARM_AGAIN = datetime.timedelta(days=1)


def followed(flow: Callable[..., Outcome], parameters: Mapping[str, Any]) -> Outcome:
    """Call a flow, keep how it ended, and tell those who want to know.

    Args:
        flow: A flow's function.
        parameters: Its parameters; `notify` says who is told.
    """
    started, address = now(), parameters.get("notify")
    try:
        outcome = flow(**parameters)
    except Exception as error:
        end(flow.__name__, Outcome(FAILED, str(error) or type(error).__name__), started, address)
        raise
    except KeyboardInterrupt:
        if not in_flow_run():  # else Prefect says which of cancelled and crashed it was
            end(flow.__name__, Outcome(CANCELLED, "It was stopped."), started, address)
        raise
    end(flow.__name__, outcome, started, address)
    return outcome


def end(
    flow: str, outcome: Outcome, started: datetime.datetime, address: str | None, run: str = ""
) -> None:
    """Keep an ending and tell it; neither ever fails what it is about."""
    commit = git_state(Path()).commit
    ending = Ending(
        flow=flow, outcome=outcome.name, message=outcome.message, commit=commit,
        started=started.isoformat(timespec="seconds"), ended=now().isoformat(timespec="seconds"),
        run=run or flow_run_id() or "",
    )  # fmt: skip
    try:
        keep(ending)
    except (OSError, ImportError) as error:
        LOGGER.warning("How %s ended cannot be kept: %s", flow, error)
    renew_page()
    if outcome.name not in QUIET:
        notify(address, f"{project_name()}: {flow} {outcome.name}", description(ending))


def watch(*, days: float = 10.0, notify: str | None = None) -> Outcome:
    """Give a sign of life once a week, and an alarm while `retrain` has not succeeded for long.

    It needs no server, so a timer of the system may call it where `make flows` itself could be
    dead. `nightly` calls it, too.

    Args:
        days: After how many days without a success of `retrain` there is an alarm.
        notify: Who is told: a webhook, or a Prefect block; else whom PASAM_NOTIFY names.
    """
    moment, told = now(), _told()
    success = last("retrain", succeeded=True)
    every = read_endings()
    since = success.ended if success else every[0].started if every else None
    write_metrics()
    renew_page()
    if since is None:
        return Outcome("watched", "No flow has run here yet.")
    silence = moment - datetime.datetime.fromisoformat(since)
    if silence > datetime.timedelta(days=days):
        message = (
            f"retrain has not succeeded for {silence.days} days"
            f"; {_in_short(last('retrain'))}. See docs/operations.md."
        )
        if moment - told.get("alarm", _EVER) > ALARM_AGAIN:
            _tell("alarm", f"{project_name()}: no success", message, notify, told)
        return Outcome("alarmed", message)
    week = [e for e in every if moment - datetime.datetime.fromisoformat(e.ended) < SIGN_OF_LIFE]
    counts = Counter(f"{e.flow} {e.outcome}" for e in week)
    ago = success.ended[:16] if success else "none yet"
    message = f"Alive. In the last week: {_listed(counts)}. Last success of retrain: {ago}."
    if moment - told.get("sign of life", _EVER) > SIGN_OF_LIFE:
        _tell("sign of life", f"{project_name()}: alive", message, notify, told)
    return Outcome("watched", message)


_EVER = datetime.datetime.min.replace(tzinfo=datetime.UTC)


def _in_short(ending: Ending | None) -> str:
    return "it never ran" if ending is None else f"the last run {ending.outcome}: {ending.message}"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} x {name}" for name, number in sorted(counts.items())) or "nothing"


def _told() -> dict[str, datetime.datetime]:
    if not TOLD.exists():
        return {}
    found = json.loads(TOLD.read_text("utf-8"))
    return {name: datetime.datetime.fromisoformat(moment) for name, moment in found.items()}


def _tell(
    kind: str, subject: str, text: str, address: str | None, told: dict[str, datetime.datetime]
) -> None:
    where = f"Project {project_name()} on {socket.gethostname()}."
    if notify(address, subject, f"{text}\n{where}"):
        moments = {**told, kind: now()}
        write_text(TOLD, json.dumps({name: each.isoformat() for name, each in moments.items()}))


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


def write_page() -> list[OperationsTable]:
    """Write the page anew, and return what it says."""
    from jinja2 import Environment

    entries, standing = _decisions()
    lock = _lock()
    tables = [
        _champion(standing, lock),
        _params(standing),
        _versions(standing),
        _decided(entries),
        _flows(read_endings()),
        _data(lock, standing),
        _drift(lock),
        _next(),
    ]
    environment = Environment(autoescape=True, trim_blocks=True)
    page = environment.from_string(_HTML).render(
        title=f"Operation of {project_name()}", moment=f"{now():%Y-%m-%d %H:%M} UTC", tables=tables,
        trend=_trend(standing),
    )  # fmt: skip
    write_text(PAGE, page)
    return tables


def renew_page() -> None:
    """Write the page, and show it on the run's; it never fails what it is about."""
    try:
        show_text("operations", as_markdown(write_page()), "Operation")
    except Exception as error:  # noqa: BLE001  (see above)
        LOGGER.warning("%s is not renewed (%s: %s).", PAGE, type(error).__name__, error)


def as_markdown(tables: Sequence[OperationsTable]) -> str:
    """Write the page's tables for Prefect's pages."""
    from pasam.reporting.blocks import markdown

    def words(cell: Cell) -> str:
        if isinstance(cell, str):
            return cell
        there = cell.address.startswith("http")  # the project's files are not on a server's page
        return f"[{cell.words}]({cell.address})" if there else cell.words

    parts = []
    for table in tables:
        rows = [[words(cell) for cell in row] for row in table.rows]
        parts.append(f"## {table.heading}\n\n{table.lead}\n\n{markdown(table.head, rows)}")
    return "\n\n".join(parts)


def _file(words: str, path: Path) -> Cell:
    """Link to a file of the project, if it is there."""
    if not path.exists():
        return words
    return PageLink(words, Path(os.path.relpath(path, PAGE.parent)).as_posix())


def _run(run: str, words: str = "") -> Cell:
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


def _verdict_page(version: VersionStanding, words: str) -> Cell:
    """Link to the page of a version's last verdict, if it was given in this clone."""
    if version.verdict is None:
        return words
    folder = Path(FOLDER) / PAGES / f"v{version.number}"
    return _file(words, folder / f"{version.verdict.number:06}-verdict.html")


def _decisions() -> tuple[Sequence[Entry], Standing]:
    """Read what this clone knows of the log of decisions."""
    from pasam.registry.decision_log import DecisionLog, Standing, standing_of

    if not has_repository(Path()):
        return (), Standing()
    try:
        entries = DecisionLog(Path()).read(shared=False)
        return entries, standing_of(entries)
    except PasamError as error:
        LOGGER.warning("The page has no decisions: %s", error)
        return (), Standing()


def _lock() -> DvcLock | None:
    try:
        return read_lock(Path())
    except PasamError:  # nothing has run yet
        return None


def _champion(standing: Standing, lock: DvcLock | None) -> OperationsTable:
    head = ("What", "Value")
    if standing.champion is None:
        return OperationsTable("Champion", "No version is in use yet.", head, ())
    version = standing.versions[standing.champion]
    taken = next(e for e in reversed(version.entries) if e.after == standing.champion)
    tags: Mapping[str, Any] = version.registered.details["tags"]
    verdict = "none: it was not judged"
    if version.verdict is not None:
        verdict = f"entry {version.verdict.number} of the log"
    run = str(taken.by.get("flow_run", ""))
    rows: list[Sequence[Cell]] = [
        ("in use since", f"{taken.time[:16]} UTC, by {taken.event} (entry {taken.number})"),
        ("decided by", f"{taken.by.get('who', '')} on {taken.by.get('host', '')}"),
        ("why", taken.why),
        ("champion before", str(taken.before or "none")),
        ("the way back", f"version {standing.previous}" if standing.previous else _NO_WAY_BACK),
        ("made again by", f"pasam registry reproduce {version.number}"),
        ("verdict", _verdict_page(version, verdict)),
        ("flow run", _run(run) if run else "none: by hand"),
        ("in MLflow", _in_mlflow(version.number)),
        *_card(lock, version),
        *((name, str(tags[name])) for name in sorted(tags) if name in _ORIGIN),
    ]
    return OperationsTable("Champion", f"Version {version.number} is in use.", head, rows)


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
    return [("model card", _file(f"{name}, {about}", Path(cards.path) / name))]


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


_NO_WAY_BACK = "none; pasam registry promote VERSION takes another one"

_ORIGIN = frozenset({
    Tag.MODEL, Tag.COMMIT, Tag.DIRTY, Tag.LOCK_SHA256, Tag.PARAMS_SHA256, Tag.MANIFEST_MD5,
    Tag.VALIDATION, Tag.EVALUATION_SET, Tag.EVALUATOR_VERSION, Tag.BASE_SHA256,
    Tag.ADAPTER_SHA256, Tag.SEED, Tag.STAGE, Tag.WEIGHTS,
})  # fmt: skip
"""Tags that say which data, code and parameters a version was made of."""


def _versions(standing: Standing) -> OperationsTable:
    rows = []
    for version in sorted(standing.versions.values(), key=lambda v: v.number, reverse=True):
        begun, words = version.registered, _verdict(version)
        tags = begun.details["tags"]
        commit, seed = str(tags.get(Tag.COMMIT, ""))[:10], str(tags.get(Tag.SEED, ""))
        number = _verdict_page(version, str(version.number))
        facts = (number, version.status, begun.time[:16], commit, seed)
        rows.append((*facts, *words, version.why))
    head = ("Version", "Status", "Registered", "Commit", "Seed", "Boundary IoU", "Gain", "Why")
    lead = (
        "Every model that was registered, with what the gate found; scores in points. The number "
        "leads to the verdict, where it was given in this clone. Refused: by "
        "the gate, which may be asked again. Rejected: by a person, out whatever the gate says "
        "until `pasam registry lift VERSION --why ...`."
    )
    return OperationsTable("Versions", lead, head, rows[:MOST_ROWS])


def _verdict(version: VersionStanding) -> tuple[str, str]:
    if version.verdict is None:
        return "", ""
    gain = version.verdict.details["mean_gain"]
    words = "" if gain is None else f"{gain['mean']:+.2f} (at least {gain['low']:+.2f})"
    return f"{version.verdict.details['mean_score']:.2f}", words


def _decided(entries: Sequence[Entry]) -> OperationsTable:
    rows = [
        (e.time[:16], e.event, str(e.version or ""), f"{e.before or '-'} to {e.after or '-'}",
         e.by.get("who", ""), _run(e.by.get("flow_run", "")),
         ": ".join(part for part in (", ".join(e.details.get("changed", ())), e.why) if part))
        for e in reversed(entries)
    ]  # fmt: skip
    head = ("When", "Decision", "Version", "Champion", "Who", "Flow run", "Why")
    lead = "The log of decisions, the newest first; `pasam registry log` has all of it."
    return OperationsTable("Decisions", lead, head, rows[:MOST_ROWS])


def _flows(endings: Sequence[Ending]) -> OperationsTable:
    rows = [
        (e.started[:16], _run(e.run, e.flow), e.outcome, e.message.partition("\n")[0],
         e.commit[:10])
        for e in reversed(endings)
    ]  # fmt: skip
    success = last("retrain", succeeded=True)
    lead = (
        "What ran, what was skipped or postponed, and why. "
        f"retrain succeeded last: {success.ended[:16] if success else 'never'}."
    )
    head = ("Began", "Flow", "Ended as", "Why", "Commit")
    return OperationsTable("Runs of flows", lead, head, rows[:MOST_ROWS])


def _data(lock: DvcLock | None, standing: Standing) -> OperationsTable:
    """Say what the last validation said, of which data, and whether the champion has seen them."""
    head = ("What", "Value")
    found = [] if lock is None else list(lock.makers(VERDICT))
    if not found or not Path(found[0][1].path).exists():
        return OperationsTable("Data", "The data were not validated.", head, ())
    stage, entry = found[0]
    verdict = json.loads(Path(entry.path).read_text("utf-8"))
    seen = next((dep.md5 for path, dep in stage.deps.items() if path.endswith(MANIFEST)), "")
    champion = standing.versions.get(standing.champion or 0)
    used = champion.registered.details["tags"].get(Tag.MANIFEST_MD5, "") if champion else ""
    there = datetime.datetime.fromtimestamp(Path(entry.path).stat().st_mtime, datetime.UTC)
    said = f"errors: {', '.join(verdict['errors']) or 'none'}; warnings: "
    rows: list[Sequence[Cell]] = [
        ("verdict", "passed" if verdict["passed"] else "failed"),
        ("expectations", said + (", ".join(verdict["warnings"]) or "none")),
        ("masks", f"{verdict['masks']} valid, {verdict['quarantined']} in quarantine"),
        (Tag.MANIFEST_MD5, seen),
        ("the champion's", used and (used if used != seen else "the same")),
        ("judged, or restored from the cache", f"{there:%Y-%m-%d %H:%M} UTC"),
    ]
    page = stage.out_with(".html")
    rows += [("its page", _file(page.path, Path(page.path)))] if page else []
    return OperationsTable("Data", "What the last validation said.", head, rows)


def _drift(lock: DvcLock | None) -> OperationsTable:
    """List how the data stand to the accepted ones."""
    entry = None if lock is None else lock.output("findings.json")
    rows = []
    if entry is not None and Path(entry.path).exists():
        content = json.loads(Path(entry.path).read_text("utf-8"))
        rows = [
            (str(row["dataset"]), str(row["quantity"]), "yes" if row["drifted"] else "no")
            for row in content.get("drift", [])
        ]
    lead = "How the data have drifted from the accepted ones, by the last validation."
    lead = lead if rows else "No drift is known: no data were accepted to compare with."
    return OperationsTable("Drift", lead, ("Set", "Quantity", "Has drifted"), rows[:MOST_ROWS])


def _next() -> OperationsTable:
    content = yaml.safe_load(DEPLOYMENTS.read_text("utf-8")) if DEPLOYMENTS.exists() else {}
    due = next_due(now())
    rows = [
        (str(entry["name"]), str(entry.get("description", "")),
         f"{each['cron']} {each.get('timezone', 'UTC')}", _when(due, entry))
        for entry in content.get("deployments", [])
        if entry.get("work_pool", {}).get("name") == POOL
        for each in entry.get("schedules", ())
    ]  # fmt: skip
    left = (
        "An earlier retraining was cut short: the next run finishes it."
        if UNFINISHED.exists()
        else "Nothing is left unfinished."
    )
    active = (
        "No schedule is active here: `make flows` does not run in this project. What a team's "
        "server of Prefect schedules is on its own page."
        if due is None
        else "The schedules are active: `make flows` runs in this project."
    )
    head = ("Deployment", "What", "Cron", "Next run")
    return OperationsTable("What comes next", f"{left} {active}", head, rows)


def _when(due: Mapping[str, str] | None, entry: Mapping[str, Any]) -> str:
    flow = str(entry["entrypoint"]).rpartition(":")[2]
    if due is None:
        return "none: not active"
    return f"{due[flow][:16].replace('T', ' ')} UTC" if flow in due else "none is known"


def _trend(standing: Standing) -> str:
    """Draw the mean score over the versions; nothing, below two of them."""
    points = [
        (float(v.number), float(v.verdict.details["mean_score"]))
        for v in sorted(standing.versions.values(), key=lambda v: v.number)
        if v.verdict is not None
    ]
    if len(points) < 2:
        return ""
    from pasam.reporting.blocks import Key
    from pasam.reporting.svg import Series, line_chart

    across, up = zip(*points, strict=True)
    series = Series(Key(name="version", colour="currentColor"), across, up)
    return line_chart(
        [series], title="Mean boundary IoU by version", x_label="Version", y_label="Boundary IoU"
    )


_HTML = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid var(--line);
         vertical-align: top; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
svg { max-width: 30rem; } svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
svg path, svg line { stroke: currentColor; fill: none; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>As of {{ moment }}.</p>
{% for table in tables %}
<h2>{{ table.heading }}</h2>
<p>{{ table.lead }}</p>
{% if table.heading == "Versions" %}{{ trend }}{% endif %}
{% if table.rows %}
<div class="wide"><table>
<thead><tr>{% for name in table.head %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}
<tr>{% for cell in row %}
{% if cell.address %}<td><a href="{{ cell.address }}">{{ cell.words }}</a></td>
{% else %}<td>{{ cell }}</td>{% endif %}
{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% endif %}
{% endfor %}
</body>
</html>
"""
