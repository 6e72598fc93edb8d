"""How a version is made again is verified against git; what would not come out is named."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from small_world import dump_yaml
from tracked_world import commit, git

from pasam.errors import DataError, RegistryError
from pasam.files import sha256_of
from pasam.registry import reproduction, runs, transitions
from pasam.registry.decision_log import Entry, Standing, VersionStanding
from pasam.registry.reproduction import not_again, plan_reproduction, reproduce
from pasam.registry.runs import PARENT, find_run, reproduction_key
from pasam.registry.snapshot import (
    _seed,
    _stage,
    call_git,
    declared_stages,
    git_state,
    has_repository,
    read_lock,
    remote_address,
    remote_name,
)
from pasam.registry.store import Tag
from pasam.registry.transitions import lift, open_decisions, reject, rollback
from pasam.registry.upkeep import backup
from pasam.registry.upkeep.backup import back_up, restore
from pasam.registry.upkeep.cleaning import clean
from pasam.registry.upkeep.stored_files import _changes, damages, digests_of
from pasam.registry.version_files import _scores
from pasam.registry.versions import (
    NAME,
    Registry,
    Version,
    _carry,
    as_logged,
    damaged_files,
    differences,
    download,
    known_standing,
    known_tags,
    open_registry,
    shown_tags,
)


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


def test_what_a_version_carries_is_compared_with_the_log_file_by_file(tmp_path):
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "adapter.safetensors").write_bytes(b"weights")
    scores, page = b"scores", b"page"
    begun = Entry(
        event="register", version=3, number=7, files=digests_of(tmp_path),
        evidence={"scores.parquet": sha256_of(scores)},
    )  # fmt: skip
    begun = dataclasses.replace(begun, digest=sha256_of(begun.content()))
    judged = Entry(event="verdict", version=3, number=9, evidence={"page": sha256_of(page)})
    judged = dataclasses.replace(judged, digest=sha256_of(judged.content()))
    version = VersionStanding(number=3, registered=begun, status="", entries=(begun, judged))
    carried = {
        "decisions/000007.json": begun.content(), "decisions/000009.json": judged.content(),
        "evidence/000007-scores.parquet": scores, "evidence/000009-page": page,
    }  # fmt: skip
    assert [f"version 3: {name} is not stored with it" for name in carried] == sorted(
        damages(tmp_path, version), key=lambda line: line.split("/")
    )
    for name, content in carried.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert list(damages(tmp_path, version)) == []
    for name, content in carried.items():
        (tmp_path / name).write_bytes(content + b" ")
        assert list(damages(tmp_path, version)) == [f"version 3: {name} was changed"]
        (tmp_path / name).write_bytes(content)
    (tmp_path / "artifacts" / "adapter.safetensors").write_bytes(b"others")
    (tmp_path / "more.py").touch()
    both = [line.partition(" is ")[0] for line in damages(tmp_path, version)]
    assert both == ["version 3: its code or MLmodel", "version 3: artifacts/adapter.safetensors"]


def test_an_entry_counts_as_stored_with_its_version_only_once_it_is(monkeypatch):
    scores, stored, tags, away = b"scores", [], {}, ["gone"]
    begun = Entry(
        event="register", version=3, number=7, details={"model_id": "m3"},
        evidence={"scores.parquet": sha256_of(scores)},
    )  # fmt: skip
    chosen = Entry(event="promote", version=3, number=9)

    def log_artifacts(folder):
        if away:
            raise ConnectionError(away.pop())
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        stored.append({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})

    place = SimpleNamespace(log_artifacts=log_artifacts)
    registry = SimpleNamespace(
        client=SimpleNamespace(
            get_logged_model=lambda name: SimpleNamespace(artifact_location=name)
        ),
        store=SimpleNamespace(tracking_uri="t"),
        tag_version=lambda number, more: tags.update({number: more}),
    )
    monkeypatch.setattr(
        "mlflow.store.artifact.artifact_repository_registry.get_artifact_repository",
        lambda source, *, tracking_uri: place if (source, tracking_uri) == ("m3", "t") else None,
    )

    def carry(*entries, already):
        version = VersionStanding(number=3, registered=begun, status="", entries=entries)
        log = SimpleNamespace(evidence={sha256_of(scores): scores}.get)
        _carry(registry, log, version, SimpleNamespace(tags=already))

    with pytest.raises(ConnectionError, match="gone"):
        carry(begun, already={})
    assert (stored, tags) == ([], {})
    carry(begun, already={})
    first = {"decisions/000007.json": begun.content(), "evidence/000007-scores.parquet": scores}
    assert (stored, tags) == ([first], {3: {"pasam.entries": "7"}})
    carry(begun, chosen, already=tags[3])
    assert stored[1:] == [{"decisions/000009.json": chosen.content()}]
    assert tags == {3: {"pasam.entries": "9"}}
    carry(begun, chosen, already=tags[3])
    assert len(stored) == 2, "what is stored is not stored again"


def test_a_version_from_before_the_log_or_with_lost_files_is_said_to_be_so(monkeypatch):
    before = Entry(event="import", version=3, number=1)
    version = VersionStanding(number=3, registered=before, status="")
    assert list(damaged_files("a registry", version, "shown")) == [
        "version 3: the log knows no digests, its files were gone before it"
    ]

    def gone(registry, shown):
        raise RegistryError(f"{registry} lost {shown}.")

    monkeypatch.setattr("pasam.registry.versions.fetched", gone)
    known = dataclasses.replace(version, registered=dataclasses.replace(before, files={"a": "1"}))
    found = list(damaged_files("MLflow", known, "the files"))
    assert found == ["version 3: MLflow lost the files."]


def test_only_tables_of_scores_of_the_models_own_evaluations_are_read(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr("pasam.registry.version_files.is_score_file", lambda p: "score" in p.name)
    monkeypatch.setattr(
        "pasam.registry.version_files.read_scores", lambda *paths: read.append(paths) or "rows"
    )
    monkeypatch.setattr("pasam.registry.version_files.comparable_rows", lambda rows: (rows, "kept"))
    users = [SimpleNamespace(outs=outs) for outs in (("score_1", "log"), (), ("score_2",))]
    assert _scores(tmp_path, users, "pa_sam") == ("rows", "kept")
    assert read == [(tmp_path / "score_1", tmp_path / "score_2")]
    with pytest.raises(RegistryError, match=r"'pa_sam' was trained but not evaluated"):
        _scores(tmp_path, users[1:2], "pa_sam")


def test_a_folder_that_is_not_there_has_no_repository_and_a_graph_declares_a_stage(
    tmp_path, monkeypatch
):
    assert not has_repository(tmp_path / "gone")
    with pytest.raises(DataError, match="git is not installed, or .*gone is no folder"):
        call_git(tmp_path / "gone", "status")
    for name in ("dvc.yaml", "params.yaml"):
        with pytest.raises(DataError, match=r"stages of .* cannot be listed"):
            declared_stages(tmp_path)
        (tmp_path / name).write_text("")
    monkeypatch.setattr("pasam.registry.snapshot._declared", lambda *texts: frozenset())
    with pytest.raises(DataError, match="it declares none"):
        declared_stages(tmp_path)


def test_a_repository_without_origin_takes_its_only_other_remote(tmp_path):
    git(tmp_path, "init", "--quiet")
    assert (remote_name(tmp_path), remote_address(tmp_path)) == (None, None)
    git(tmp_path, "remote", "add", "fork", "https://ada:secret@host.org/a.git")
    assert remote_name(tmp_path) == "fork"
    assert remote_address(tmp_path) == "https://host.org/a.git"
    git(tmp_path, "remote", "add", "origin", "https://host.org/b.git")
    assert (remote_name(tmp_path), remote_address(tmp_path)) == ("origin", "https://host.org/b.git")


def test_the_locks_of_commits_come_in_their_order_and_none_where_there_is_none(tmp_path):
    git(tmp_path, "init", "--quiet")
    who = ("-c", "user.name=T", "-c", "user.email=t@example.org")
    commits = []
    for text in ("one: 1\n", None, "two\n\n"):
        (tmp_path / "dvc.lock").write_text(text or "")
        if text is None:
            (tmp_path / "dvc.lock").unlink()
        git(tmp_path, "add", "--all")
        git(tmp_path, *who, "commit", "--quiet", "--allow-empty", "-m", "x")
        commits.append(git(tmp_path, "rev-parse", "HEAD").strip())
    first, without, last = commits
    asked = [last, "0" * 40, first, without, "--odd", last]
    wanted = [b"two\n\n", None, b"one: 1\n", None, None, b"two\n\n"]
    assert list(reproduction._locks(tmp_path, asked)) == wanted
    assert list(reproduction._locks(tmp_path, [])) == []


def test_a_stage_of_the_lock_is_read_with_all_its_commands_and_sections():
    entry = {
        "cmd": ["a", "b --c"], "deps": [{"path": "x", "md5": "1"}, {"path": "y"}],
        "outs": [{"path": "z", "md5": "2.dir"}],
        "params": {"params.yaml": {"train": {"seed": 3}}, "more.yaml": {"base.size": "tiny"}},
    }  # fmt: skip
    found = _stage("train@m", entry)
    assert (found.kind, found.command) == ("train", "a && b --c")
    assert {path: dep.md5 for path, dep in found.deps.items()} == {"x": "1", "y": ""}
    assert found.outs["z"].md5 == "2.dir"
    assert found.params == {"train": {"seed": 3}, "base.size": "tiny"}
    assert (found.section("train"), found.section("base.size"), found.section("no")) == (
        {"seed": 3}, {}, {}
    )  # fmt: skip
    assert _stage("train@m", {**entry, "cmd": "a"}).digest != found.digest
    assert _stage("train@n", entry).digest != found.digest, "another stage of the same content"
    assert _stage("train@m", dict(reversed(entry.items()))).digest == found.digest


def test_the_seeds_of_a_lock_are_those_of_its_trainings():
    def lock(**seeds):
        stages = {
            name.replace("_", "@", 1): _stage(
                name.replace("_", "@", 1), {"cmd": "x", "params": {"p": {"train": seed}}}
            )
            for name, seed in seeds.items()
        }
        return SimpleNamespace(stages=stages)

    assert _seed(lock(train_a={"seed": 42}, train_b={"seed": 7}, embed_v={"seed": 1})) == "42, 7"
    assert _seed(lock(train_a={"seed": 42}, train_b={"seed": 42})) == "42"
    assert _seed(lock(embed_v={"seed": 1}, train_a={})) == "unknown"


def test_what_differs_is_told_of_files_that_are_there_before_those_that_are_not():
    wanted = {"a": "1" * 20, "b": "2" * 20, "*": "3" * 20, "same": "4"}
    found = {"b": "5" * 20, "more": "6" * 20, "*": "7" * 20, "same": "4"}
    assert list(_changes(wanted, found)) == [
        ("its code or MLmodel", "7" * 12, "3" * 12), ("b", "5" * 12, "2" * 12),
        ("more", "6" * 12, "none"), ("a", "not there", "1" * 12),
    ]  # fmt: skip
    assert list(_changes(wanted, dict(wanted))) == []


@pytest.mark.parametrize("code", ["RESOURCE_ALREADY_EXISTS", "INTERNAL_ERROR"])
def test_a_registered_model_that_another_machine_has_made_meanwhile_is_taken(code):
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ErrorCode

    made = []

    def create_registered_model(name, description):
        made.append(name)
        raise MlflowException("no", ErrorCode.Value(code))

    registry = Registry(SimpleNamespace(client=SimpleNamespace()))
    registry.client.create_registered_model = create_registered_model
    for there in ("the model", None):
        registry.model = lambda there=there: there
        if there or code == "RESOURCE_ALREADY_EXISTS":
            registry.ensure()
        else:
            with pytest.raises(MlflowException):
                registry.ensure()
    assert made == [NAME]


def test_tags_say_all_that_is_known_and_mlflow_shows_a_few_of_them():
    tags = {
        Tag.MODEL: "pa_sam", Tag.WEIGHTS: "real", Tag.COMMIT: "c", Tag.SEED: "42",
        Tag.FLOW_RUN: "f" * 5000, Tag.DIRTY: "false",
    }  # fmt: skip
    begun = Entry(event="register", version=3, number=7, details={"tags": tags, "key": "k"})
    version = VersionStanding(number=3, registered=begun, status="registered", why="new")
    known = known_tags(version)
    assert known == tags | {
        Tag.FLOW_RUN: "f" * 4000,
        Tag.KEY: "k",
        Tag.STATUS: "registered",
        Tag.WHY: "new",
    }
    names = (Tag.MODEL, Tag.WEIGHTS, Tag.COMMIT, Tag.FLOW_RUN, Tag.STATUS, Tag.WHY)
    assert shown_tags(version) == {name: known[name] for name in names}
    details = {"decision": "reject", "reasons": ["a", "b"], "champion": None}
    for champion, opponent in ((None, ""), (2, "2")):
        words = {**details, "champion": champion, "gate": {"mode": "on"}}
        verdict = Entry(event="verdict", version=3, number=12, details=words)
        judged = dataclasses.replace(version, verdict=verdict, status="refused")
        assert known_tags(judged) == known | {
            Tag.STATUS: "refused", Tag.DECISION: "reject", Tag.REASONS: "a; b",
            Tag.OPPONENT: opponent, Tag.MODE: "on",
        }  # fmt: skip
        assert shown_tags(judged) == shown_tags(version) | {
            Tag.STATUS: "refused",
            Tag.VERDICT: "evidence/000012-verdict.html",
        }


def test_what_was_cut_short_is_completed_as_long_as_its_files_are_the_locks(monkeypatch):
    def run(name, **tags):
        return SimpleNamespace(info=SimpleNamespace(run_id=name), data=SimpleNamespace(tags=tags))

    known = {"whole": run("whole", **{Tag.RECORDED: "complete"})}
    known |= {name: run(name) for name in ("half", "changed")}
    told = []
    ways = {
        "_start": lambda self, *given: run("parent"), "_recorded": lambda self, parent: {},
        "_record_stage": lambda self, stage, *given: run(f"{stage.name} anew"),
        "_remove_doubles": lambda self, runs: None, "_refresh": lambda self, run: None,
        "_remove_live": lambda self, stages: told.append(stages), "page": lambda self, run: None,
        "_close_parent": lambda self, parent, *given: told.append(given),
    }  # fmt: skip
    for name, way in ways.items():
        monkeypatch.setattr(runs._Recorder, name, way)
    monkeypatch.setattr(runs, "_runs_of", lambda store, key: [known[key]] if key in known else [])
    stages = {n: SimpleNamespace(name=n, digest=n) for n in ("whole", "half", "changed", "new")}
    snapshot = SimpleNamespace(
        lock=SimpleNamespace(sha256="s", stages=stages),
        stale_output=lambda stage: "no" if stage.name in ("whole", "changed") else None,
    )
    found = runs._Recorder(snapshot, SimpleNamespace(tracking_uri="x")).record()
    assert found.runs == {"whole": "whole", "half": "half anew", "new": "new anew"}
    assert (found.new, found.missing) == (("half", "new"), {"changed": "no"})
    assert told == [["half", "new"], (found.runs, found.missing)]


def test_a_versions_files_come_from_where_the_runs_are(tmp_path, monkeypatch):
    brought = MagicMock(return_value=str(tmp_path))
    monkeypatch.setattr("mlflow.artifacts.download_artifacts", brought)
    store = SimpleNamespace(tracking_uri="runs", registry_uri="registry")
    registry = SimpleNamespace(store=store, client=None)
    assert download(registry, "mlflow-artifacts:/x", tmp_path / "to", what="it") == tmp_path
    brought.assert_called_once_with(
        artifact_uri="mlflow-artifacts:/x", dst_path=str(tmp_path / "to"), tracking_uri="runs"
    )


def test_a_version_that_was_removed_may_be_absent_and_is_compared_where_it_is_not():
    entry = Entry(event="register", version=1, details={"key": "k", "tags": {}})
    gone = VersionStanding(number=1, registered=entry, status="registered", removed=True)
    standing = Standing(versions={1: gone})
    shown = Version(number=1, aliases=(), tags={Tag.STATUS: "accepted"}, run_id="", created=0)
    registry = SimpleNamespace(aliases=dict, versions=lambda aliases: [])
    assert list(differences(registry, standing)) == []
    assert list(differences(registry, standing, [shown])) == [
        "version 1: MLflow's tag pasam.status is 'accepted', the log says 'registered'"
    ]
    lost = dataclasses.replace(gone, removed=False)
    assert next(differences(registry, Standing(versions={1: lost}, champions=[1]))) == (
        "version 1 is not in MLflow any more and is champion"
    )


def test_a_backup_brings_files_in_folders_places_and_the_other_way_and_no_password(tmp_path):
    folder, new = tmp_path / "here", tmp_path / "new"
    (folder / "was" / "folder").mkdir(parents=True)
    (folder / "was" / "folder" / "x").write_text("x")
    (folder / "file").write_text("y")
    commit(folder, push=False)
    shutil.rmtree(folder / "was")
    (folder / "was").write_text("a file")
    (folder / "file").unlink()
    (folder / "file").mkdir()
    (folder / "file" / "n").write_text("in a folder")
    git(folder, "remote", "add", "team", "https://ada:secret@example.org/p.git")
    back_up(folder, tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", new)
    assert (new / "was").read_text() == "a file"
    assert (new / "file" / "n").read_text() == "in a folder"
    assert git(new, "remote", "get-url", "team").strip() == "https://example.org/p.git"
    assert b"secret" not in (tmp_path / "backup.tar").read_bytes()


@pytest.mark.parametrize("said", ["", "1" * 40])
def test_a_log_that_is_not_the_one_that_was_backed_up_is_not_restored(said, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a").touch()
    commit(tmp_path / "here", push=False)
    git(tmp_path / "here", "branch", "pasam-decisions")
    empty = SimpleNamespace(read=lambda shared: ())
    monkeypatch.setattr(backup, "DecisionLog", lambda project: empty)
    back_up(tmp_path / "here", tmp_path / "b.tar")
    restore(tmp_path / "b.tar", tmp_path / "same")
    real, other = backup._checked, {"log": said}
    monkeypatch.setattr(backup, "_checked", lambda file: real(file).model_copy(update=other))
    with pytest.raises(RegistryError, match=f"expected {said[:10]}"):
        restore(tmp_path / "b.tar", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_a_configuration_hides_or_git_cannot_read_is_not_taken_for_committed(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a").touch()
    commit(tmp_path / "here", push=False)
    assert not git_state(tmp_path / "here").dirty
    git(tmp_path / "here", "config", "status.showUntrackedFiles", "no")
    (tmp_path / "here" / "b.py").touch()
    assert git_state(tmp_path / "here").changed == ("b.py",)
    (tmp_path / "here" / "b.py").unlink()
    (tmp_path / "here" / ".git" / "index").write_bytes(b"torn")
    assert git_state(tmp_path / "here").dirty


@pytest.mark.long
def test_the_way_back_to_a_version_that_mlflow_has_lost_is_refused(registry, tmp_path):
    open_decisions(tmp_path)
    registry.client.delete_model_version(NAME, "1")
    with pytest.raises(RegistryError, match="version 1, to which the way back leads, is not in"):
        rollback(tmp_path, why="halos")
    assert open_decisions(tmp_path).standing.champion == 2


@pytest.mark.long
@pytest.mark.parametrize("act", ["rollback", "reject", "lift"])
def test_a_decision_that_mlflow_does_not_show_is_told_as_such(
    act, registry, tmp_path, monkeypatch, caplog
):
    reject(tmp_path, 3, why="halos")
    shown, real = [], transitions.show

    def once(*given):
        shown.append(given)
        if len(shown) > 1:
            raise RegistryError("MLflow's records are damaged.")
        return real(*given)

    monkeypatch.setattr(transitions, "show", once)
    if act == "rollback":
        rollback(tmp_path, why="halos")
    else:
        {"reject": reject, "lift": lift}[act](tmp_path, 3, why="halos")
    assert "MLflow does not show it yet: MLflow's records are damaged." in caplog.text


def test_a_backup_holds_no_other_backups(tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    (here / "a").touch()
    commit(here, push=False)
    back_up(here, here / "first.tar")
    found = back_up(here, here / "second.tar")
    assert found.left_out == ("first.tar: another backup",)
    restore(here / "second.tar", tmp_path / "new")
    assert not (tmp_path / "new" / "first.tar").exists()
