"""`make ui`: Prefect's and MLflow's pages, on this machine only."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
import urllib3

from pasam.errors import PasamError
from pasam.registry.store import EXPERIMENT, TRAININGS, addresses
from pipelines.flows.servers import HOST, PREFECT_PORT, answers, prefect_server, service
from pipelines.stage_runner import terminate_like_ctrl_c

MLFLOW_PORT = 5000


def main(
    prefect_port: Annotated[int, typer.Option(help="Port of Prefect's page.")] = PREFECT_PORT,
    mlflow_port: Annotated[int, typer.Option(help="Port of MLflow's page.")] = MLFLOW_PORT,
) -> None:
    """Show Prefect's and MLflow's pages until Ctrl-C or SIGTERM.

    Example: python -m pipelines.flows.ui --mlflow-port 5001
    """
    terminate_like_ctrl_c()
    typer.echo("Starting the pages; the first start takes a minute or two.")
    try:
        with prefect_server(prefect_port) as page:
            typer.echo(f"Prefect's page: {page}")
            _show_mlflow(mlflow_port)
    except PasamError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        return


def _show_mlflow(port: int) -> None:
    tracking, registry = addresses(Path())
    if tracking.startswith("http"):
        typer.echo(f"MLflow's page:  {runs_page(tracking)}")
        signal.pause()
    page = f"http://{HOST}:{port}"
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port),
        "--backend-store-uri", tracking, "--registry-store-uri", registry,
        # With several, a supervisor kills each that takes its time to start on a busy machine.
        "--workers", "1",
    ]  # fmt: skip
    if answers(f"{page}/health"):
        typer.echo(f"MLflow's page:  {runs_page(page)} (it was there already)")
        signal.pause()
    with service(command, "mlflow", f"{page}/health"):
        typer.echo(f"MLflow's page:  {runs_page(page)}")
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


if __name__ == "__main__":
    typer.run(main)
