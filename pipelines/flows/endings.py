"""How flows ended: kept as lines, and shown to Prometheus; and which process is at which run.

Nothing here needs a server: whoever watches a machine from outside reads the same files.
"""

from __future__ import annotations

import datetime
import json
import os
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pasam.files import write_text
from pasam.registry.live_curves import clone_id
from pasam.registry.snapshot import has_repository, remote_address
from pipelines.dvc import STATE
from pipelines.flows.engine import (
    LOGGER,
    flow_run_page,
)

ENDINGS = STATE / "endings.jsonl"
METRICS = STATE / "metrics" / "pasam_flows.prom"
SERVED = STATE / "served.json"
"""Which process starts the flows on schedule, and when they are due."""

FAILED, CRASHED, CANCELLED, POSTPONED, SKIPPED = (
    "failed", "crashed", "cancelled", "postponed", "skipped",
)  # fmt: skip
NO_SUCCESS = frozenset({FAILED, CRASHED, CANCELLED, POSTPONED, SKIPPED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How one run of a flow ended."""

    flow: str
    outcome: str
    message: str
    started: str
    ended: str
    """Both times in UTC, as ISO 8601."""
    commit: str = ""
    run: str = ""
    """Id of Prefect's flow run, if there is one."""

    @property
    def succeeded(self) -> bool:
        """Whether the flow did all that it is for, whatever came of it."""
        return self.outcome not in NO_SUCCESS


def now() -> datetime.datetime:
    """The present moment, in UTC."""
    return datetime.datetime.now(datetime.UTC)


AHEAD = datetime.timedelta(hours=1)
"""How far the clock of another machine that shares the folder may be ahead."""


def read_endings() -> list[Ending]:
    """Read all that is kept, the oldest first, but for what a crash cut short.

    What has not happened yet is left out, too: the clock was wrong when it was kept, and nothing
    would be due, missed or worth an alarm until that day comes.
    """
    found, latest = [], now() + AHEAD
    there = ENDINGS.exists()
    for line in ENDINGS.read_text("utf-8", errors="replace").splitlines() if there else ():
        try:
            ending = Ending(**json.loads(line))
            times = [datetime.datetime.fromisoformat(t) for t in (ending.started, ending.ended)]
            if max(times) > latest:
                raise ValueError("it has not happened yet")
            found.append(ending)
        except (ValueError, TypeError):
            LOGGER.warning("A line of %s is damaged, or of a wrong clock, and left out.", ENDINGS)
    return found


def last(flow: str, *, succeeded: bool = False) -> Ending | None:
    """Find how a flow ended last, or succeeded last."""
    fitting = (e for e in reversed(read_endings()) if e.flow == flow)
    return next((e for e in fitting if e.succeeded or not succeeded), None)


def keep(ending: Ending) -> None:
    """Add an ending to the file, and renew what Prometheus reads."""
    STATE.mkdir(exist_ok=True)
    before = ENDINGS.read_bytes() if ENDINGS.exists() else b""
    start = "\n" if before and not before.endswith(b"\n") else ""  # after a line that was cut short
    with ENDINGS.open("a", encoding="utf-8") as file:
        file.write(f"{start}{json.dumps(asdict(ending))}\n")
    write_metrics()


def project_name() -> str:
    """Name this clone of the project, apart from every other, for people."""
    return clone_id(Path())


def description(ending: Ending) -> str:
    """Say an ending at length: what, where, of what, how long, and where to look."""
    took = datetime.datetime.fromisoformat(ending.ended) - datetime.datetime.fromisoformat(
        ending.started
    )
    lines = [
        ending.message,
        f"Project {project_name()} on {socket.gethostname()}, commit {ending.commit[:10] or '-'}, "
        f"from {ending.started} for {str(took).partition('.')[0]}.",
    ]
    links = {"Run": flow_run_page(ending.run), "Repository": remote_address(Path()) or ""}
    lines += [f"{name}: {address}" for name, address in links.items() if address]
    return "\n".join(lines)


def write_metrics() -> None:
    """Write what node_exporter's textfile collector reads: endings of flows, and the registry."""
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    registry = CollectorRegistry()
    project = project_name()

    def gauge(name: str, text: str, values: Mapping[str, float], label: str) -> None:
        made = Gauge(f"pasam_{name}", text, ["project", label], registry=registry)
        for key, value in values.items():
            made.labels(project, key).set(value)

    every = read_endings()
    seconds = {e: datetime.datetime.fromisoformat(e.ended).timestamp() for e in every}
    took = {
        e.flow: seconds[e] - datetime.datetime.fromisoformat(e.started).timestamp() for e in every
    }
    good = {e.flow: seconds[e] for e in every if e.succeeded}
    gauge("flow_last_end_seconds", "When a flow ended last, Unix time.",
          {e.flow: seconds[e] for e in every}, "flow")  # fmt: skip
    gauge("flow_last_success_seconds", "When a flow succeeded last, Unix time.", good, "flow")
    gauge("flow_last_duration_seconds", "How long a flow took last.", took, "flow")
    endings = Gauge("pasam_flow_endings", "How often flows ended so.",
                    ["project", "flow", "outcome"], registry=registry)  # fmt: skip
    for (flow, outcome), count in Counter((e.flow, e.outcome) for e in every).items():
        endings.labels(project, flow, outcome).set(count)
    champion, versions = _registry_counts()
    gauge("registry_versions", "Versions by status.", versions, "status")
    chosen = Gauge("pasam_registry_champion", "Number of the champion; 0 for none.", ["project"],
                   registry=registry)  # fmt: skip
    chosen.labels(project).set(champion)
    METRICS.parent.mkdir(parents=True, exist_ok=True)
    write_to_textfile(str(METRICS), registry)


def _registry_counts() -> tuple[int, Mapping[str, int]]:
    """Count what this clone knows of the log of decisions; no remote is asked."""
    from pasam.errors import PasamError
    from pasam.registry.decision_log import DecisionLog, standing_of

    if not has_repository(Path()):
        return 0, {}
    try:
        standing = standing_of(DecisionLog(Path()).read(shared=False))
    except PasamError as error:
        LOGGER.warning("The log of decisions cannot be counted: %s", error)
        return 0, {}
    counts = Counter(each.status for each in standing.versions.values())
    return standing.champion or 0, counts


def running_file(run: str) -> Path:
    """Where a run of Prefect's on this machine says which process it is."""
    return STATE / "running" / run


def note_running(run: str) -> None:
    """Say that this process is at a run."""
    write_text(running_file(run), json.dumps(_this_process()))


def is_running(run: str) -> bool:
    """Say whether the process that began a run still lives; its number may be another's by now."""
    try:
        return _lives(json.loads(running_file(run).read_text("utf-8")))
    except (OSError, ValueError):
        return False


def note_served(due: Mapping[str, Sequence[str]]) -> None:
    """Say that this process starts the flows on schedule, and when each is due, in UTC."""
    write_text(SERVED, json.dumps({"process": _this_process(), "due": due}))


def next_due(moment: datetime.datetime) -> dict[str, str] | None:
    """Say when each flow is due next; None while no process here starts flows on schedule."""
    late = moment.isoformat(timespec="seconds")
    try:
        found = json.loads(SERVED.read_text("utf-8"))
        later = {flow: [each for each in due if each > late] for flow, due in found["due"].items()}
        if not _lives(found["process"]):
            return None
    except (OSError, ValueError, TypeError, LookupError, AttributeError):  # or a crash cut it short
        return None
    return {flow: due[0] for flow, due in later.items() if due}


def _this_process() -> tuple[int, float]:
    import psutil

    return os.getpid(), psutil.Process().create_time()


def _lives(process: Sequence[float]) -> bool:
    import psutil

    number, created = process
    try:
        return bool(psutil.Process(int(number)).create_time() == created)
    except psutil.Error:
        return False
