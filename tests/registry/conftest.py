"""Projects whose candidate the gate accepts, and registries."""

from __future__ import annotations

import pytest
from small_world import small_base
from tracked_world import commit, copy_tracked, git, leave_servers, place_store, write_lock

from pasam.registry.versions import NAME, open_registry

LENIENT = {
    "mode": "on", "allow_generated": True, "floor_mean": 0.0, "floor_benchmark": 0.0,
    "n_resamples": 100, "latency_ms": 100_000.0, "latency_ratio": 1000.0,
}  # fmt: skip


def accept(world):
    """Let the gate of a project accept its models."""
    world.change("gate", **LENIENT)
    write_lock(world)
    commit(world.folder)


@pytest.fixture
def project(tracked):
    """The small project with a gate that accepts it."""
    accept(tracked)
    return tracked


@pytest.fixture
def aliases(project):
    """Read the aliases of the project's registry."""
    return lambda: open_registry(project.folder).aliases()


@pytest.fixture(scope="session")
def promoted_once(tracked_once, tmp_path_factory):
    """A project whose version 1 is champion; not to be changed."""
    from pasam.registry.promotion import promote

    own = copy_tracked(tracked_once, tmp_path_factory.mktemp("promoted") / "world")
    accept(own)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(own.folder)
        patch.setattr("pasam.models.build.build_base", small_base)
        leave_servers(patch)
        assert promote(own.folder, allow_local=True).promoted
    return own


@pytest.fixture
def promoted(promoted_once, monkeypatch):
    """The same, as the current folder."""
    leave_servers(monkeypatch)
    monkeypatch.chdir(promoted_once.folder)
    monkeypatch.setattr("pasam.models.build.build_base", small_base)
    return promoted_once


@pytest.fixture
def champion_folder(promoted, tmp_path):
    """The champion's files, fetched."""
    from pasam.registry.versions import fetch

    found = open_registry(promoted.folder)
    return fetch(found, found.version("champion"), tmp_path / "model")


@pytest.fixture
def registry(tmp_path, mlflow_tables, monkeypatch):
    """A registry with versions 1, 2 and 3, of which 2 is champion and 1 the one before."""
    leave_servers(monkeypatch)
    place_store(mlflow_tables, tmp_path)
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    found = open_registry(tmp_path)
    for number in (1, 2, 3):
        tags = {"pasam.predecessor": str(number - 1) if number == 2 else ""}
        found.client.create_model_version(NAME, f"file:///nowhere/{number}", tags=tags)
    found.set_alias("champion", 2)
    found.set_alias("previous", 1)
    found.set_alias("candidate", 3)
    return found
