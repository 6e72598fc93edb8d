"""Options of several of the commands `pasam data`, and the names of sets for the shell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pasam.config.params_file import DEFAULT_PATH, load_section
from pasam.errors import PasamError

if TYPE_CHECKING:
    from pasam.config.schema import DataParams

WORKERS = min(4, os.cpu_count() or 1)
CHECKSUMS = Path("catalogue.lock")

Fetches = Annotated[Path, typer.Option(help="Folder of the fetched sets.")]
Checksums = Annotated[Path, typer.Option(help="Checksums that nobody publishes; commit it.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes.")]
Own = Annotated[Path | None, typer.Option(help="Folder of your own data; by default data.own.")]


def complete_set(incomplete: str) -> list[str]:
    """Name the public sets, groups and own sets that begin with what was typed."""
    from pasam.data.catalogue import read_catalogue

    catalogue = read_catalogue()
    known = [*catalogue.entries, *catalogue.groups, *complete_own_set("")]
    return [name for name in dict.fromkeys(known) if name.startswith(incomplete)]


def complete_own_set(incomplete: str) -> list[str]:
    """Name the sets in the project's `data.own` that begin with what was typed."""
    try:
        own = Path(data_params(DEFAULT_PATH).own)
    except PasamError:  # not in a project
        return []
    from pasam.data.pairing import registered_sets

    return [each.name for each in registered_sets(own) if each.name.startswith(incomplete)]


def data_params(params_file: Path) -> DataParams:
    """Read the section `data`."""
    from pasam.config.schema import DataParams

    return load_section(DataParams, "data", params_file)


def own_folder(own: Path | None, params_file: Path) -> Path:
    """Say where one's own sets are: as the option says, or else `data.own`."""
    return own or Path(data_params(params_file).own)
