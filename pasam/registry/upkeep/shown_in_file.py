"""What MLflow's own sqlite file shows of the versions, read without MLflow.

Importing MLflow takes some three seconds, and whoever lists versions looks at three tables.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pasam.registry.store import addresses, is_local, sqlite_file
from pasam.registry.versions import ALIASES, NAME, Version, open_registry


class ShownVersions(Protocol):
    """Whatever says what MLflow shows: its client, or its file."""

    def aliases(self) -> dict[str, int]:
        """Return the version that each alias points to."""

    def versions(self, aliases: Mapping[str, int] | None = None) -> list[Version]:
        """List all versions, the newest first; `aliases` if they were asked for already."""


@dataclass(frozen=True, slots=True)
class ShownInFile:
    """What a sqlite file of MLflow's shows; read once, when it is made."""

    found: tuple[Version, ...]
    known: Mapping[str, int]

    def aliases(self) -> dict[str, int]:
        """Return the version that each alias points to."""
        return dict(self.known)

    def versions(self, aliases: Mapping[str, int] | None = None) -> list[Version]:
        """List all versions, the newest first."""
        return list(self.found)


def shown_versions(project: Path) -> ShownVersions:
    """Say what MLflow shows of a project's versions, for whoever only looks.

    A file that is not as expected, such as another MLflow's, is left to MLflow.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    _, address = addresses(project)
    file = sqlite_file(address)
    if is_local(address) and not file.exists():
        return ShownInFile((), {})  # who only looks makes none
    if is_local(address):
        with contextlib.suppress(sqlite3.Error):
            return _read(file)
    return open_registry(project)


_DELETED = "Deleted_Internal"  # MLflow keeps the row of a version that was deleted


def _read(file: Path) -> ShownInFile:
    place = f"{file.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(place, uri=True)) as tables, tables:
        tables.execute("BEGIN")  # all of one moment
        asked = "WHERE name = ? AND workspace = 'default'"
        pointed = tables.execute(
            f"SELECT alias, version FROM registered_model_aliases {asked}", (NAME,)
        ).fetchall()
        rows = tables.execute(
            f"SELECT version, run_id, creation_time FROM model_versions {asked} "
            "AND current_stage IS NOT ? ORDER BY version DESC",
            (NAME, _DELETED),
        ).fetchall()
        tags: dict[int, dict[str, str]] = {number: {} for number, *_ in rows}
        for number, key, value in tables.execute(
            f"SELECT version, key, value FROM model_version_tags {asked}", (NAME,)
        ):
            tags.get(number, {})[key] = value
    aliases = {str(alias): int(number) for alias, number in pointed}
    versions = tuple(
        Version(
            number=number, run_id=run or "", created=created, tags=tags[number],
            aliases=tuple(alias for alias in ALIASES if aliases.get(alias) == number),
        )
        for number, run, created in rows
    )  # fmt: skip
    return ShownInFile(versions, aliases)
