"""The commands `pasam data quarantine` and `accept`: what a person decides about the data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

review_app = typer.Typer()

Census = Annotated[Path, typer.Option(help="What `dvc repro prepare` found.")]


@review_app.command("quarantine")
def data_quarantine(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Images or masks; none takes all that the last run found unfit."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why the named files are left out.")] = "",
    table: Annotated[Path, typer.Option("--quarantine", help="The table to add to.")] = Path(
        "data/quarantine.csv"
    ),
    census: Census = Path("data/census.parquet"),
) -> None:
    """Leave files out of training and benchmarks, with the reason; review and commit the table.

    Example: pasam data quarantine data/own/train/cats/gt/tom.png --reason "the wrong cat"
    """
    from pasam.data.census import read_census
    from pasam.data.quarantine import read_quarantine, write_quarantine
    from pasam.data.setting_aside import set_aside

    after, new = set_aside(read_quarantine(table), files or [], reason, read_census(census))
    if not new:
        typer.echo(f"Nothing to add: {table} stays as it is.")
        return
    write_quarantine(table, after)
    for entry in new:
        typer.echo(f"{entry.file}: {entry.reason}")
    count = "1 file is" if len(new) == 1 else f"{len(new)} files are"
    typer.echo(
        f"{count} in {table} now. Look at them, commit it, and run `dvc repro`. To bring one back, "
        "repair the file or remove its row."
    )


@review_app.command("accept")
def data_accept(
    accepted: Annotated[Path, typer.Option(help="The accepted data version.")] = Path(
        "data/accepted.json"
    ),
    census: Census = Path("data/census.parquet"),
) -> None:
    """Accept the present data: later versions are compared with it for drift. Commit the file.

    Example: pasam data accept
    """
    from pasam.data.census import fit_rows, read_census
    from pasam.validation.accepted import accepted_text, write_accepted
    from pasam.validation.duplicates import images_of

    fit = fit_rows(read_census(census))
    write_accepted(accepted, accepted_text(fit, images_of(fit)))
    for row in fit.value_counts(["split", "dataset"], sort=False).reset_index().to_dict("records"):
        typer.echo(f"{row['split']} {row['dataset']}: {row['count']} masks")
    typer.echo(f"{accepted} holds this version now. Commit it.")
