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
from prefect.flows import Flow
from prefect.states import Completed

from pipelines.flows import reproduce as reproduce_flows
from pipelines.flows import retrain as retrain_flows
from pipelines.flows import studies
from pipelines.flows.engine import Outcome, is_too_late, notify


def notify_of_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Notify whom the run's parameters name."""
    address = flow_run.parameters.get("notify")
    notify(address, f"{flow.name} failed", state.message or "It says no more.")


def run_name() -> str:
    """Name a run by its flow and by when it was due, rather than by two words that say nothing."""
    due = runtime.flow_run.scheduled_start_time
    return f"{runtime.flow_run.flow_name} {due:%Y-%m-%d %H:%M} UTC"


def prefect_flow(function: Callable[..., Outcome]) -> Flow[..., Any]:
    """Make a Prefect flow of a flow's function, with its parameters and its words."""

    @functools.wraps(function)
    def run(**parameters: Any) -> State[Any]:
        if is_too_late(runtime.flow_run.scheduled_start_time, datetime.datetime.now(datetime.UTC)):
            message = "It came too late; the next one on schedule does the same."
            return Completed(name="Skipped", message=message)
        outcome = function(**parameters)
        return Completed(name=outcome.name.capitalize(), message=outcome.message)

    # Prefect would look for the names of the types in this file.
    run.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
    run.__annotations__ = typing.get_type_hints(function)
    return flow(
        name=function.__name__,
        flow_run_name=run_name,
        on_failure=[notify_of_failure],
        on_crashed=[notify_of_failure],
        persist_result=False,
    )(run)


reproduce = prefect_flow(reproduce_flows.reproduce)
retrain = prefect_flow(retrain_flows.retrain)
ablate = prefect_flow(studies.ablate)
promote = prefect_flow(retrain_flows.promote)
nightly = prefect_flow(retrain_flows.nightly)
