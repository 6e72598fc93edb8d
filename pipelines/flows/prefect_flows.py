"""The flows as Prefect knows them; what `prefect.yaml` names."""

from __future__ import annotations

import datetime
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

from prefect import flow, runtime
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.flows import Flow
from prefect.states import Completed

from pipelines.flows import endings, operations, studies
from pipelines.flows import fan_out as fan_out_flows
from pipelines.flows import reproduce as reproduce_flows
from pipelines.flows import retrain as retrain_flows
from pipelines.flows.engine import Outcome, log

SCHEDULED = "auto-scheduled"
"""Prefect's tag of runs that no person asked for."""
AGAIN = datetime.timedelta(hours=1)
"""When a run that a server which is away has cut short is followed by another."""


def follow_cut_run(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Keep and tell how a run ended whose own process could not: it was killed, or cancelled."""
    name = endings.CANCELLED if state.is_cancelled() else endings.CRASHED
    outcome = Outcome(name, state.message or "It says no more.")
    started = flow_run.start_time or endings.now()
    address = flow_run.parameters.get("notify")
    operations.end(flow.name, outcome, started, address, str(flow_run.id))
    endings.running_file(str(flow_run.id)).unlink(missing_ok=True)


def run_name() -> str:
    """Name a run by its project, its flow and when it was due, not by words that say nothing."""
    due = runtime.flow_run.scheduled_start_time
    return f"{endings.project_name()} {runtime.flow_run.flow_name} {due:%Y-%m-%d %H:%M} UTC"


def is_superfluous(flow: str, due: datetime.datetime | None) -> bool:
    """Whether a run of the flow has begun since this one was due, and done what it would do.

    A late run is no reason to skip it: a machine that slept on Sunday trains on Monday, once.
    """
    before = endings.last(flow, succeeded=True)
    if due is None or before is None:
        return False
    return datetime.datetime.fromisoformat(before.started) > due + datetime.timedelta(seconds=60)


def prefect_flow(function: Callable[..., Outcome]) -> Flow[..., Any]:
    """Make a Prefect flow of a flow's function, with its parameters and its words."""

    @functools.wraps(function)
    def run(**parameters: Any) -> State[Any]:
        by_schedule = SCHEDULED in runtime.flow_run.tags
        due = runtime.flow_run.scheduled_start_time
        if by_schedule and is_superfluous(function.__name__, due):
            message = "It came late, and a run that began after it was due has done its work."
            return Completed(name=endings.SKIPPED.capitalize(), message=message)
        number = str(runtime.flow_run.id)
        endings.note_running(number)
        try:
            outcome = operations.followed(function, parameters)
        finally:
            endings.running_file(number).unlink(missing_ok=True)
        if outcome.name == endings.POSTPONED:
            _run_again()
        return Completed(name=outcome.name.capitalize(), message=outcome.message)

    # Prefect would look for the names of the types in this file.
    run.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
    run.__annotations__ = typing.get_type_hints(function)
    return flow(
        name=function.__name__,
        flow_run_name=run_name,
        on_crashed=[follow_cut_run],
        on_cancellation=[follow_cut_run],
        persist_result=False,
    )(run)


def _run_again() -> None:
    """Have another run of the same deployment in an hour; without one, the schedule's has to do."""
    number = runtime.deployment.id
    if number is None:
        return
    try:
        run_deployment(number, scheduled_time=endings.now() + AGAIN, timeout=0, as_subflow=False)
    except Exception as error:  # noqa: BLE001  (the server may be the one that is away)
        log(f"The next run is that of the schedule ({type(error).__name__}: {error}).")
    else:
        log(f"Another run follows in {AGAIN}.")


reproduce = prefect_flow(reproduce_flows.reproduce)
retrain = prefect_flow(retrain_flows.retrain)
ablate = prefect_flow(studies.ablate)
promote = prefect_flow(retrain_flows.promote)
nightly = prefect_flow(retrain_flows.nightly)
fan_out = prefect_flow(fan_out_flows.fan_out)
stage_apart = prefect_flow(fan_out_flows.stage_apart)
