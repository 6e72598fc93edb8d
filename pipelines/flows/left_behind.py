"""Runs that a server left behind when it died: ended, so that they hold up no run after them."""

from __future__ import annotations

MESSAGE = "The server ended while this ran; the next run goes on from there."


def end_left_behind() -> int:
    """End every run that a server which has only just started takes for running.

    Nothing can be at it, and its place in the deployment's concurrency limit would stay taken.

    Returns:
        How many there were.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.states import Cancelled, Crashed

    kinds = FlowRunFilterStateType(
        any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    )
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=kinds))
        )
        for run in runs:
            cancelling = run.state_type == StateType.CANCELLING
            ended = Cancelled if cancelling else Crashed
            client.set_flow_run_state(run.id, ended(message=MESSAGE))
    return len(runs)
