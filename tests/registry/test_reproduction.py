"""How a version is made again is verified against git; what would not come out is named."""

from __future__ import annotations

import dataclasses

import pytest
from small_world import dump_yaml

from pasam.errors import RegistryError
from pasam.registry import reproduction
from pasam.registry.reproduction import not_again, plan_reproduction, reproduce
from pasam.registry.runs import PARENT, find_run, reproduction_key
from pasam.registry.snapshot import read_lock
from pasam.registry.store import Tag
from pasam.registry.transitions import open_decisions
from pasam.registry.upkeep.cleaning import clean
from pasam.registry.versions import NAME, as_logged, known_standing, open_registry


@pytest.fixture
def version(promoted):
    found = open_registry(promoted.folder).version("champion")
    return as_logged(found, known_standing(promoted.folder))


def test_the_commands_go_to_the_commit_and_the_stage(promoted, version):
    found = plan_reproduction(promoted.folder, version)
    assert found.problems == ()
    lines = found.text().splitlines()
    assert lines[0].startswith("git clone ")
    assert lines[1:] == [
        "cd pasam-v1",
        f"git checkout --quiet {version.tags['git.commit']}",
        "dvc pull --allow-missing train@pa_sam",
        "dvc repro train@pa_sam",
        "dvc repro --force --single-item train@pa_sam",
    ]
    assert dict(found.files) == {
        "data/adapters/pa_sam.safetensors": version.tags["adapter.sha256"],
        "pasam/packaged/tiny.safetensors": version.tags["base.sha256"],
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"git.dirty": "true"}, "of uncommitted changes"),
        ({"git.commit": "0" * 40}, "its commit is not in this clone"),
        ({"git.commit": ""}, "its commit is not in this clone"),
        ({"dvc.lock_sha256": "0"}, "its commit has another dvc.lock"),
    ],
)
def test_git_is_asked_once_which_versions_cannot_be_made_again(changes, words, promoted, version):
    other = dataclasses.replace(version, number=7, tags={**version.tags, **changes})
    found = not_again(promoted.folder, [version, other, version])
    assert found == ({} if words is None else {7: words})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"git.dirty": "true"}, "uncommitted changes"),
        ({"git.commit": "0" * 40}, "commit 000000000000 is not in this clone"),
        ({"dvc.lock_sha256": "0"}, "is not the one it was registered with"),
        ({"model.md5": "0"}, "gives other weights"),
        ({"dvc.stage": "train@x"}, "has no stage 'train@x'"),
    ],
)
def test_what_would_not_give_the_same_bytes_is_said(changes, words, promoted, version, tmp_path):
    other = dataclasses.replace(version, tags={**version.tags, **changes})
    found = plan_reproduction(promoted.folder, other)
    assert len(found.problems) == 1
    assert words in found.problems[0]
    with pytest.raises(RegistryError, match=words):
        list(reproduce(promoted.folder, found, tmp_path / "new"))


def test_a_folder_that_exists_is_left_alone(promoted, version, tmp_path):
    with pytest.raises(RegistryError, match="exists already"):
        list(reproduce(promoted.folder, plan_reproduction(promoted.folder, version), tmp_path))


def test_other_bytes_than_the_registered_ones_are_an_error(
    promoted, version, tmp_path, monkeypatch
):
    monkeypatch.setattr("pasam.registry.reproduction.run_command", lambda command, folder: None)
    folder = tmp_path / "new"
    found = plan_reproduction(promoted.folder, version, folder=str(folder))
    steps = reproduce(promoted.folder, found, folder)
    assert "cloning" in next(steps)
    assert "dvc repro train@pa_sam" in next(steps)
    assert "dvc repro --force --single-item train@pa_sam" in next(steps)
    (folder / "data" / "adapters").mkdir(parents=True)
    (folder / "data" / "adapters" / "pa_sam.safetensors").write_bytes(b"other")
    with pytest.raises(RegistryError, match="other hardware or other packages"):
        next(steps)


def planned(**changes):
    usual = {
        "version": 2, "files": (("a", "11"), ("b", "22")), "problems": (),
        "commands": (
            ("git", "clone", "address", "place"), ("git", "checkout", "c"), ("dvc", "pull", "s"),
            ("dvc", "repro", "s"), ("dvc", "repro", "--force", "s"),
        ),
    }  # fmt: skip
    return reproduction.Reproduction(**usual | changes)


@pytest.mark.parametrize("cached", [False, True])
def test_it_is_made_in_the_new_folder_of_this_clone_and_anew_unless_the_cache_will_do(
    cached, tmp_path, monkeypatch
):
    ran, digests = [], {"a": "11", "b": "22"}
    monkeypatch.setattr(reproduction, "run_command", lambda *given: ran.append(given))
    monkeypatch.setattr(reproduction, "file_sha256", lambda path: digests[path.name])
    project, folder = tmp_path / "project", tmp_path / "new"
    said = list(reproduction.reproduce(project, planned(), folder, cached=cached))
    cache = str(project / ".dvc" / "cache")
    assert ran == [
        (["git", "clone", "--quiet", str(project), str(folder)], project),
        (["git", "checkout", "c"], folder), (["dvc", "cache", "dir", "--local", cache], folder),
        (["dvc", "repro", "s"], folder),
        *([] if cached else [(["dvc", "repro", "--force", "s"], folder)]),
    ]  # fmt: skip
    assert said[-2:] == ["a: sha256 11 as registered", "b: sha256 22 as registered"]
    digests["b"] = "33"
    with pytest.raises(RegistryError, match="b is 33, expected 22"):
        list(reproduction.reproduce(project, planned(), folder))
    ran.clear()
    for refused, where in ((planned(problems=("x",)), folder), (planned(), tmp_path)):
        with pytest.raises(RegistryError, match="cannot be made again: x|exists already"):
            list(reproduction.reproduce(project, refused, where))
    assert ran == []


def test_the_reproductions_of_the_lock_and_of_a_version_in_use_stay_where_their_stages_are_anothers(
    registry,
):
    store, project = registry.store, registry.store.folder.parent
    stages = {"train": {"cmd": "x", "outs": [{"path": "a", "md5": "0"}]}}
    (project / "dvc.lock").write_text(dump_yaml({"schema": "2.0", "stages": stages}))
    (project / "dvc.yaml").write_text(dump_yaml({"stages": {"train": {"cmd": "x"}}}))
    (project / "params.yaml").touch()
    lock = read_lock(project)
    registry.client.set_model_version_tag(NAME, "2", Tag.LOCK_SHA256, "ours")
    open_decisions(project)

    def run(key, parent=""):
        tags = {Tag.KEY: key, PARENT: parent}
        return store.client.create_run(store.experiment_id, tags=tags).info.run_id

    keys = [reproduction_key(each) for each in (lock.sha256, "ours", "before")]
    now, _, before = [run(key) for key in keys]
    run(lock.stages["train"].digest, parent=before)
    run(reproduction_key("gone"))
    went = clean(project, keep=9, days=-1)
    assert [each.kind for each in went] == ["run"]
    assert [find_run(store, key) is not None for key in keys] == [True, True, True]
    assert find_run(store, reproduction_key("gone")) is None
    assert find_run(store, keys[0]).info.run_id == now
