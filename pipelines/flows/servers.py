"""Prefect's and MLflow's servers on this machine: loopback only."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import urllib3

from pasam.errors import StageError
from pipelines.flows.workspace import STATE
from pipelines.process import GRACE, end_group, guarded

# --- left_behind: Runs that a server left behind when it died: ended, so that they hold up no
# run after them.

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


# --- local_server: Prefect's own server on this machine, for `make flows` and `make ui`:
# loopback only.

HOST = "127.0.0.1"
PREFECT_PORT = 4200
START_LIMIT = 180.0
"""Seconds; a first start makes the database, which takes its time on a busy machine."""


def use_own_settings() -> None:
    """Let Prefect keep its files in the project, and both servers send nothing to anybody.

    Whatever the environment says already stays. Call it before Prefect is imported.
    """
    ours = {
        "PREFECT_HOME": str((STATE / "prefect").resolve()),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": f"{START_LIMIT:g}",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Eight processes and a gigabyte, for jobs with language models.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    for name, value in ours.items():
        os.environ.setdefault(name, value)


@contextmanager
def prefect_server(port: int = PREFECT_PORT) -> Iterator[str]:
    """Use the Prefect server that answers already, or run one for as long as this lasts.

    Args:
        port: Where, unless `PREFECT_API_URL` names a server.

    Yields:
        The address of its page.

    Raises:
        StageError: It did not start.
    """
    use_own_settings()
    api = os.environ.setdefault("PREFECT_API_URL", f"http://{HOST}:{port}/api")
    page = api.removesuffix("/api")
    if answers(f"{api}/health"):
        yield page
        return
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST]
    with service([*command, "--port", str(port)], "prefect", f"{api}/health"):
        end_left_behind()
        yield page


@contextmanager
def service(command: Sequence[str], name: str, health: str) -> Iterator[None]:
    """Run a server until the end of the block.

    Args:
        command: What starts it.
        name: Its name, for its log and in errors.
        health: An address that answers once it is ready.

    Raises:
        StageError: It ended at once, or did not answer in time.
    """
    log = STATE / "logs" / f"{name}.server"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us: flows that end must still reach it
        )  # fmt: skip
    with guarded(process.pid, GRACE):
        try:
            _wait_until_ready(process, name, health, log)
            yield
        finally:
            end_group(process, GRACE)


def _wait_until_ready(process: subprocess.Popen[bytes], name: str, health: str, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT
    while not answers(health):
        if process.poll() is not None or time.monotonic() > deadline:
            ended = (
                "ended" if process.poll() is not None else f"did not answer in {START_LIMIT:g} s"
            )
            raise StageError(
                f"the server of {name} {ended}; it was expected to answer at {health}. Another "
                f"program may use its port. Its log: {log}"
            )
        time.sleep(0.5)


def answers(address: str) -> bool:
    """Say whether an HTTP server answers well there."""
    try:
        return urllib3.request("GET", address, timeout=5.0, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False
