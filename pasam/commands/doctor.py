"""The command `pasam doctor`: what a run of a given size needs, and what is missing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from pasam.commands.params import complete_size
from pasam.errors import ParamsError
from pasam.params_file import DEFAULT_PATH
from pasam.sizes import FOLDER, known_sizes

if TYPE_CHECKING:
    from pasam.doctor.check import Check
    from pasam.doctor.examine import Diagnosis

CATALOGUE = Path("data/catalogue")
ARCHIVES = Path("data/archives")
CHECKSUMS = Path("catalogue.lock")
EMBEDDINGS = Path("data/embeddings")
LOCK = Path("requirements.lock")

_STYLES = {"ok": "green", "note": "yellow", "missing": "bold red"}


def doctor(
    profile: Annotated[
        str | None,
        typer.Option(
            help="A size: a file in params/. By default, params.yaml as it is.",
            autocompletion=complete_size,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what a run needs and what is missing: environment, hardware, weights and data.

    Example: pasam doctor --profile paper
    """
    from pasam.doctor.examine import examine
    from pasam.doctor.inputs import Places

    places = Places(catalogue=CATALOGUE, archives=ARCHIVES, lock=CHECKSUMS)
    diagnosis = examine(
        _params_file(profile), root=Path(), places=places, embeddings=EMBEDDINGS, lock=LOCK
    )
    if as_json:
        content = {"ready": diagnosis.is_ready, **dataclasses.asdict(diagnosis)}
        typer.echo(json.dumps(content, indent=2))
    else:
        _print(diagnosis)
    if not diagnosis.is_ready:
        raise typer.Exit(2)


def _params_file(profile: str | None) -> Path:
    if profile is None:
        return DEFAULT_PATH
    if profile not in known_sizes():
        raise ParamsError(
            f"there is no size '{profile}' in {FOLDER}/. Known sizes: {known_sizes()}."
        )
    return FOLDER / f"{profile}.yaml"


def _print(diagnosis: Diagnosis) -> None:
    """Show one line per check, and below what there is to do."""
    table = Table.grid("", "", Column(overflow="fold"), padding=(0, 2))
    for check in diagnosis.checks:
        table.add_row(Text(check.state, style=_STYLES[check.state]), check.name, _found(check))
    Console(highlight=False).print(table)
    if diagnosis.is_ready:
        typer.echo(f"\nReady for {diagnosis.params_file}: dvc repro")
    else:
        typer.echo(f"\nNot ready for {diagnosis.params_file}. To do:")
        for remedy in diagnosis.remedies:
            typer.echo(f"  {remedy}")


def _found(check: Check) -> Text:
    """Write what was found, its size and where to get it; of a note, what could be done too."""
    from pasam.doctor.check import gigabytes

    lines = [check.found + (f", {gigabytes(check.size)}" if check.size else "")]
    if check.origin:
        lines.append(f"from {check.origin}")
    if check.remedy and check.state == "note":
        lines.append(check.remedy)
    return Text("\n".join(lines))
