"""The commands `pasam backup`, `restore`, `clean` and `verify-cache`: a project over months."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from pasam.cli.options import AsJson, Project, print_result
from pasam.errors import RegistryError


def backup(
    file: Annotated[Path, typer.Argument(help="The backup, a tar file.")],
    as_json: AsJson = False,
    project: Project = Path(),
) -> None:
    """Write one file from which this project comes back: git, the log, MLflow, DVC's cache.

    Every member has a digest, and the file is read again before it counts. What is not in it
    (credentials, inputs that neither git nor DVC keeps) is named.

    Example: pasam backup /mnt/backups/pasam.tar
    """
    from pasam.registry.upkeep import backup as backups

    found = backups.back_up(project, file)
    print_result(dataclasses.asdict(found), backups.described(found), as_json=as_json)


def restore(
    file: Annotated[Path, typer.Argument(help="A backup.")],
    folder: Annotated[Path, typer.Argument(help="The project's new root; it must not exist.")],
    as_json: AsJson = False,
) -> None:
    """Make a project of a backup, in any folder; the champion's files are compared with the log.

    Example: pasam restore /mnt/backups/pasam.tar ~/pasam
    """
    from pasam.registry.upkeep import backup as backups

    found = backups.restore(file, folder)
    print_result(dataclasses.asdict(found), backups.described(found), as_json=as_json)


def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go.")] = False,
    keep: Annotated[int, typer.Option(help="Newest versions to keep besides those in use.")] = 10,
    days: Annotated[float, typer.Option(help="Age from which runs and logs may go.")] = 30,
    as_json: AsJson = False,
    project: Project = Path(),
) -> None:
    """Remove old versions, runs, logs, files of DVC's cache, and what killed processes left.

    Never what a version in use needs: champion, every way back, candidate, with their runs and
    their part of the cache. An MLflow server frees its own disk with `mlflow gc`.

    Example: pasam clean --dry-run
    """
    from pasam.registry.upkeep import cleaning

    found = cleaning.clean(project, keep=keep, days=days, dry_run=dry_run)
    content = [dataclasses.asdict(each) for each in found]
    print_result(content, cleaning.described(found, dry_run=dry_run), as_json=as_json)


def verify_cache(as_json: AsJson = False, project: Project = Path()) -> None:
    """Compare every file in DVC's cache with the digest that it is named by.

    Exit codes: 0 all are whole, 2 some are damaged.

    Example: pasam verify-cache
    """
    from pasam.registry.upkeep.damaged_cache import damaged_cache

    found = list(damaged_cache(project))
    whole = ["Every file in DVC's cache is what its name says."]
    print_result({"damaged": found}, found or whole, as_json=as_json)
    if found:
        raise RegistryError(
            f"{len(found)} files in DVC's cache are damaged. Remove them, and bring them with `dvc "
            "pull` or make them again with `dvc repro --no-run-cache`."
        )
