"""Prefect's and MLflow's servers on this machine: schedules (`make flows`), pages (`make ui`).

Both listen to this machine only and send nothing to anybody.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import urllib3
import yaml

from pasam.errors import ParamsError, StageError, TransientError
from pasam.registry.store import EXPERIMENT, TRAININGS, addresses
from pipelines.dvc import STATE
from pipelines.process import GRACE, end_group, guarded

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

HOST = "127.0.0.1"
PREFECT_PORT = 4200
MLFLOW_PORT = 5000
START_LIMIT = 180.0
"""Seconds; a first start makes the database, which takes its time on a busy machine."""

DEPLOYMENTS = Path("prefect.yaml")
POOL = "here"
"""Name of the work pool whose deployments need nothing but this machine."""

ENDED = "The server ended while this ran; the next run goes on from there."


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
        end_stale_runs()
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
        has_ended = process.poll() is not None
        if has_ended or time.monotonic() > deadline:
            what = "ended" if has_ended else f"did not answer in {START_LIMIT:g} s"
            raise StageError(
                f"the server of {name} {what}; it was expected to answer at {health}. Another "
                f"program may use its port. Its log: {log}"
            )
        time.sleep(0.5)


def answers(address: str) -> bool:
    """Say whether an HTTP server answers well there."""
    try:
        return urllib3.request("GET", address, timeout=5.0, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def end_stale_runs() -> int:
    """End every run that a server which has only just started takes for running.

    Nothing can be at it, and its place in the deployment's concurrency limit would stay taken.

    Returns:
        How many there were.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType
    from prefect.states import Cancelled, Crashed

    kinds = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    state = filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=kinds))
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=filters.FlowRunFilter(state=state))
        for run in runs:
            ended = Cancelled if run.state_type == StateType.CANCELLING else Crashed
            client.set_flow_run_state(run.id, ended(message=ENDED))
    return len(runs)


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

    flow = flow_name(entry)
    schedules = [
        Cron(cron.get(flow, each["cron"]), timezone=each.get("timezone"))
        for each in entry.get("schedules", [{"cron": cron[flow]}] if flow in cron else [])
    ]
    given: dict[str, Any] = {
        key: entry.get(key) for key in ("name", "description", "tags", "parameters")
    }
    return RunnerDeployment.from_entrypoint(
        entry["entrypoint"], **given, schedules=schedules,
        concurrency_limit=ConcurrencyLimitConfig(**entry["concurrency_limit"]),
    )  # fmt: skip


def flow_name(entry: dict[str, Any]) -> str:
    """Name of the flow that an entry deploys."""
    return str(entry["entrypoint"]).rpartition(":")[2]


def deployments(*, cron: list[str] | None = None, port: int = PREFECT_PORT) -> None:
    """Serve the flows with their schedules until Ctrl-C, with a server of their own if need be.

    Args:
        cron: Another schedule for a flow: 'retrain=*/5 * * * *'. May be repeated.
        port: Port of Prefect's page.
    """
    entries = read_deployments()
    schedules = _schedules(cron or [], [flow_name(entry) for entry in entries])
    _show("Starting Prefect; the first start takes a minute or two.")
    with prefect_server(port) as page:
        # The processes that runs are started in import this folder's code.
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")])
        )
        from prefect import serve

        _show(f"Prefect's page: {page}")
        try:
            serve(*[deployment(entry, schedules) for entry in entries])
        except httpx.TransportError as error:
            raise TransientError(
                f"Prefect's server at {page} does not answer any more ({error}), so nothing "
                "is started on schedule. What was running was stopped with its state saved. "
                "Start this again: the next run goes on from there."
            ) from None


def _schedules(given: list[str], known: list[str]) -> dict[str, str]:
    found = dict(each.partition("=")[::2] for each in given)
    strangers = sorted(set(found) - set(known))
    if strangers or not all(found.values()):
        raise ParamsError(f"--cron {given} is not FLOW=SCHEDULE with a flow of {sorted(known)}.")
    return found


def ui(*, prefect_port: int = PREFECT_PORT, mlflow_port: int = MLFLOW_PORT) -> None:
    """Show Prefect's and MLflow's pages until Ctrl-C or SIGTERM.

    Args:
        prefect_port: Port of Prefect's page.
        mlflow_port: Port of MLflow's page.
    """
    _show("Starting the pages; the first start takes a minute or two.")
    with prefect_server(prefect_port) as page:
        _show(f"Prefect's page: {page}")
        _show_mlflow(mlflow_port)


def _show_mlflow(port: int) -> None:
    tracking, registry = addresses(Path())
    if tracking.startswith("http"):
        _show(f"MLflow's page:  {runs_page(tracking)}")
        signal.pause()
    page = f"http://{HOST}:{port}"
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port),
        "--backend-store-uri", tracking, "--registry-store-uri", registry,
        # With several, a supervisor kills each that takes its time to start on a busy machine.
        "--workers", "1",
    ]  # fmt: skip
    if answers(f"{page}/health"):
        _show(f"MLflow's page:  {runs_page(page)} (it was there already)")
        signal.pause()
    with service(command, "mlflow", f"{page}/health"):
        _show(f"MLflow's page:  {runs_page(page)}")
        signal.pause()


def runs_page(server: str) -> str:
    """Return the address of our runs, if there are any: MLflow's front page is of chat programs."""
    place = f"{server}/api/2.0/mlflow/experiments/get-by-name"
    try:
        answer = urllib3.request(
            "GET", place, fields={"experiment_name": EXPERIMENT}, timeout=10.0, retries=False
        )
    except urllib3.exceptions.HTTPError:
        return server
    if answer.status != 200:
        return server
    number = answer.json()["experiment"]["experiment_id"]
    return f"{server}/#/experiments/{number}/runs?{TRAININGS}"


def _show(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
