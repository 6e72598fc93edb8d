"""Tasks without Prefect: plain calls, with the rule for trying again."""

from __future__ import annotations

import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest

from pasam.errors import DataError, TransientError
from pipelines.flows import engine
from pipelines.flows.engine import flow_run_id, in_flow_run, say, task


@pytest.fixture
def slept(monkeypatch):
    """Seconds that were waited, without waiting."""
    waits = []
    monkeypatch.setattr(engine, "time", SimpleNamespace(sleep=waits.append))
    return waits


def failing(times, error):
    """A task that fails some times before it returns how often it was called."""
    calls = []

    @task("count {word}", delays=(1, 10))
    def count(word):
        calls.append(word)
        if len(calls) <= times:
            raise error
        return len(calls)

    return count


def test_a_task_is_called_like_its_function(slept):
    @task("add {left}")
    def add(left, right=1):
        """Add."""
        return left + right

    assert add(1) == 2
    assert add(1, right=5) == 6
    assert add.__doc__ == "Add."
    assert slept == []


@pytest.mark.parametrize("times", [1, 2])
def test_a_passing_fault_is_tried_again_after_each_delay(times, slept):
    assert failing(times, TransientError("busy"))("x") == times + 1
    assert slept == [1, 10][:times]


def test_the_last_try_says_what_went_wrong(slept):
    with pytest.raises(TransientError, match="busy"):
        failing(3, TransientError("busy"))("x")
    assert slept == [1, 10]


@pytest.mark.parametrize("error", [DataError("bad mask"), ValueError("a bug")])
def test_nothing_else_is_tried_again(error, slept):
    with pytest.raises(type(error)):
        failing(1, error)("x")
    assert slept == []


def test_without_prefect_there_is_no_flow_run():
    assert not in_flow_run()
    assert flow_run_id() is None


def test_what_is_said_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="pipelines.flows"):
        say("100 % done")
    assert caplog.messages == ["100 % done"]


@pytest.mark.parametrize("name", ["reproduce", "retrain", "ablate", "promote", "nightly"])
def test_a_flow_and_its_help_load_nothing_heavy(name, root):
    code = (
        f"import sys, pipelines.flows.{name}, pipelines.flows.command_line; "
        "print({'prefect', 'mlflow', 'torch', 'pandas', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout == "set()\n"
