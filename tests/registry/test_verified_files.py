"""Bytes are what they were: a digest that does not fit is noticed before anything is made of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sqlite3
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tracked_world import commit
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.errors import RegistryError
from pasam.registry import version_files
from pasam.registry.decision_log import Entry, Standing, VersionStanding
from pasam.registry.load import load_predictor, registered_files, verify_versions
from pasam.registry.promotion import promote
from pasam.registry.reproduction import plan_reproduction
from pasam.registry.runs import sync
from pasam.registry.snapshot import take_snapshot
from pasam.registry.upkeep import backup, cleaning, stored_files
from pasam.registry.upkeep.damaged_cache import OBJECTS, cached_file, damaged_cache
from pasam.registry.upkeep.stored_files import (
    SIGNING_KEY,
    VERIFY_KEY,
    lacks_signature,
    sign_files,
    verify_signature,
)
from pasam.registry.version_files import find_candidate, write_files
from pasam.registry.versions import NAME, as_logged, known_standing, open_registry
from pasam.serving.registered_versions import RegisteredVersions


def stored(project, name):
    """The one file of this name that MLflow keeps."""
    (found,) = (project.folder / "mlruns" / "artifacts" / "models").rglob(name)
    return found


@contextlib.contextmanager
def changed(path, change):
    """Change a file's bytes for a while."""
    before = path.read_bytes()
    path.write_bytes(change(before))
    try:
        yield
    finally:
        path.write_bytes(before)


def flip(content):
    """Change one bit of the last byte."""
    return content[:-1] + bytes([content[-1] ^ 1])


FILES = [
    ("adapter.safetensors", "artifacts/adapter.safetensors"),
    ("base.safetensors", "artifacts/base.safetensors"),
    ("model.json", "artifacts/model.json"),
    ("MLmodel", "its code or MLmodel"),
    ("pyfunc_model.py", "its code or MLmodel"),
]


@pytest.fixture
def served_only(promoted, tmp_path, monkeypatch):
    """The current folder of a machine that has the package and MLflow's address, but no clone."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{promoted.folder}/mlruns/mlflow.db")
    place = tmp_path / "machine"
    place.mkdir()
    shutil.copy(promoted.path("params.yaml"), place)
    monkeypatch.chdir(place)
    return place


def test_predict_notices_a_flipped_bit(promoted):
    for name, told in FILES[:3]:
        with (
            changed(stored(promoted, name), flip),
            pytest.raises(
                RegistryError, match=rf"version 1 was changed after .*{told} is .* \(entry 2"
            ),
        ):
            load_predictor("champion")
    assert load_predictor("champion").name == "pa_sam (version 1)"


@pytest.mark.long
def test_a_machine_without_a_clone_notices_it_by_what_the_version_carries(promoted, served_only):
    model = registered_files("champion", project=served_only, folder=served_only / "files")
    assert model.scores["mean"]["mbiou"] > 0  # of the entry that the version carries
    for name, told in FILES:
        (place,) = [p for p in stored_all(promoted, name) if "code/pasam" not in p.as_posix()]
        with changed(place, flip), pytest.raises(RegistryError, match=told):
            load_predictor("champion")
    assert load_predictor("champion").name == "pa_sam (version 1)"


def stored_all(project, name):
    return (project.folder / "mlruns" / "artifacts" / "models").rglob(name)


def test_serve_notices_it(promoted, tmp_path):
    find = RegisteredVersions(promoted.folder, tmp_path / "a")
    with (
        changed(stored(promoted, "adapter.safetensors"), flip),
        pytest.raises(RegistryError, match="was changed after it was registered"),
    ):
        find("champion")
    assert RegisteredVersions(promoted.folder, tmp_path / "b")("champion") is not None


def test_a_tag_in_mlflow_changed_with_the_file_does_not_help(promoted):
    registry = open_registry(promoted.folder)
    registry.tag_version(1, {"adapter.sha256": "0" * 64})
    try:
        with (
            changed(stored(promoted, "adapter.safetensors"), flip),
            pytest.raises(RegistryError, match="was changed after"),
        ):
            load_predictor("1")
    finally:
        registry.untag_version(1, ["adapter.sha256"])


def test_without_its_entries_a_version_is_not_loaded_where_there_is_no_clone(promoted, served_only):
    folder = stored(promoted, "adapter.safetensors").parent.parent / "decisions"
    shutil.move(folder, served_only / "kept")
    try:
        with pytest.raises(RegistryError, match="version 1 is not in the log of decisions"):
            load_predictor("champion")
    finally:
        shutil.move(served_only / "kept", folder)


@pytest.fixture
def by_hand(promoted):
    """A second version that nobody decided on; the alias `champion` points to it."""
    registry = open_registry(promoted.folder)
    first = registry.client.get_model_version(NAME, "1")
    made = registry.client.create_model_version(
        NAME, first.source, run_id=first.run_id, model_id=first.model_id
    )
    registry.set_alias("champion", int(made.version))
    yield int(made.version)
    registry.set_alias("champion", 1)
    registry.client.delete_model_version(NAME, made.version)


@pytest.mark.long
def test_an_alias_set_by_hand_misleads_nobody(by_hand, promoted, tmp_path):
    assert load_predictor("champion").name == "pa_sam (version 1)"
    with pytest.raises(RegistryError, match=f"version {by_hand} is not in the log of decisions"):
        RegisteredVersions(promoted.folder, tmp_path)("champion")
    assert verify_versions(promoted.folder)[1] == ""
    assert "not in the log" in verify_versions(promoted.folder)[by_hand]


@pytest.mark.slow  # two promotions
def test_an_alias_on_a_rejected_version_is_noticed_without_a_clone(
    own_promoted, tmp_path, monkeypatch
):
    project = own_promoted
    project.change("gate", model="hq_sam")
    commit(project.folder)
    assert not promote(project.folder).promoted
    open_registry(project.folder).set_alias("champion", 2)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.folder}/mlruns/mlflow.db")
    shutil.copy(project.path("params.yaml"), tmp_path)
    (tmp_path / "machine").mkdir()
    shutil.copy(project.path("params.yaml"), tmp_path / "machine")
    monkeypatch.chdir(tmp_path / "machine")
    with pytest.raises(RegistryError, match="points to version 2, which no decision made champion"):
        load_predictor("champion")


@pytest.mark.long
def test_promote_notices_a_champion_whose_files_were_changed(own_promoted):
    project = own_promoted
    project.change("gate", model="hq_sam")
    commit(project.folder)
    (place,) = stored_all(project, "adapter.safetensors")
    place.write_bytes(flip(place.read_bytes()))
    with pytest.raises(RegistryError, match="version 1 was changed after it was registered"):
        promote(project.folder)


def test_an_adapter_replaced_between_the_look_and_the_copy_is_not_registered(project, tmp_path):
    candidate = find_candidate(take_snapshot(project.folder), "pa_sam")
    candidate.adapter.write_bytes(flip(candidate.adapter.read_bytes()))
    with pytest.raises(RegistryError, match="was replaced while it was registered"):
        write_files(tmp_path, candidate)


def test_reproduce_compares_with_the_logs_digests_not_with_mlflows(promoted):
    registry = open_registry(promoted.folder)
    known = as_logged(registry.version(1), known_standing(promoted.folder))
    wanted = known.tags["adapter.sha256"]
    registry.tag_version(1, {"adapter.sha256": "0" * 64})
    try:
        output = CliRunner().invoke(app, ("registry", "reproduce", "champion")).output
    finally:
        registry.untag_version(1, ["adapter.sha256"])
    assert f"sha256 {wanted}" in output
    assert plan_reproduction(promoted.folder, known).problems == ()


@pytest.mark.long
def test_the_command_says_which_versions_are_whole(promoted):
    run = lambda *words: CliRunner().invoke(app, ("registry", "verify", *words))  # noqa: E731
    assert run("champion").output == "version 1: whole\n"
    with changed(stored(promoted, "adapter.safetensors"), flip):
        result = run("--json")
    assert result.exit_code == 2
    assert "was changed after" in json.loads(result.output)["1"]


def test_dvcs_cache_is_verified_file_by_file(tracked):
    assert list(damaged_cache(tracked.folder)) == []
    for name, content in (("5d/41402abc4b2a76b9719d911017c592", b"hello"), ("00/1.dir", b"[]")):
        place = tracked.folder / OBJECTS / name
        place.parent.mkdir(parents=True)
        place.write_bytes(content)
    (line,) = damaged_cache(tracked.folder)
    assert line.startswith("00/1.dir holds bytes of md5 d751713988987e9331980363e24189ce")
    result = CliRunner().invoke(app, ("verify-cache",))
    assert result.exit_code == 2
    assert "1 files in DVC's cache are damaged" in result.stderr


@pytest.fixture
def run_of_hq_sam(project):
    """A run whose weights only DVC's cache has."""
    run = sync(project.folder).runs["train@hq_sam"]
    tree = project.path("data/adapters/hq_sam.safetensors")
    registry = open_registry(project.folder)
    digest = registry.client.get_run(run).data.tags["model.md5"]
    kept = cached_file(project.folder, digest)
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(tree, kept)
    return registry, run, kept


def test_weights_of_a_run_are_compared_with_their_digest(run_of_hq_sam, project, tmp_path):
    _, run, kept = run_of_hq_sam
    kept.write_bytes(flip(kept.read_bytes()))
    with pytest.raises(RegistryError, match=r"DVC's cache holds other bytes.*verify-cache"):
        registered_files(f"runs:/{run}", project=project.folder, folder=tmp_path)


def test_tags_of_a_run_name_no_file_outside(run_of_hq_sam, project, tmp_path):
    registry, run, _ = run_of_hq_sam
    registry.client.set_tag(run, "dvc.stage", "train@../../../escaped")
    files = registered_files(f"runs:/{run}", project=project.folder, folder=tmp_path / "in")
    assert files.weights.parent == tmp_path / "in"
    registry.client.set_tag(run, "model.md5", "..//etc/passwd")
    with pytest.raises(RegistryError, match="has no model"):
        registered_files(f"runs:/{run}", project=project.folder, folder=Path(tmp_path))


@pytest.fixture
def keys(tmp_path):
    """Paths of a private key, of its public one, and of another public one."""
    pair, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    private = pair.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    places = [tmp_path / name for name in ("private.pem", "public.pem", "other.pem")]
    places[0].write_bytes(private)
    for place, key in zip(places[1:], (pair, other), strict=True):
        place.write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
    return places


def test_without_the_package_a_key_is_no_silent_wish(tmp_path, monkeypatch, keys):
    monkeypatch.setitem(sys.modules, "model_signing.signing", None)
    monkeypatch.setenv(SIGNING_KEY, str(keys[0]))
    with pytest.raises(RegistryError, match=r"cannot be signed.*prompt-adapter-sam\[sign\]"):
        sign_files(tmp_path)


def test_without_a_key_nothing_is_signed_or_asked_for(tmp_path, monkeypatch):
    for name in (SIGNING_KEY, VERIFY_KEY):
        monkeypatch.delenv(name, raising=False)
    assert sign_files(tmp_path) is None
    verify_signature(tmp_path, 1, "000001")


@pytest.mark.parametrize("key", ["", "private.pem"])
@pytest.mark.parametrize("evidence", [(), ("scores.parquet",), ("scores.parquet", "model.sig")])
def test_a_signature_lacks_only_where_there_is_a_key_to_sign_with(key, evidence, monkeypatch):
    monkeypatch.setenv(SIGNING_KEY, key)
    assert lacks_signature(evidence) is (bool(key) and "model.sig" not in evidence)


def test_a_signature_is_of_all_files_but_those_that_grow(tmp_path, monkeypatch, keys):
    pytest.importorskip("model_signing", reason="model-signing is not installed")
    for name, place in zip((SIGNING_KEY, VERIFY_KEY), keys, strict=False):
        monkeypatch.setenv(name, str(place))
    folder = tmp_path / "version"
    for name in ("MLmodel", "artifacts/model.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    signature = sign_files(folder)
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "MLmodel", "model.json"
    ]  # fmt: skip
    for name in ("decisions/000003.json", "evidence/000004-scores.parquet"):
        (folder / name).parent.mkdir()
        (folder / name).write_text("later")
    (folder / "evidence" / "000003-model.sig").write_bytes(signature)
    verify_signature(folder, 1, "000003")
    with pytest.raises(RegistryError, match="version 1 is not signed"):
        verify_signature(folder, 1, "000004")
    for name in ("MLmodel", "artifacts/more"):
        before = (folder / name).read_text() if (folder / name).exists() else None
        (folder / name).write_text("changed")
        with pytest.raises(RegistryError, match=r"cannot be verified \(version 1\) with"):
            verify_signature(folder, 1, "000003")
        (folder / name).unlink() if before is None else (folder / name).write_text(before)
    verify_signature(folder, 1, "000003")
    monkeypatch.setenv(VERIFY_KEY, str(keys[2]))
    with pytest.raises(RegistryError, match=r"cannot be verified \(version 1\) with .*other.pem"):
        verify_signature(folder, 1, "000003")


def test_a_version_that_is_not_signed_is_refused_where_a_key_asks_for_it(
    promoted, monkeypatch, keys
):
    monkeypatch.setenv(VERIFY_KEY, str(keys[1]))
    with pytest.raises(RegistryError, match="version 1 is not signed, and PASAM_VERIFY_KEY asks"):
        load_predictor("champion")


def test_the_signature_is_that_of_the_entry_that_registered_the_version(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(stored_files, "verify_signature", lambda *given: asked.append(given))
    files = stored_files.digests_of(tmp_path)
    entry = Entry(event="register", version=2, number=5, files=files, details={"key": "k"})
    standing = Standing(versions={2: VersionStanding(number=2, registered=entry, status="")})
    assert stored_files.verify_files(tmp_path, 2, standing) is entry
    assert asked == [(tmp_path, 2, "000005")]


@pytest.mark.long
def test_what_was_registered_before_there_was_a_key_is_signed_by_the_next_promotion(
    own_promoted, monkeypatch, keys
):
    pytest.importorskip("model_signing", reason="model-signing is not installed")
    monkeypatch.setenv(SIGNING_KEY, str(keys[0]))
    monkeypatch.setenv(VERIFY_KEY, str(keys[1]))
    promote(own_promoted.folder)
    assert load_predictor("champion").name == "pa_sam (version 2)"


@pytest.mark.slow  # it times, which other work beside it disturbs
def test_signing_and_verifying_vit_l_takes_less_than_two_seconds(tmp_path, monkeypatch, keys):
    """Of one processor's time; the file is of that size and takes no place on the disk."""
    pytest.importorskip("model_signing", reason="model-signing is not installed")
    monkeypatch.setenv(SIGNING_KEY, str(keys[0]))
    monkeypatch.setenv(VERIFY_KEY, str(keys[1]))
    folder = tmp_path / "version"
    (folder / "evidence").mkdir(parents=True)
    with (folder / "base.safetensors").open("wb") as base:
        base.truncate(1_250_000_000)
    stored_files.digests_of(folder)  # as registering does first, so that the file is in memory
    start = time.process_time()
    signature = sign_files(folder)
    assert signature is not None
    (folder / "evidence" / "000001-model.sig").write_bytes(signature)
    verify_signature(folder, 1, "000001")
    assert time.process_time() - start < 2
    with (folder / "base.safetensors").open("r+b") as base:
        base.seek(1_111_111_111)
        base.write(b"x")
    with pytest.raises(RegistryError, match="cannot be verified"):
        verify_signature(folder, 1, "000001")


def measured(monkeypatch, module, name):
    """CPU seconds of every call of a function."""
    real, spent = getattr(module, name), []

    def timed(*arguments):
        start = time.process_time()
        try:
            return real(*arguments)
        finally:
            spent.append(time.process_time() - start)

    monkeypatch.setattr(module, name, timed)
    return spent


@pytest.mark.long
def test_a_signed_version_is_verified_with_the_public_key_alone(
    project, tmp_path, monkeypatch, keys
):
    pytest.importorskip("model_signing", reason="model-signing is not installed")
    private, public, other = keys
    monkeypatch.setenv(SIGNING_KEY, str(private))
    spent = measured(monkeypatch, version_files, "sign_files")
    promote(project.folder)
    monkeypatch.delenv(SIGNING_KEY)
    monkeypatch.setenv(VERIFY_KEY, str(public))
    verifying = measured(monkeypatch, stored_files, "verify_signature")
    assert verify_versions(project.folder) == {1: ""}
    assert spent
    assert verifying
    assert sum(spent) + max(verifying) < 2
    # A machine that only serves: MLflow's address, the package, the public key.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.folder}/mlruns/mlflow.db")
    machine = tmp_path / "machine"
    machine.mkdir()
    shutil.copy(project.path("params.yaml"), machine)
    monkeypatch.chdir(machine)
    assert load_predictor("champion").name == "pa_sam (version 1)"
    monkeypatch.setenv(VERIFY_KEY, str(other))
    with pytest.raises(RegistryError, match=r"cannot be verified \(version 1\) with .*other.pem"):
        load_predictor("champion")
    monkeypatch.setenv(VERIFY_KEY, str(public))
    (adapter,) = (project.folder / "mlruns" / "artifacts").rglob("adapter.safetensors")
    adapter.write_bytes(adapter.read_bytes()[:-1] + b"x")
    with pytest.raises(RegistryError, match="cannot be verified"):
        load_predictor("champion")
    (signature,) = (project.folder / "mlruns" / "artifacts").rglob("*-model.sig")
    signature.write_bytes(b"[" * 1000)
    with pytest.raises(RegistryError, match="cannot be verified"):
        load_predictor("champion")


def lock_of(**outs):
    """A lock of stages that each make one file and depend on another."""
    stages = {
        name: {"cmd": "c", "outs": [{"path": name, "md5": made}],
               "deps": [{"path": f"of {name}", "md5": read}]}
        for name, (made, read) in outs.items()
    }  # fmt: skip
    return json.dumps({"stages": stages}).encode()


def test_the_cache_is_needed_by_every_commit_the_tree_and_the_members_of_their_folders(
    tmp_path, monkeypatch
):
    commits = {"one": lock_of(a=("aa1.dir", "aa2")), "two": None, "HEAD": lock_of(a=("bb1", "bb2"))}
    asked = []
    monkeypatch.setattr(
        cleaning, "committed_file",
        lambda project, commit, name: asked.append((commit, name)) or commits[commit],
    )  # fmt: skip
    monkeypatch.setattr(cleaning, "_added_objects", lambda project, commits: {"cc1.dir", *commits})
    for name, members in (("aa/1.dir", ("m1", "m2")), ("cc/1.dir", ("m3",)), ("dd/1", ("m4",))):
        place = tmp_path / OBJECTS / name
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps([{"md5": each, "relpath": each} for each in members]))
    wanted = {"aa1.dir", "aa2", "bb1", "bb2", "cc1.dir", "m1", "m2", "m3", *commits}
    assert cleaning._needed_objects(tmp_path, ["one", "two", "", "HEAD", "one"]) == wanted
    assert sorted(asked) == [(commit, "dvc.lock") for commit in ("HEAD", "one", "two")]
    (tmp_path / "dvc.lock").write_bytes(lock_of(a=("dd1", "ee1"), b=("ff1", "ee2")))
    found = cleaning._needed_objects(tmp_path, commits)
    assert found == wanted | {"dd1", "ee1", "ff1", "ee2"}, "a file is no list, whatever it holds"


def test_commits_that_are_kept_are_those_of_every_branch_and_of_versions_that_are_there(
    monkeypatch,
):
    def version(commit, removed):
        return SimpleNamespace(removed=removed, tags={"git.commit": commit} if commit else {})

    standing = SimpleNamespace(
        versions={1: version("c1", True), 2: version("c2", False), 3: version("", False)}
    )
    monkeypatch.setattr(
        cleaning, "call_git", lambda project, *words: SimpleNamespace(stdout=b"b1\nb2\n")
    )
    cleaner = cleaning._Cleaner(
        project=Path(), decisions=SimpleNamespace(standing=standing), keep=0, dry_run=False
    )
    assert list(cleaner._commits()) == ["b1", "b2", "HEAD", "c2", ""]


def test_a_version_that_others_promote_while_it_is_decided_that_it_goes_stays_whole(tmp_path):
    def known(number):
        entry = Entry(event="register", version=number, details={"model_id": f"m{number}"})
        return VersionStanding(number=number, registered=entry, status="")

    before = Standing(versions={number: known(number) for number in (1, 2, 3)}, champions=[3])
    later = Standing(versions=before.versions, champions=[3, 1])
    decisions = MagicMock(standing=before)
    decisions.registry.store = SimpleNamespace(tracking_uri="http://server", folder=tmp_path)
    decisions.registry.versions.return_value = list(before.versions.values())
    decisions.entry.side_effect = lambda event, number, why: Entry(event=event, version=number)
    decisions.decide.side_effect = lambda draft: (
        [draft(each) for each in (before, later)][-1].entries
    )
    cleaner = cleaning._Cleaner(project=tmp_path, decisions=decisions, keep=0, dry_run=False)
    assert [each.name for each in cleaner.versions()] == ["2"]
    client = decisions.registry.client
    assert [each.args[1] for each in client.delete_model_version.call_args_list] == ["2"]
    assert [each.args for each in client.delete_logged_model.call_args_list] == [("m2",)]


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_a_backup_has_the_caches_files_or_the_trees_own_and_names_what_neither_has(
    tmp_path, monkeypatch
):
    listing = json.dumps([{"md5": "11" * 16}, {"md5": "22" * 16}]).encode()
    partly = json.dumps([{"md5": "11" * 16}, {"md5": "33" * 16}]).encode()
    cached = {"11" * 16: b"1", "22" * 16: b"2", f"{md5(listing)}.dir": listing,
              f"{md5(partly)}.dir": partly, md5(b"kept"): b"kept"}  # fmt: skip
    committed = {md5(b"committed"): b"committed"}  # git has that file, whatever the cache holds
    for name, content in (cached | committed).items():
        place = tmp_path / OBJECTS / name[:2] / name[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    for name, content in (("own", b"own"), ("edited", b"x"), ("kept", b"other"), ("raw", b"r")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "dvc.lock").write_bytes(
        lock_of(
            whole=(f"{md5(listing)}.dir", "1"), part=(f"{md5(partly)}.dir", "1"),
            own=(md5(b"own"), "1"), edited=(md5(b"before"), "1"), kept=(md5(b"kept"), "1"),
            table=(md5(b"committed"), "1"),
        ).replace(b"of kept", b"raw").replace(b"of own", b"raw").replace(b"of part", b"code")
        .replace(b"of whole", b"kept").replace(b"of edited", b"cod")
    )  # fmt: skip
    (tmp_path / "code").mkdir()
    (tmp_path / "cod").mkdir()
    monkeypatch.setattr(backup, "_listed", lambda project, *words: ["table", "code/a.py", "coder"])
    contents = backup._Contents()
    backup._cache_part(tmp_path, contents)
    assert contents.left_out == [
        "part: DVC's cache lacks it; `dvc repro` makes it",
        "raw: neither git nor DVC keeps it; copy it yourself",
        "edited: DVC's cache lacks it; `dvc repro` makes it",
        "cod: neither git nor DVC keeps it; copy it yourself",
    ]
    wanted = {
        f"cache/{name[:2]}/{name[2:]}": tmp_path / OBJECTS / name[:2] / name[2:] for name in cached
    }
    own = md5(b"own")
    assert contents.files == wanted | {f"cache/{own[:2]}/{own[2:]}": tmp_path / "own"}


@pytest.mark.parametrize(
    ("address", "kept_by"),
    [
        (None, []),
        ("sqlite:////srv/other.db", ["sqlite:////srv/other.db"]),
        ("https://ada:secret@tracking.example.org", ["https://tracking.example.org"]),
    ],
)
def test_a_backup_has_mlflows_records_as_of_one_moment_and_names_those_that_lie_elsewhere(
    address, kept_by, tmp_path, monkeypatch
):
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if address is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    folder, place = tmp_path / "mlruns", tmp_path / "place"
    place.mkdir()
    for name in ("artifacts/m/adapter", "sync.lock", "old.db-wal", "old.db-shm", "other"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as live:
        live.execute("CREATE TABLE runs (name)")
        live.execute("INSERT INTO runs VALUES ('one')")
        live.commit()
        contents = backup._Contents()
        backup._records_part(tmp_path, place, contents)
    assert contents.files == {
        "mlruns/artifacts/m/adapter": folder / "artifacts/m/adapter",
        "mlruns/other": folder / "other", "mlruns/mlflow.db": place / "mlflow.db",
    }  # fmt: skip
    with contextlib.closing(sqlite3.connect(place / "mlflow.db")) as copy:
        assert copy.execute("SELECT name FROM runs").fetchall() == [("one",)]
    told = [f"MLflow's records: {each} keeps them; back that up, too" for each in kept_by]
    assert contents.left_out == told
