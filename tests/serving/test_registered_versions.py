"""Versions of the registry, as a running service asks for them."""

from __future__ import annotations

import pytest

from pasam.inference.model_files import ModelFiles
from pasam.serving import model_pool as registered_versions
from pasam.serving.model_pool import RegisteredVersions


class Registry:
    """A registry of three versions, whose champion a test may exchange."""

    class store:  # noqa: N801
        registry_uri = "sqlite:///mlflow.db"

    def __init__(self):
        self.champion, self.fetched = 1, []

    def aliases(self):
        return {"champion": self.champion}

    def fetch(self, name, *, project, folder):
        self.fetched.append(int(name))
        return ModelFiles(
            name=f"pa_sam (version {name})", base=folder / "base", size="vit_tiny",
            kind="adapter", weights=folder / "adapter", variant=None,
        )  # fmt: skip


@pytest.fixture
def registry(monkeypatch):
    made = Registry()
    monkeypatch.setattr(registered_versions, "open_registry", lambda project: made)
    monkeypatch.setattr(registered_versions, "registered_files", made.fetch)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    return made


def test_a_version_is_fetched_once_and_again_when_the_alias_moves(registry, tmp_path):
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "mlflow.db").touch()
    find = RegisteredVersions(tmp_path, tmp_path / "versions")
    first = find("champion")
    assert find("champion") is first
    registry.champion = 2
    assert find("champion").name == "pa_sam (version 2)"
    assert find("1") is first
    assert registry.fetched == [1, 2]
    assert find("previous") is None
    assert find("pa_sam") is None


def test_a_project_that_never_registered_anything_gets_no_registry_by_asking(registry, tmp_path):
    find = RegisteredVersions(tmp_path, tmp_path / "versions")
    assert find("champion") is None
    assert list(tmp_path.iterdir()) == []
