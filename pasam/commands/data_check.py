"""The command `pasam data check`: what is really in a set, and what is wrong with it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from pasam.catalogue.catalogue_file import read_catalogue
from pasam.commands.data_add import WORKERS, AsJson, Own, ParamsFile, Workers
from pasam.errors import DataError
from pasam.params import DataParams
from pasam.params_file import DEFAULT_PATH, load_section

if TYPE_CHECKING:
    from pasam.data.folder import Pair
    from pasam.intake.findings import Findings, SetFinding

SHOWN = 20


def data_check(
    what: Annotated[
        str | None,
        typer.Argument(help="A folder, a set of your own, or a fetched set; all of them if none."),
    ] = None,
    as_json: AsJson = False,
    own: Own = None,
    root: Annotated[Path, typer.Option(help="Folder of the fetched sets.")] = Path(
        "data/catalogue"
    ),
    lock: Annotated[Path, typer.Option(help="Checksums that nobody publishes.")] = Path(
        "catalogue.lock"
    ),
    workers: Workers = WORKERS,
    params_file: ParamsFile = DEFAULT_PATH,
) -> None:
    """Read images and masks as the pipeline would, and say what is there and what is wrong.

    Example: pasam data check cats
    """
    from pasam.intake.findings import survey

    pairs, faults, warnings = _pairs_to_check(what, own, root, lock, params_file)
    findings = survey(pairs, workers=workers, faults=faults, warnings=warnings)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(findings), indent=2))
    else:
        _print(findings)
    if findings.faults:
        raise typer.Exit(2)


def _pairs_to_check(
    what: str | None, own: Path | None, root: Path, lock: Path, params_file: Path
) -> tuple[tuple[Pair, ...], tuple[str, ...], tuple[str, ...]]:
    """Find the pairs that an argument means, with what is wrong and what is odd about them."""
    from pasam.data.folder import find_pairs
    from pasam.intake.public_pairs import public_pairs

    if what is not None and Path(what).is_dir():
        pairs, faults = find_pairs(Path(what))
        return pairs, tuple(fault.message for fault in faults), ()
    catalogue = read_catalogue()
    if what is not None and (what in catalogue.entries or what in catalogue.groups):
        pairs, odd = public_pairs([what], root, lock)
        return pairs, (), odd
    data = load_section(DataParams, "data", params_file)
    folder = own or Path(data.own)
    pairs, faults = find_pairs(folder)
    if what is None:
        public, odd = public_pairs(data.catalogue, root, lock)
        return (*pairs, *public), tuple(fault.message for fault in faults), odd
    chosen = tuple(pair for pair in pairs if pair.dataset == what)
    if not chosen:
        known = sorted({pair.dataset for pair in pairs})
        raise DataError(
            f"'{what}' is no folder, no set of the catalogue, and none of {folder}, which holds "
            f"{known}."
        )
    return chosen, (), ()


def _print(findings: Findings) -> None:
    """Show what was found, as a table and two lists."""
    table = Table("Set", "Split", "Images", "Masks", "Pixels", "Area", "Masks are", box=None)
    for found in findings.sets:
        table.add_row(
            found.dataset,
            found.split,
            f"{found.images:,}",
            f"{found.masks:,}",
            " to ".join(f"{width} x {height}" for width, height in _apart(found)),
            " / ".join(f"{share:.1%}" for share in found.area),
            ", ".join(f"{count} {kind}" for kind, count in found.kinds.items()),
        )
    console = Console(highlight=False)
    console.print(table)
    for title, lines in (("warnings", findings.warnings), ("faults", findings.faults)):
        if lines:
            typer.echo(f"\n{len(lines)} {title}")
            for line in lines[:SHOWN]:
                typer.echo(f"- {line}")
            if len(lines) > SHOWN:
                typer.echo(f"- and {len(lines) - SHOWN} more (all of them: --json)")
    if not findings.faults:
        typer.echo("\nNothing is wrong: `dvc repro` can use it.")


def _apart(found: SetFinding) -> list[tuple[int, int]]:
    return list(dict.fromkeys((found.smallest, found.largest)))
