"""The commands `pasam track`: MLflow's record of what the stages did."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

track_app = typer.Typer(no_args_is_help=True, help="Record results in MLflow, or look at them.")

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Root = Annotated[Path, typer.Option("--project", help="The project's root.")]


@track_app.command("sync")
def track_sync(
    flow_run: Annotated[str | None, typer.Option(help="Prefect run to name.")] = None,
    as_json: AsJson = False,
    project: Root = Path(),
) -> None:
    """Record the stages of dvc.lock that are not recorded yet; run it as often as you like.

    After an outage it completes what is missing.

    Example: pasam track sync
    """
    from pasam.registry.runs import sync

    synced = sync(project, flow_run=flow_run)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(synced), indent=2))
        return
    new, all_ = len(synced.new), len(synced.runs)
    typer.echo(f"{new} recorded now, {all_ - new} before, in {synced.address}")
    for stage in synced.new:
        typer.echo(f"  new      {stage}")
    for stage, reason in synced.missing.items():
        typer.echo(f"  missing  {stage}: {reason}; run `dvc repro` or `dvc checkout`")


@track_app.command("show")
def track_show(
    as_json: AsJson = False,
    project: Root = Path(),
) -> None:
    """Show the runs of the stages in dvc.lock, and where the pages are.

    Example: pasam track show --json
    """
    from pasam.registry.runs import overview

    rows = overview(project)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
        return
    width = max((len(row.stage) for row in rows), default=0)
    for row in rows:
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in row.headline.items())
        typer.echo(f"{row.stage:<{width}}  {row.run or 'not recorded':<32}  {numbers}".rstrip())
    if any(row.run is None for row in rows):
        typer.echo("Record what is missing with `pasam track sync`.")
