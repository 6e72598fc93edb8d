"""What `dvc.lock` says of every stage: which command made which bytes from which."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from pasam.errors import DataError
from pasam.tracking.dvc_yaml import declared_stages

LOCK = "dvc.lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A dependency or an output."""

    path: str
    md5: str
    """Content hash; of a folder it ends in `.dir`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRecord:
    """One stage as it last ran or was restored."""

    name: str
    command: str
    deps: Mapping[str, Entry]
    outs: Mapping[str, Entry]
    params: Mapping[str, Any]
    """Sections of `params.yaml` that the stage reads, by key."""
    digest: str
    """Sha256 of all of this: the same digest means the same run of the same stage."""

    @property
    def kind(self) -> str:
        """The stage's name without what it was made for: `train` of `train@pa_sam`."""
        return self.name.partition("@")[0]

    def out_with(self, suffix: str) -> Entry | None:
        """Find the first output whose path ends so, in the order of paths."""
        return next((e for path, e in sorted(self.outs.items()) if path.endswith(suffix)), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class DvcLock:
    """Stages by name, and the digest of the whole file."""

    sha256: str
    stages: Mapping[str, StageRecord]

    def makers(self, suffix: str) -> Iterator[tuple[StageRecord, Entry]]:
        """List the outputs whose path ends so, each with the stage that makes it."""
        for stage in self.stages.values():
            for path, entry in sorted(stage.outs.items()):
                if path.endswith(suffix):
                    yield stage, entry

    def users(self, path: str) -> list[StageRecord]:
        """List the stages that depend on a path."""
        return [stage for stage in self.stages.values() if path in stage.deps]


def read_lock(project: Path) -> DvcLock:
    """Read the lock of a project, without the stages that the project no longer has.

    Raises:
        DataError: There is none, or it is not one.
    """
    path = project / LOCK
    try:
        lock = parse_lock(path.read_bytes(), source=str(path))
    except FileNotFoundError:
        raise DataError(
            f"{path} does not exist: nothing has run yet. Run `dvc repro` in the project's root."
        ) from None
    declared = declared_stages(project)
    present = {name: stage for name, stage in lock.stages.items() if name in declared}
    return replace(lock, stages=present)


def parse_lock(content: bytes, *, source: str) -> DvcLock:
    """Read a lock from its bytes, such as those of a commit.

    Raises:
        DataError: It is no lock of DVC.
    """
    try:
        found = yaml.safe_load(content)
        stages = {name: _stage(name, entry) for name, entry in found["stages"].items()}
    except (yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{source} is not a lock of DVC ({type(error).__name__}: {error}). Restore it from "
            "git, or run `dvc repro`."
        ) from None
    return DvcLock(sha256=hashlib.sha256(content).hexdigest(), stages=stages)


def _stage(name: str, entry: dict[str, Any]) -> StageRecord:
    text = json.dumps(entry, sort_keys=True)
    params = {
        key: value for part in entry.get("params", {}).values() for key, value in part.items()
    }
    return StageRecord(
        name=name,
        command=entry["cmd"] if isinstance(entry["cmd"], str) else " && ".join(entry["cmd"]),
        deps=_entries(entry.get("deps", [])),
        outs=_entries(entry.get("outs", [])),
        params=params,
        digest=hashlib.sha256(f"{name}\n{text}".encode()).hexdigest(),
    )


def _entries(found: list[dict[str, Any]]) -> dict[str, Entry]:
    return {e["path"]: Entry(path=e["path"], md5=str(e.get("md5", ""))) for e in found}
