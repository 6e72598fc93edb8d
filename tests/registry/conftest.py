"""Projects whose candidate the gate accepts, and registries."""

from __future__ import annotations

import shutil

import pytest
from small_world import small_base
from tracked_world import (
    copy_tracked,
    git,
    leave_servers,
    place_store,
)

from pasam.registry.versions import NAME, open_registry


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


def _fill(found):
    """Register versions 1, 2 and 3, of which 2 is champion and 1 the one before."""
    for number in (1, 2, 3):
        tags = {"pasam.predecessor": str(number - 1) if number == 2 else ""}
        found.client.create_model_version(NAME, f"file:///nowhere/{number}", tags=tags)
    found.set_alias("champion", 2)
    found.set_alias("previous", 1)
    found.set_alias("candidate", 3)


@pytest.fixture(scope="session")
def registry_once(mlflow_tables, tmp_path_factory):
    """A folder with a registry of versions 1, 2 and 3; to be copied."""
    folder = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        leave_servers(patch)
        place_store(mlflow_tables, folder)
        git(folder, "init", "--quiet", "--initial-branch=main", "--template=")
        _fill(open_registry(folder))
    return folder


@pytest.fixture
def registry(registry_once, tmp_path, monkeypatch):
    """A registry with versions 1, 2 and 3, of which 2 is champion and 1 the one before."""
    leave_servers(monkeypatch)
    shutil.copytree(registry_once, tmp_path, dirs_exist_ok=True)
    return open_registry(tmp_path)
