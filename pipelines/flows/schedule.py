"""The flows on schedule (`make flows`): deployments, what was missed, and servers that go away."""

from __future__ import annotations

import asyncio
import datetime
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx
import yaml

from pasam.errors import ParamsError
from pipelines.flows.endings import SERVED, last, note_served, now, project_name
from pipelines.flows.engine import LOGGER, Outcome, notify
from pipelines.flows.operations import DEPLOYMENTS, POOL, renew_page
from pipelines.flows.retrain import is_unfinished
from pipelines.flows.servers import PREFECT_PORT, answers, prefect_server, show, use_own_settings

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

Schedule: TypeAlias = tuple[str, str]
"""A line of cron, and the time zone that it is in."""

RETURN_PAUSE = 15.0
"""Seconds between two looks for a server that has gone away."""
DUE_KNOWN = 400
"""Times of each schedule that are written down for the page of operations."""
QUICK = 60.0
"""Seconds within which an end of serving is no outage, if the server answers."""
SILENCE = 120.0
"""Seconds without a heartbeat after which a run is ended."""
SILENT = "Its process or its machine is gone; the next run goes on from there."


def guard(*, tag: str = "pasam") -> Outcome:
    """Have the server that PREFECT_API_URL names end runs whose heartbeats stop.

    A team's server needs it once; `make flows` does it for its own runs.

    Args:
        tag: Tag of the deployments, as prefect.yaml has it for containers.
    """
    use_own_settings()
    end_silent_runs(tag)
    return Outcome("guarded", f"Runs tagged {tag} end {SILENCE:g} s after their last heartbeat.")


def end_silent_runs(tag: str) -> None:
    """Have the server end every run of a tag whose heartbeats stop; Prefect's own means.

    A run whose whole machine is gone would else stay Running for ever, and its place in the
    deployment's concurrency limit with it. A heartbeat comes every `HEARTBEAT` seconds.
    """
    from prefect.automations import Automation
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import EventTrigger, Posture

    name = f"{tag}: end runs that are silent"
    ends = ("Completed", "Failed", "Cancelled", "Crashed")
    beat = "prefect.flow-run.heartbeat"
    wanted = Automation(
        name=name,
        description=f"Ends a run that has not been heard of for {SILENCE:g} s.",
        trigger=EventTrigger(
            after={beat}, expect={beat, *(f"prefect.flow-run.{end}" for end in ends)},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={
                "prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"
            },
            for_each={"prefect.resource.id"}, posture=Posture.Proactive, threshold=1,
            within=datetime.timedelta(seconds=SILENCE),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, name="Crashed", message=SILENT, force=False
            )
        ],
    )  # fmt: skip

    async def put() -> None:
        try:
            known = await Automation.aread(name=name)
        except ValueError:
            await wanted.acreate()
        else:
            wanted.id = known.id
            await wanted.aupdate()

    asyncio.run(put())


def missed(flow: str, schedules: Sequence[Schedule]) -> bool:
    """Whether a flow was due since it began last, and has not begun; never before its first run."""
    before = last(flow)
    if before is None:
        return False
    after = datetime.datetime.fromisoformat(before.started) + datetime.timedelta(seconds=1)
    return any(moment <= now() for moment in due(schedules, after, 1))


def due(
    schedules: Sequence[Schedule], after: datetime.datetime, count: int
) -> list[datetime.datetime]:
    """List when schedules are due from a moment on, each so many times, in order."""
    from prefect.server.schemas.schedules import CronSchedule

    return sorted(
        moment
        for cron, timezone in schedules
        for moment in asyncio.run(
            CronSchedule(cron=cron, timezone=timezone).get_dates(count, after)
        )
    )


def read_deployments(path: Path = DEPLOYMENTS, pool: str = POOL) -> list[dict[str, Any]]:
    """Read the deployments of a work pool.

    Raises:
        ParamsError: There are none.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    every = content.get("deployments", [])
    found = [each for each in every if each.get("work_pool", {}).get("name") == pool]
    if not found:
        raise ParamsError(f"{path} has no deployment for the work pool '{pool}'; restore it.")
    return found


def deployment(entry: dict[str, Any], cron: dict[str, str]) -> RunnerDeployment:
    """Make what Prefect serves of an entry of `prefect.yaml`.

    Args:
        entry: The entry.
        cron: Schedules that replace those of the file, by name of the flow.
    """
    from prefect.client.schemas.objects import ConcurrencyLimitConfig
    from prefect.deployments.runner import RunnerDeployment
    from prefect.schedules import Cron

    schedules = [Cron(each, timezone=zone) for each, zone in schedules_of(entry, cron)]
    given: dict[str, Any] = {key: entry.get(key) for key in ("description", "parameters")}
    given["name"] = f"{entry['name']} of {project_name()}"  # on a server that others use, too
    given["tags"] = [*entry.get("tags", []), project_name()]
    return RunnerDeployment.from_entrypoint(
        entry["entrypoint"], **given, schedules=schedules,
        concurrency_limit=ConcurrencyLimitConfig(**entry["concurrency_limit"]),
    )  # fmt: skip


def schedules_of(entry: dict[str, Any], cron: dict[str, str]) -> list[Schedule]:
    """List an entry's schedules; one that `cron` names for its flow replaces each of them."""
    flow = flow_name(entry)
    given = entry.get("schedules", [{"cron": cron[flow]}] if flow in cron else [])
    return [(cron.get(flow, each["cron"]), each.get("timezone", "UTC")) for each in given]


def flow_name(entry: dict[str, Any]) -> str:
    """Name of the flow that an entry deploys."""
    return str(entry["entrypoint"]).rpartition(":")[2]


def deployments(*, cron: list[str] | None = None, port: int = PREFECT_PORT) -> None:
    """Serve the flows with their schedules until Ctrl-C, with a server of their own if need be.

    What was missed meanwhile is caught up, once. A server that goes away is waited for.

    Args:
        cron: Another schedule for a flow: 'retrain=*/5 * * * *'. May be repeated.
        port: Port of Prefect's page; the next free one, if it is taken.
    """
    entries = read_deployments()
    schedules = _schedules(cron or [], [flow_name(entry) for entry in entries])
    try:
        _serve_on(entries, schedules, port)
    except Exception as error:
        notify(None, f"{project_name()}: nothing runs on schedule", f"make flows ended: {error}")
        raise


def _serve_on(entries: Sequence[dict[str, Any]], schedules: dict[str, str], port: int) -> None:
    """Serve until this is stopped: a team's server is waited for, one of ours is started anew."""
    is_team = "PREFECT_API_URL" in os.environ
    # The processes that runs are started in import this folder's code.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")])
    )
    show("Starting Prefect; the first start takes a minute or two.")
    while True:
        with prefect_server(port) as page:
            show(f"Prefect's page: {page}")
            began = time.monotonic()
            try:
                serve(entries, schedules)
            except (httpx.HTTPError, RuntimeError, ExceptionGroup) as error:
                if time.monotonic() - began < QUICK and answers(f"{page}/api/health"):
                    raise  # the server is there, so waiting for it would help nobody
                _tell_of_outage(page, error)
                while is_team and not answers(f"{page}/api/health"):
                    time.sleep(RETURN_PAUSE)
            else:
                return


def serve(entries: Sequence[dict[str, Any]], schedules: dict[str, str]) -> None:
    """Serve deployments until this is stopped, or the server does not answer any more.

    Raises:
        httpx.HTTPError, RuntimeError, ExceptionGroup: The server does not answer; which of them
            depends on what Prefect was about.
    """
    from prefect.exceptions import TerminationSignal
    from prefect.runner import Runner

    runner = Runner()
    numbers = [runner.add_deployment(deployment(entry, schedules)) for entry in entries]
    try:
        end_silent_runs(project_name())
    except httpx.HTTPStatusError as error:  # a server that has no automations, or not for us
        LOGGER.warning("Runs whose machine is gone are not ended by the server: %s", error)
    for entry, number in zip(entries, numbers, strict=True):
        _catch_up(flow_name(entry), schedules_of(entry, schedules), number)
    _say_when(entries, schedules)
    try:
        asyncio.run(runner.start())
    except (KeyboardInterrupt, TerminationSignal):
        show("Stopping.")
    finally:
        SERVED.unlink(missing_ok=True)
        renew_page()


def _say_when(entries: Sequence[dict[str, Any]], schedules: dict[str, str]) -> None:
    """Note when flows are due, for a page of operations that is written without Prefect."""
    coming = {
        flow_name(entry): due(schedules_of(entry, schedules), now(), DUE_KNOWN) for entry in entries
    }
    note_served(
        {
            flow: [m.astimezone(datetime.UTC).isoformat(timespec="seconds") for m in moments]
            for flow, moments in coming.items()
        }
    )
    renew_page()


def _catch_up(flow: str, schedules: Sequence[Schedule], number: Any) -> None:
    """Start a run now, if its schedule was missed or its work was cut short."""
    from prefect.deployments import run_deployment

    cut = flow == "retrain" and is_unfinished()
    if cut or missed(flow, schedules):
        show(f"{flow} {'was cut short' if cut else 'was missed'}; it runs now.")
        run_deployment(number, timeout=0, as_subflow=False)


def _tell_of_outage(page: str, error: Exception) -> None:
    LOGGER.warning(
        "Prefect's server at %s does not answer (%s). What was running has saved its state; all "
        "goes on when the server is back.", page, error,
    )  # fmt: skip
    notify(
        None, f"{project_name()}: Prefect is away",
        f"The server at {page} does not answer; nothing runs on schedule until it does.",
    )  # fmt: skip


def _schedules(given: list[str], known: list[str]) -> dict[str, str]:
    found = dict(each.partition("=")[::2] for each in given)
    strangers = sorted(set(found) - set(known))
    if strangers or not all(found.values()):
        raise ParamsError(f"--cron {given} is not FLOW=SCHEDULE with a flow of {sorted(known)}.")
    return found
