"""Runs that a dead server left behind."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from pipelines.flows.servers import MESSAGE, end_left_behind

pytestmark = pytest.mark.slow  # imports Prefect


@pytest.mark.filterwarnings("default")
def test_what_ran_is_crashed_and_what_was_being_cancelled_is_cancelled(monkeypatch):
    import prefect.client.orchestration
    from prefect.client.schemas.objects import StateType

    types = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    runs = [SimpleNamespace(id=uuid.uuid4(), state_type=each) for each in types]
    asked, ended = [], []

    def read(flow_run_filter):
        asked.extend(flow_run_filter.state.type.any_)
        return runs

    @contextmanager
    def client(sync_client):
        yield SimpleNamespace(
            read_flow_runs=read,
            set_flow_run_state=lambda run, state: ended.append((run, state.name, state.message)),
        )

    monkeypatch.setattr(prefect.client.orchestration, "get_client", client)
    assert end_left_behind() == 3
    assert asked == types
    names = ["Crashed", "Crashed", "Cancelled"]
    assert ended == [(run.id, name, MESSAGE) for run, name in zip(runs, names, strict=True)]
