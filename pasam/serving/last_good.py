"""The last good version of each alias, kept on this disk for a start while MLflow is away."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from pasam.data.archives import link_or_copy
from pasam.errors import PasamError
from pasam.files import draft_folder, md5_of, write_json
from pasam.inference.model_files import ModelFiles
from pasam.models.checkpoint import file_digest
from pasam.registry.store import addresses
from pasam.registry.version_files import describe_files

RECORD, LOCK = "last.json", "lock"

_LOG = logging.getLogger(__name__)


def folder_of(project: Path) -> Path:
    """Say where versions of a project's registry are kept: in this account's folder for caches."""
    named = f"{addresses(project)[1]} {project.resolve()}"
    return Path.home() / ".cache" / "pasam" / md5_of(named)[:16]


class LastGood:
    """Keeps the files of versions that have answered, by the name that they were asked for.

    Args:
        folder: Where they are kept; made when the first is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, name: str, files: ModelFiles) -> None:
        """Keep a version's files in the place of the name's last ones; a full disk is only told."""
        made = [path for path in sorted(files.base.parent.iterdir()) if path.is_file()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / LOCK):  # replicas on one machine share the folder
                self._keep(name, files, made)
        except OSError as error:
            _LOG.warning("%s is not kept for a start without MLflow: %s", files.name, error)

    def _keep(self, name: str, files: ModelFiles, made: Sequence[Path]) -> None:
        digests = {path.name: file_digest(path) for path in made}
        place = self.folder / md5_of(json.dumps(digests))[:16]
        if not place.is_dir():
            with draft_folder(place) as draft:
                for path in made:
                    link_or_copy(path, draft / path.name)
        record = {
            "folder": place.name, "files": digests, "name": files.name,
            "scores": {name: dict(values) for name, values in files.scores.items()},
        }  # fmt: skip
        known = self._read() | {name: record}
        write_json(self.folder / RECORD, known)
        used = {each["folder"] for each in known.values()}
        for other in self.folder.iterdir():
            if other.is_dir() and other.name not in used:
                shutil.rmtree(other, ignore_errors=True)

    def get(self, name: str) -> ModelFiles | None:
        """Find the last good files of a name; None where there are none, or their bytes changed."""
        record = self._read().get(name)
        if record is None:
            return None
        place = self.folder / str(record["folder"])
        try:
            found = {path: file_digest(place / path) for path in record["files"]}
            if found != record["files"]:
                _LOG.warning("the kept files of %s were changed: %s", name, place)
                return None
            files = describe_files(place)
        except (OSError, PasamError) as error:
            _LOG.warning("the kept files of %s cannot be used: %s", name, error)
            return None
        return dataclasses.replace(files, name=record["name"], scores=record["scores"])

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
            parts = ("folder", "files", "name", "scores")
            return {name: each for name, each in known.items() if all(p in each for p in parts)}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}
