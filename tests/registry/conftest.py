"""Projects whose candidate the gate accepts, and registries."""

from __future__ import annotations

import pytest
from small_world import small_base
from tracked_world import (
    commit,
    copy_tracked,
    git,
    leave_servers,
    place_store,
    standing_in,
    write_lock,
)

from pasam.registry.runs import sync
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


@pytest.fixture(scope="session")
def fresh_once(tracked_once, tmp_path_factory):
    """The small project with a gate that accepts it, and nothing in MLflow; to be copied."""
    own = copy_tracked(tracked_once, tmp_path_factory.mktemp("fresh") / "world")
    accept(own)
    return own


@pytest.fixture(scope="session")
def accepted_once(fresh_once, tmp_path_factory):
    """The same with all its stages recorded; to be copied."""
    own = copy_tracked(fresh_once, tmp_path_factory.mktemp("accepted") / "world")
    with standing_in(own):
        sync(own.folder)
    return own


@pytest.fixture(scope="session")
def champion_once(accepted_once, tmp_path_factory):
    """The same with version 1 as champion; to be copied."""
    from pasam.registry.promotion import promote

    own = copy_tracked(accepted_once, tmp_path_factory.mktemp("champion") / "world")
    with standing_in(own):
        assert promote(own.folder).promoted
    return own


@pytest.fixture(scope="session")
def promoted_once(champion_once, tmp_path_factory):
    """A project whose version 1 is champion; not to be changed."""
    return copy_tracked(champion_once, tmp_path_factory.mktemp("promoted") / "world")


@pytest.fixture
def own_copy(tmp_path, monkeypatch):
    """Copy a project that was made once, as the current folder, to be changed."""

    def copied(once):
        own = copy_tracked(once, tmp_path / "world")
        monkeypatch.setattr("pasam.registry.evidence.TURNS", 1)  # models of a few weights
        leave_servers(monkeypatch)
        monkeypatch.chdir(own.folder)
        monkeypatch.setattr("pasam.models.build.build_base", small_base)
        return own

    return copied


@pytest.fixture
def fresh(fresh_once, own_copy):
    """The small project with a gate that accepts it, and nothing in MLflow."""
    return own_copy(fresh_once)


@pytest.fixture
def project(accepted_once, own_copy):
    """The same with all its stages recorded."""
    return own_copy(accepted_once)


@pytest.fixture
def own_promoted(champion_once, own_copy):
    """A project whose version 1 is champion, to be changed."""
    return own_copy(champion_once)


@pytest.fixture
def aliases(tmp_path):
    """Read the aliases of the project's registry."""
    return lambda: open_registry(tmp_path / "world").aliases()


@pytest.fixture
def promoted(promoted_once, monkeypatch):
    """A project whose version 1 is champion, as the current folder; not to be changed."""
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
