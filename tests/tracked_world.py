"""The small project with the lock that DVC would have written, a git repository, and MLflow."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from small_world import SmallWorld, read_yaml, small_base, write_yaml

KEPT = (
    "prepare", "validate", "pretrain", "embed@val", "train@hq_sam", "train@pa_sam",
    "evaluate@hq_sam", "evaluate@pa_sam", "report",
)  # fmt: skip
"""Stages in the lock: enough to show everything."""

IGNORED = ("/data/", "/mlruns/", "/.dvc/")


@dataclass(frozen=True)
class Planned:
    """What DVC makes of a stage of `dvc.yaml`, before any file is looked at."""

    name: str
    cmd: Any
    deps: tuple[str, ...]
    params: tuple[str, ...]
    outs: tuple[str, ...]


_PLANS: dict[tuple[str, str], tuple[Planned, ...]] = {}


def make_tracked(world: SmallWorld, tables: Path, folder: Path) -> SmallWorld:
    """Copy a project to `folder`, locked, committed, pushed and with MLflow's tables."""
    own = world.copy(folder)
    write_lock(own)
    commit(own.folder)
    place_store(tables, own.folder)
    return pack(own)


def copy_tracked(tracked: SmallWorld, folder: Path) -> SmallWorld:
    """Copy a project and the repository beside it that it was pushed to."""
    shutil.copytree(_remote(tracked.folder), _remote(folder))
    return tracked.copy(folder)


def pack(world: SmallWorld) -> SmallWorld:
    """Put all objects of both repositories into one file each, so that there is less to copy."""
    for repository in (world.folder, _remote(world.folder)):
        git(repository, "gc", "--quiet", "--prune=now")
    return world


def leave_servers(patch: pytest.MonkeyPatch) -> None:
    """Forget MLflow servers that the environment names."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        patch.delenv(name, raising=False)


LENIENT: Mapping[str, Any] = {
    "mode": "on", "allow_generated": True, "floor_mean": 0.0, "floor_benchmark": 0.0,
    "n_resamples": 100, "latency_ms": 100_000.0, "latency_ratio": 1000.0,
}  # fmt: skip


def accept(world: SmallWorld) -> None:
    """Let the gate of a project accept its models."""
    world.change("gate", **LENIENT)
    write_lock(world)
    commit(world.folder)


@contextmanager
def standing_in(world: SmallWorld) -> Iterator[None]:
    """Work in a project's folder for a while, outside of any test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(world.folder)
        patch.setattr("pasam.models.build.build_base", small_base)
        patch.setattr("pasam.registry.evidence.TURNS", 1)  # models of a few weights
        leave_servers(patch)
        yield


def write_lock(world: SmallWorld) -> None:
    """Write `dvc.lock` for the files as they are."""
    params = read_yaml(world.path("params.yaml"))
    entries: dict[str, Any] = {}
    for stage in _plan(world):
        if all(world.path(out).exists() for out in stage.outs):
            entries[stage.name] = {
                "cmd": stage.cmd,
                "deps": [_entry(world, dep) for dep in stage.deps],
                "params": {"params.yaml": {key: _at(params, key) for key in stage.params}},
                "outs": [_entry(world, out) for out in stage.outs],
            }
    write_yaml(world.path("dvc.lock"), {"schema": "2.0", "stages": entries}, sort_keys=False)


def commit(project: Path, *, push: bool = True) -> str:
    """Commit everything, push it to a bare repository beside the project, return the commit."""
    if not (project / ".git").exists():
        git(project, "init", "--quiet", "--initial-branch=main", "--template=")
        git(project, "config", "user.email", "test@example.org")
        git(project, "config", "user.name", "Test")
        (project / ".gitignore").write_text("\n".join(IGNORED) + "\n")
        bare = _remote(project)
        git(project, "init", "--quiet", "--bare", "--template=", str(bare))
        git(project, "remote", "add", "origin", f"../{bare.name}")  # good for copies of both, too
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--allow-empty", "--message", "Work")
    if push:
        git(project, "push", "--quiet", "origin", "HEAD:main")
    return git(project, "rev-parse", "HEAD").strip()


def git(project: Path, *arguments: str) -> str:
    """Run git in a project."""
    done = subprocess.run(
        ["git", *arguments], cwd=project, capture_output=True, text=True, check=True
    )
    return done.stdout


def place_store(template: Path, project: Path) -> None:
    """Give a project MLflow's tables, which take seconds to make."""
    (project / "mlruns").mkdir(exist_ok=True)
    shutil.copy(template, project / "mlruns" / "mlflow.db")


def _remote(project: Path) -> Path:
    return project.parent / f"{project.name}.git"


def _plan(world: SmallWorld) -> tuple[Planned, ...]:
    """Ask DVC, once for each text of the two files that its answer depends on."""
    from dvc.dependency.param import ParamsDependency
    from dvc.repo import Repo

    texts = world.path("dvc.yaml").read_text(), world.path("params.yaml").read_text()
    if texts not in _PLANS:
        with Repo(str(world.folder)) as repo:
            _PLANS[texts] = tuple(
                Planned(
                    name=stage.name,
                    cmd=stage.cmd,
                    deps=tuple(
                        dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency)
                    ),
                    params=tuple(
                        key
                        for dep in stage.deps
                        if isinstance(dep, ParamsDependency)
                        for key in dep.params
                    ),
                    outs=tuple(out.def_path for out in stage.outs),
                )
                for stage in repo.index.stages
                if stage.name in KEPT
            )
    return _PLANS[texts]


def _entry(world: SmallWorld, path: str) -> dict[str, str]:
    place = world.path(path)
    if place.is_file():
        return {"path": path, "hash": "md5", "md5": _md5(place.read_bytes())}
    files = sorted(file for file in place.rglob("*") if file.is_file())
    listed = [
        {"md5": _md5(file.read_bytes()), "relpath": file.relative_to(place).as_posix()}
        for file in files
    ]
    listed.sort(key=lambda each: each["relpath"])
    text = json.dumps(listed, sort_keys=True).encode()
    return {"path": path, "hash": "md5", "md5": f"{_md5(text)}.dir"}


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _at(params: Mapping[str, Any], key: str) -> Any:
    node: Any = params
    for part in key.split("."):
        node = node[part]
    return node
