"""Prefect's and MLflow's servers on this machine, and their pages (`make ui`).

Both listen to this machine only and send nothing to anybody. Each project has its own: what another
one runs is left alone.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import urllib3

from pasam.errors import StageError, TransientError
from pasam.files import write_text
from pasam.registry.store import (
    EXPERIMENT,
    TRAININGS,
    addresses,
    artifacts_folder,
    without_password,
)
from pipelines.dvc import STATE
from pipelines.flows.endings import is_running
from pipelines.flows.engine import LOGGER
from pipelines.process import GRACE, end_group, guarded

HOST = "127.0.0.1"
PREFECT_PORT = 4200
MLFLOW_PORT = 5000
START_LIMIT = 180.0
"""Seconds; a first start makes the database, which takes its time on a busy machine."""

RESTART_PAUSE = 5.0
"""Seconds before a server that has ended is started again."""
HEARTBEAT = 30
"""Seconds between two heartbeats of a run."""

ENDED = "The server ended while this ran; the next run goes on from there."


def use_own_settings() -> None:
    """Let Prefect keep its files in the project, and both servers send nothing to anybody.

    Whatever the environment says already stays. Call it before Prefect is imported.
    """
    ours = {
        "PREFECT_HOME": str((STATE / "prefect").resolve()),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": f"{START_LIMIT:g}",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT),
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Eight processes and a gigabyte, for jobs with language models.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    for name, value in ours.items():
        os.environ.setdefault(name, value)


@contextmanager
def prefect_server(port: int = PREFECT_PORT) -> Iterator[str]:
    """Use the Prefect server that this project has, or run one for as long as this lasts.

    A server that answers at the port and is another project's is left alone: ours takes the next
    port that is free. A server that `PREFECT_API_URL` names is a team's, and is waited for.

    Args:
        port: First port to try, unless `PREFECT_API_URL` names a server.

    Yields:
        The address of its page.

    Raises:
        StageError: It did not start.
        TransientError: The team's server does not answer.
    """
    use_own_settings()
    named = os.environ.get("PREFECT_API_URL")
    if named:
        _wait_for_team(named)
        yield named.removesuffix("/api")
        return
    ours = own_server("prefect")
    number = ours or free_port(port, "Prefect")
    api = f"http://{HOST}:{number}/api"
    os.environ["PREFECT_API_URL"] = api
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST]
    try:
        if ours:
            yield api.removesuffix("/api")
            return
        with service([*command, "--port", str(number)], "prefect", f"{api}/health"):
            end_stale_runs()
            yield api.removesuffix("/api")
    finally:
        os.environ.pop("PREFECT_API_URL", None)  # else it would pass for a team's next time


def _wait_for_team(api: str) -> None:
    deadline = time.monotonic() + START_LIMIT
    while not answers(f"{api}/health"):
        if time.monotonic() > deadline:
            raise TransientError(
                f"the Prefect server that PREFECT_API_URL names, {api}, does not answer. Start it, "
                "correct the address, or unset the variable for a server of this project's own."
            )
        time.sleep(2)


def free_port(first: int, what: str) -> int:
    """Find a port that nobody listens at, from one on.

    Raises:
        StageError: There is none within fifty.
    """
    for port in range(first, first + 50):
        with socket.socket() as place:
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                place.bind((HOST, port))
            except OSError:
                continue
        if port != first:
            show(f"Port {first} is another program's, or another project's; {what} takes {port}.")
        return port
    raise StageError(f"ports {first} to {first + 49} are all taken; name another one for {what}.")


def own_server(name: str) -> int | None:
    """Find the port of a server that another command of this project runs already."""
    try:
        number, created, port = json.loads(_server_file(name).read_text("utf-8"))
        alive = psutil.Process(number).create_time() == created
    except (OSError, ValueError, psutil.Error):
        return None
    return int(port) if alive else None


def _server_file(name: str) -> Path:
    return STATE / f"{name}.server.json"


@contextmanager
def service(command: Sequence[str], name: str, health: str) -> Iterator[None]:
    """Run a server until the end of the block, and again whenever it ends before.

    Args:
        command: What starts it.
        name: Its name, for its log and in errors.
        health: An address that answers once it is ready.

    Raises:
        StageError: It ended at once, or did not answer in time.
    """
    log = STATE / "logs" / f"{name}.server"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    over, has_ended = threading.Event(), threading.Event()

    def keep_up() -> None:
        while not over.is_set():
            with _process(command, name, health, log) as process:
                while process.poll() is None and not over.wait(0.2):
                    pass
            if not over.is_set():
                has_ended.set()
                LOGGER.warning("The server of %s has ended; starting it again.", name)
                over.wait(RESTART_PAUSE)

    keeper = threading.Thread(target=keep_up)
    keeper.start()
    try:
        _wait_until_ready(has_ended, name, health, log)
        yield
    finally:
        over.set()
        keeper.join()


@contextmanager
def _process(
    command: Sequence[str], name: str, health: str, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server's process, and say in a file whose it is and where it listens."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us: flows that end must still reach it
        )  # fmt: skip
    with guarded(process.pid, GRACE):
        try:
            with suppress(psutil.Error):  # it has ended at once
                facts = [
                    process.pid,
                    psutil.Process(process.pid).create_time(),
                    urlsplit(health).port,
                ]
                write_text(_server_file(name), json.dumps(facts))
            yield process
        finally:
            end_group(process, GRACE)


def _wait_until_ready(has_ended: threading.Event, name: str, health: str, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT
    while not answers(health):
        if has_ended.is_set() or time.monotonic() > deadline:
            what = "ended" if has_ended.is_set() else f"did not answer in {START_LIMIT:g} s"
            raise StageError(
                f"the server of {name} {what}; it was expected to answer at {health}. Another "
                f"program may use its port. Its log: {log}"
            )
        time.sleep(0.5)


def answers(address: str) -> bool:
    """Say whether an HTTP server answers well there."""
    try:
        # A pool of its own: a connection kept from the question before may be closed by now.
        answer = urllib3.PoolManager().request("GET", address, timeout=5.0, retries=False)
    except urllib3.exceptions.HTTPError:
        return False
    return answer.status == 200


def end_stale_runs() -> int:
    """End every run that our server, which has only just started, takes for running and is not.

    Its place in the deployment's concurrency limit would stay taken. A run whose process outlived
    the server before goes on.

    Returns:
        How many were ended.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType
    from prefect.states import Cancelled, Crashed

    kinds = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    state = filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=kinds))
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_run_filter=filters.FlowRunFilter(state=state))
        runs = [run for run in found if not is_running(str(run.id))]
        for run in runs:
            ended = Cancelled if run.state_type == StateType.CANCELLING else Crashed
            client.set_flow_run_state(run.id, ended(message=ENDED))
    return len(runs)


def ui(*, prefect_port: int = PREFECT_PORT, mlflow_port: int = MLFLOW_PORT) -> None:
    """Show Prefect's and MLflow's pages until Ctrl-C or SIGTERM.

    Args:
        prefect_port: Port of Prefect's page; the next free one, if it is taken.
        mlflow_port: Port of MLflow's page; the next free one, if it is taken.
    """
    show("Starting the pages; the first start takes a minute or two.")
    with prefect_server(prefect_port) as page:
        show(f"Prefect's page: {page}")
        _show_mlflow(mlflow_port)


def _show_mlflow(port: int) -> None:
    tracking, registry = addresses(Path())
    if tracking.startswith("http"):
        show(f"MLflow's page:  {runs_page(tracking)}")
        signal.pause()
    ours = own_server("mlflow")
    port = ours or free_port(port, "MLflow")
    page = f"http://{HOST}:{port}"
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port),
        "--backend-store-uri", tracking, "--registry-store-uri", registry,
        # Where it looks up the addresses of artifacts, which name no folder.
        "--artifacts-destination", str(artifacts_folder(tracking)),
        # With several, a supervisor kills each that takes its time to start on a busy machine.
        "--workers", "1",
    ]  # fmt: skip
    if ours:
        show(f"MLflow's page:  {runs_page(page)} (it was there already)")
        signal.pause()
    with service(command, "mlflow", f"{page}/health"):
        show(f"MLflow's page:  {runs_page(page)}")
        signal.pause()


def runs_page(server: str) -> str:
    """Return the address of our runs, if there are any: MLflow's front page is of chat programs."""
    page = without_password(server)
    place = f"{server}/api/2.0/mlflow/experiments/get-by-name"
    try:
        answer = urllib3.PoolManager().request(
            "GET", place, fields={"experiment_name": EXPERIMENT}, timeout=10.0, retries=False
        )
    except urllib3.exceptions.HTTPError:
        return page
    if answer.status != 200:
        return page
    number = answer.json()["experiment"]["experiment_id"]
    return f"{page}/#/experiments/{number}/runs?{TRAININGS}"


def show(line: str) -> None:
    """Print a line at once, also where the output is a file."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
