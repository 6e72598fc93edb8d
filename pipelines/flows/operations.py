"""What people hear and see of the flows: messages, a sign of life, an alarm, and one page.

The page says who is champion since when and why, how the versions went, what was decided and
skipped and why, how the data stand, and what comes next, with links to where there is more. It is
made of the log of decisions, of how flows ended, and of the data's findings; no server is asked.
"""

from __future__ import annotations

import datetime
import json
import re
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pasam.errors import PasamError
from pasam.files import write_text
from pasam.registry.snapshot import (
    MANIFEST,
    VERDICT,
    DvcLock,
    git_state,
    has_repository,
    read_lock,
)
from pasam.registry.store import Tag
from pipelines.dvc import STATE
from pipelines.flows.decision_tables import (
    MOST_ROWS,
    PAGE,
    Cell,
    OperationsTable,
    decision_tables,
    file_link,
    run_link,
)
from pipelines.flows.endings import (
    AHEAD,
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

if TYPE_CHECKING:
    from pasam.registry.decision_log import DecisionLog, Standing

TOLD = STATE / "told.json"
UNFINISHED = STATE / "unfinished"
"""There from the beginning of a retraining to the end of its judgement."""
DEPLOYMENTS = Path("prefect.yaml")
POOL = "here"
"""Name of the work pool whose deployments need nothing but this machine."""
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
    """Say when people were told last; what cannot be read, or is of a wrong clock, was not told."""
    try:
        found = json.loads(TOLD.read_text("utf-8"))
        told = {name: datetime.datetime.fromisoformat(moment) for name, moment in found.items()}
        return {name: moment for name, moment in told.items() if moment <= now() + AHEAD}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _tell(
    kind: str, subject: str, text: str, address: str | None, told: dict[str, datetime.datetime]
) -> None:
    where = f"Project {project_name()} on {socket.gethostname()}."
    if notify(address, subject, f"{text}\n{where}"):
        moments = {**told, kind: now()}
        write_text(TOLD, json.dumps({name: each.isoformat() for name, each in moments.items()}))


def write_page() -> list[OperationsTable]:
    """Write the page anew, and return what it says."""
    from jinja2 import Environment

    log, standing = _decisions()
    lock = _lock()
    tables = [
        *decision_tables(log, standing, lock),
        _flows(read_endings()),
        _data(lock, standing),
        _drift(lock),
        _next(),
    ]
    count = len(log.entries) if log else 0
    moment = f"{now():%Y-%m-%d %H:%M} UTC, of {count} entries of the log of decisions"
    environment = Environment(autoescape=True, trim_blocks=True)
    page = environment.from_string(_HTML).render(
        title=f"Operation of {project_name()}", moment=moment, machine=socket.gethostname(),
        tables=tables, trend=_trend(standing),
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


def _decisions() -> tuple[DecisionLog | None, Standing]:
    """Read what this clone knows of the log of decisions; None if there is none."""
    from pasam.registry.decision_log import DecisionLog, Standing, standing_of

    if not has_repository(Path()):
        return None, Standing()
    try:
        log = DecisionLog(Path())
        return log, standing_of(log.read(shared=False))
    except PasamError as error:
        LOGGER.warning("The page has no decisions: %s", error)
        return None, Standing()


def _lock() -> DvcLock | None:
    try:
        return read_lock(Path())
    except PasamError:  # nothing has run yet
        return None


def _flows(endings: Sequence[Ending]) -> OperationsTable:
    rows = [
        (e.started[:16], run_link(e.run, e.flow), e.outcome, e.message.partition("\n")[0],
         e.commit[:10])
        for e in reversed(endings)
    ]  # fmt: skip
    success = last("retrain", succeeded=True)
    lead = (
        "What ran, what was skipped or postponed, and why, the newest first. "
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
        *([("the champion's", used if used != seen else "the same")] if used else []),
        ("judged, or restored from the cache", f"{there:%Y-%m-%d %H:%M} UTC"),
    ]
    page = stage.out_with(".html")
    rows += [("its page", file_link(page.path, Path(page.path)))] if page else []
    return OperationsTable("Data", "What the last validation said.", head, rows)


def _drift(lock: DvcLock | None) -> OperationsTable:
    """List how the data stand to the accepted ones."""
    entry = None if lock is None else lock.output("findings.json")
    rows = []
    if entry is not None and Path(entry.path).exists():
        content = json.loads(Path(entry.path).read_text("utf-8"))
        rows = [
            (row["split"], row["dataset"], row["quantity"], "yes" if row["drifted"] else "no")
            for row in content.get("drift", [])
        ]
    lead = "How the data have drifted from the accepted ones, by the last validation."
    lead = lead if rows else "No drift is known: no data were accepted to compare with."
    return OperationsTable(
        "Drift", lead, ("Split", "Set", "Quantity", "Has drifted"), rows[:MOST_ROWS]
    )


def _next() -> OperationsTable:
    content = yaml.safe_load(DEPLOYMENTS.read_text("utf-8")) if DEPLOYMENTS.exists() else {}
    due = next_due(now())
    rows = [
        (str(entry["name"]), str(entry.get("description", "")),
         f"{_in_words(each['cron'])} ({each['cron']} {each.get('timezone', 'UTC')})",
         _when(due, entry))
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
    head = ("Deployment", "What", "When", "Next run")
    return OperationsTable("What comes next", f"{left} {active}", head, rows)


def _when(due: Mapping[str, str] | None, entry: Mapping[str, Any]) -> str:
    flow = str(entry["entrypoint"]).rpartition(":")[2]
    if due is None:
        return "none: not active"
    return f"{due[flow][:16].replace('T', ' ')} UTC" if flow in due else "none is known"


_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _in_words(cron: str) -> str:
    """Say when a schedule is due, if it is as simple as those of `prefect.yaml`."""
    found = re.fullmatch(r"(\d+) (\d+) \* \* (?:(\*)|([0-7])(?:-([0-7]))?)", cron)
    if found is None:
        return "as cron says"
    minute, hour, daily, first, last_day = found.groups()
    at = f"at {int(hour):02}:{int(minute):02}"
    if daily:
        return f"every day {at}"
    until = f" to {_DAYS[int(last_day)]}" if last_day else ""
    return f"every {_DAYS[int(first)]}{until} {at}"


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
td { font-variant-numeric: tabular-nums; overflow-wrap: break-word; }
.wide { overflow-x: auto; }
svg { max-width: 30rem; } svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
svg path, svg line { stroke: currentColor; fill: none; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>As of {{ moment }}; written on {{ machine }}. Every flow renews this page; `python -m
pipelines.flows watch` does now. All times are UTC.</p>
{% for table in tables %}
<h2>{{ table.heading }}</h2>
<p>{{ table.lead }}</p>
{% if table.heading == "Versions" %}{{ trend }}{% endif %}
{% if table.rows %}
<div class="wide" tabindex="0"><table>
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
