"""The commands `pasam backup`, `restore`, `clean` and `data remove`: a project over months."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from pasam.cli.data import Own, complete_own_set, own_folder
from pasam.cli.options import AsJson, ChangedParamsFile, Project, print_result
from pasam.config.params_file import DEFAULT_PATH


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
    typer.echo(
        json.dumps(dataclasses.asdict(found), indent=2) if as_json else backups.described(found)
    )


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
    typer.echo(
        json.dumps(dataclasses.asdict(found), indent=2) if as_json else backups.described(found)
    )


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
    content = json.dumps([dataclasses.asdict(each) for each in found], indent=2)
    typer.echo(content if as_json else cleaning.described(found, dry_run=dry_run))


def data_remove(
    name: Annotated[
        str, typer.Argument(help="A set of your own.", autocompletion=complete_own_set)
    ],
    as_json: AsJson = False,
    own: Own = None,
    target: ChangedParamsFile = DEFAULT_PATH,
) -> None:
    """Undo `pasam data add`: remove a set's copies and its name in evaluate.benchmarks.

    Example: pasam data remove cats
    """
    from pasam.data.own_sets import remove

    folder, unlisted = remove(name, own_folder(own, target), target)
    lines = [f"{name} removed: {folder} is gone, the files it was made from are where they were"]
    if unlisted:
        lines.append(f"  {target}: evaluate.benchmarks no longer has {name}")
    tracked = folder.with_name(f"{folder.name}.dvc")
    if tracked.exists():
        lines.append(f"  {tracked} still names it; to forget it there, too: dvc remove {tracked}")
    content = {"name": name, "folder": str(folder), "unlisted": unlisted}
    print_result(content, [*lines, "Next: dvc repro"], as_json=as_json)
