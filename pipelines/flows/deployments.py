"""`make flows`: the deployments of `prefect.yaml`, served from this machine on schedule."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer
import yaml

from pasam.errors import ParamsError, PasamError, TransientError
from pipelines.flows.servers import PREFECT_PORT, prefect_server
from pipelines.stage_runner import terminate_like_ctrl_c

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

DEPLOYMENTS = Path("prefect.yaml")
POOL = "here"
"""Name of the work pool whose deployments need nothing but this machine."""


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
    return RunnerDeployment.from_entrypoint(
        entry["entrypoint"],
        name=entry["name"],
        description=entry.get("description"),
        tags=entry.get("tags"),
        parameters=entry.get("parameters"),
        schedules=schedules,
        concurrency_limit=ConcurrencyLimitConfig(**entry["concurrency_limit"]),
    )


def flow_name(entry: dict[str, Any]) -> str:
    """Name of the flow that an entry deploys."""
    return str(entry["entrypoint"]).rpartition(":")[2]


def main(
    cron: Annotated[
        list[str] | None,
        typer.Option(help="Another schedule for a flow: 'retrain=*/5 * * * *'. May be repeated."),
    ] = None,
    port: Annotated[int, typer.Option(help="Port of Prefect's page.")] = PREFECT_PORT,
) -> None:
    """Serve the flows with their schedules until Ctrl-C, with a server of their own if need be.

    Example: python -m pipelines.flows.deployments --cron 'retrain=0 * * * *'
    """
    terminate_like_ctrl_c()
    try:
        entries = read_deployments()
        schedules = _schedules(cron or [], [flow_name(entry) for entry in entries])
        typer.echo("Starting Prefect; the first start takes a minute or two.")
        with prefect_server(port) as page:
            os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), *_python_path()])
            from prefect import serve

            typer.echo(f"Prefect's page: {page}")
            try:
                serve(*[deployment(entry, schedules) for entry in entries])
            except httpx.TransportError as error:
                raise TransientError(
                    f"Prefect's server at {page} does not answer any more ({error}), so nothing "
                    "is started on schedule. What was running was stopped with its state saved. "
                    "Start this again: the next run goes on from there."
                ) from None
    except PasamError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        return


def _schedules(given: list[str], known: list[str]) -> dict[str, str]:
    found = dict(each.partition("=")[::2] for each in given)
    strangers = sorted(set(found) - set(known))
    if strangers or not all(found.values()):
        raise ParamsError(f"--cron {given} is not FLOW=SCHEDULE with a flow of {sorted(known)}.")
    return found


def _python_path() -> list[str]:
    return [place for place in [os.environ.get("PYTHONPATH", "")] if place]


if __name__ == "__main__":
    typer.run(main)
