"""A project over months: it comes back from a backup, is cleaned, and says what it gained."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tracked_world import commit, copy_tracked, git, standing_in, write_lock
from typer.testing import CliRunner

from pasam.config.presets import compose
from pasam.config.requirements import GateParams
from pasam.errors import DataError, RegistryError
from pasam.evaluation.scores import read_scores, write_scores
from pasam.files import TEMPORARY, file_md5, sha256_of, temporary_folder
from pasam.inference.image_prompt import image_prompt
from pasam.registry.decision_log import CLAIM, PROMOTED, DecisionLog
from pasam.registry.evidence import reevaluate
from pasam.registry.gate import simulate_years
from pasam.registry.load import load_predictor, verify_versions
from pasam.registry.promotion import promote
from pasam.registry.snapshot import take_snapshot
from pasam.registry.store import _ADDRESSES
from pasam.registry.transitions import Draft, check, open_decisions, reject, rollback
from pasam.registry.upkeep import cleaning
from pasam.registry.upkeep.backup import back_up, restore
from pasam.registry.upkeep.claims import claim
from pasam.registry.upkeep.cleaning import clean, removable
from pasam.registry.version_files import predictor_of
from pasam.registry.versions import open_registry


def champions_mask():
    """The champion's mask of a fixed image, asked in the current folder."""
    model = load_predictor("champion")
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    return model.predict_many([(model.embed(pixels), image_prompt(box=(10, 10, 50, 40)))])


def inside(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.long
def test_a_project_that_was_destroyed_comes_back_elsewhere_with_the_same_champion(
    own_promoted, tmp_path, monkeypatch
):
    project = own_promoted
    before, entries = champions_mask(), DecisionLog(project.folder).read()
    project.path("params.yaml").write_text(project.path("params.yaml").read_text() + "# mine\n")
    project.path("notes").mkdir()
    project.path("notes/new.txt").write_text("not committed")
    outs = project.path("data/adapters/pa_sam.safetensors").read_bytes()
    found = back_up(project.folder, tmp_path / "backup.tar")
    assert found.champion == 1

    old = project.folder
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(old)
    shutil.rmtree(old.parent / f"{old.name}.git")  # the remote, too
    elsewhere = tmp_path / "another" / "place"
    restore(tmp_path / "backup.tar", elsewhere)

    monkeypatch.chdir(elsewhere)
    after = champions_mask()
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one.masks, other.masks)
        assert np.array_equal(one.low_res, other.low_res)
    assert DecisionLog(elsewhere).read(shared=False) == entries
    assert (elsewhere / "params.yaml").read_text().endswith("# mine\n")
    assert (elsewhere / "notes/new.txt").read_text() == "not committed"
    assert (elsewhere / "data/adapters/pa_sam.safetensors").read_bytes() == outs
    git(elsewhere, "remote", "remove", "origin")
    assert check(elsewhere, repair=True).left == ()
    assert open_registry(elsewhere).aliases() == {"champion": 1}
    assert not old.exists()


@pytest.mark.slow  # its addresses: test_store
def test_a_registry_of_the_first_house_is_read_with_its_files_wherever_it_lies_now(own_promoted):
    """Its addresses name a folder, its versions have a base each, and there is no log."""
    project = own_promoted
    before = champions_mask()
    stored = project.path("mlruns/artifacts/models")
    (base,), (adapter,) = (list(stored.rglob(f"{n}.safetensors")) for n in ("base", "adapter"))
    base.rename(adapter.with_name("base.safetensors"))
    shutil.rmtree(adapter.parent.parent / "decisions")
    shutil.rmtree(adapter.parent.parent / "evidence")
    git(project.folder, "push", "--quiet", "origin", "--delete", "pasam-decisions")
    for ref in ("refs/heads/pasam-decisions", "refs/pasam/origin/pasam-decisions"):
        git(project.folder, "update-ref", "-d", ref)
    database = sqlite3.connect(project.path("mlruns/mlflow.db"))
    with database:
        database.execute("DELETE FROM registered_model_tags WHERE key = 'pasam.log'")
        database.execute("DELETE FROM model_version_tags WHERE key = 'pasam.entries'")
        for table, column in _ADDRESSES:
            database.execute(
                f"UPDATE {table} SET {column} = 'file:///gone/mlruns/artifacts/' || "
                f"substr({column}, {len('mlflow-artifacts:/') + 1})"
            )
        database.execute("UPDATE experiments SET artifact_location = rtrim(artifact_location, '/')")
    database.close()
    for _ in ("before the log", "with it"):
        for one, other in zip(before, champions_mask(), strict=True):
            assert np.array_equal(one.masks, other.masks)
        decisions = open_decisions(project.folder)
    assert decisions.standing.aliases == {"champion": 1}
    assert {entry.event for entry in decisions.log.entries} == {"import"}
    assert verify_versions(project.folder) == {1: ""}
    assert check(project.folder).found == ()


@pytest.fixture
def small(tmp_path):
    """A repository with a commit, and nothing recorded."""
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    (folder / "b.txt").write_text("b")
    commit(folder, push=False)
    return folder


def test_what_was_renamed_in_the_working_tree_has_its_new_name_alone_after_a_restore(
    small, tmp_path
):
    git(small, "mv", "b.txt", "c.txt")
    back_up(small, tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").glob("*.txt")} == {"a.txt", "c.txt"}


def test_every_branch_and_tag_and_what_a_remote_had_come_back(small, tmp_path):
    for command in (("tag", "v1"), ("branch", "other"), ("update-ref", "refs/pasam/o/x", "HEAD")):
        git(small, *command)
    back_up(small, tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", tmp_path / "new")
    assert git(tmp_path / "new", "for-each-ref") == git(small, "for-each-ref")


def test_what_the_working_tree_lacks_is_lacking_after_a_restore(small, tmp_path):
    (small / "b.txt").unlink()
    back_up(small, tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", tmp_path / "new")
    assert not (tmp_path / "new/b.txt").exists()
    assert git(tmp_path / "new", "status", "--porcelain") == git(small, "status", "--porcelain")


def test_a_backup_with_a_damaged_byte_is_refused_and_nothing_is_made(small, tmp_path):
    (small / "new.txt").write_text("precious" * 100)
    file = tmp_path / "backup.tar"
    back_up(small, file)
    content = file.read_bytes()
    file.write_bytes(content.replace(b"precious", b"preci0us", 1))
    before = inside(tmp_path)
    with pytest.raises(DataError, match=r"damaged: tree/new.txt is \w{12}, expected \w{12}"):
        restore(file, tmp_path / "new")
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="damaged"):
        restore(file, tmp_path / "new")
    assert inside(tmp_path) == before


def test_a_member_too_much_and_a_file_that_is_no_backup_are_refused(small, tmp_path):
    file = tmp_path / "backup.tar"
    back_up(small, file)
    with tarfile.open(file, "a") as tape:
        tape.add(small / "a.txt", "../outside.txt")
    with pytest.raises(DataError, match=r"\.\./outside.txt is \w{12}, expected nothing"):
        restore(file, tmp_path / "new")
    file.write_bytes(b"no tar")
    with pytest.raises(DataError, match="no backup"):
        restore(file, tmp_path / "new")


def forged(file, changes, added=()):
    """Write a backup with another description and further members, their digests in it."""
    with tarfile.open(file) as tape:
        members = [(each, tape.extractfile(each).read()) for each in tape if each.isreg()]
    about = json.loads(members[0][1]) | changes
    for member, content in added:
        if member.isreg():
            about["files"][member.name] = sha256_of(content)
    members[0] = (members[0][0], json.dumps(about).encode())
    with tarfile.open(file, "w") as tape:
        for member, content in (*members, *added):
            member.size = len(content)
            tape.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    "changes",
    [
        {"files": None}, {"files": {"project.bundle": 5}}, {"remotes": []}, {"deleted": [1]},
        {"left_out": 3}, {"log": None}, {"champion": "x"}, {"branch": "--orphan"},
        {"branch": "", "head": "--help"}, {"remotes": {"--mirror": "x"}},
        {"remotes": {"x": "--mirror"}}, {"deleted": ["../../small/a.txt"]},
    ],
)  # fmt: skip
def test_a_backup_that_is_described_otherwise_is_refused_in_words(changes, small, tmp_path):
    back_up(small, tmp_path / "backup.tar")
    forged(tmp_path / "backup.tar", changes)
    with pytest.raises(DataError, match=r"backup|leads out"):
        restore(tmp_path / "backup.tar", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert (small / "a.txt").exists()


def test_a_champion_whose_records_a_server_keeps_is_not_looked_for(small, tmp_path, monkeypatch):
    back_up(small, tmp_path / "b.tar")
    forged(tmp_path / "b.tar", {"champion": 1})
    with pytest.raises(RegistryError, match="there is no version here"):
        restore(tmp_path / "b.tar", tmp_path / "new")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert restore(tmp_path / "b.tar", tmp_path / "new").champion == 1


@pytest.mark.parametrize("name", ["tree/.git/config", "tree/.GIT/hooks/post-checkout"])
def test_a_backup_brings_nothing_that_git_would_run(name, small, tmp_path):
    back_up(small, tmp_path / "backup.tar")
    program = f"[core]\n\tfsmonitor = touch {tmp_path}/ran #\n".encode()
    forged(tmp_path / "backup.tar", {}, [(tarfile.TarInfo(name), program)])
    with pytest.raises(DataError, match="which git would run or obey"):
        restore(tmp_path / "backup.tar", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_link_in_a_backup_is_refused(small, tmp_path):
    back_up(small, tmp_path / "backup.tar")
    link = tarfile.TarInfo("tree/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    forged(tmp_path / "backup.tar", {}, [(link, b"")])
    with pytest.raises(DataError, match="link"):
        restore(tmp_path / "backup.tar", tmp_path / "new")


def test_a_folder_that_exists_is_not_restored_over(small, tmp_path):
    back_up(small, tmp_path / "backup.tar")
    with pytest.raises(DataError, match="exists already"):
        restore(tmp_path / "backup.tar", small)


def test_without_a_repository_there_is_no_backup(tmp_path):
    with pytest.raises(RegistryError, match="lies in no git repository"):
        back_up(tmp_path, tmp_path / "backup.tar")
    assert inside(tmp_path) == []


def test_what_is_not_in_a_backup_is_named(small, tmp_path):
    (small / ".dvc").mkdir()
    (small / ".dvc/config.local").write_text("password")
    found = back_up(small, tmp_path / "backup.tar")
    assert found.left_out == (".dvc/config.local: it may hold credentials; set it anew",)
    assert b"password" not in (tmp_path / "backup.tar").read_bytes()


def test_a_backup_has_the_documents_of_runs_and_no_lock_of_the_records(small, tmp_path):
    for name in ("sync.lock", "artifacts/r/dvc.lock", "artifacts/r/requirements.lock"):
        (small / "mlruns" / name).parent.mkdir(parents=True, exist_ok=True)
        (small / "mlruns" / name).touch()
    back_up(small, tmp_path / "backup.tar")
    with tarfile.open(tmp_path / "backup.tar") as tape:
        kept = [name for name in tape.getnames() if name.startswith("mlruns/")]
    assert kept == ["mlruns/artifacts/r/dvc.lock", "mlruns/artifacts/r/requirements.lock"]


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The system's folder for temporary ones, of this test alone."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def age(path, days=60):
    """Make a file or a folder look old, with all that is in it."""
    then = path.stat().st_mtime - days * 86400
    for each in [path, *path.rglob("*")]:
        os.utime(each, (then, then))


def kinds(found):
    return sorted(each.kind for each in found)


@pytest.fixture(scope="module")
def two_once(champion_once, tmp_path_factory):
    """Version 1 is champion; version 2 is rejected. To be copied."""
    own = copy_tracked(champion_once, tmp_path_factory.mktemp("two") / "world")
    own.change("gate", model="hq_sam", minimum_gain=50.0)
    commit(own.folder)
    with standing_in(own):
        promote(own.folder)
        reject(own.folder, 2, why="halos")
    return own


@pytest.fixture
def two(two_once, own_copy, temporary):
    """Version 1 is champion; version 2 is rejected."""
    return own_copy(two_once)


def models(project):
    return {path.name for path in project.path("mlruns/artifacts/models").iterdir()}


@pytest.mark.long
def test_a_rejected_version_goes_and_the_champion_stays_whole(two):
    before, stored = DecisionLog(two.folder).read(), models(two)
    would = clean(two.folder, keep=0, days=30, dry_run=True)
    assert [(each.kind, each.name) for each in would] == [("version", "2")]
    assert would[0].size > 100_000
    assert (DecisionLog(two.folder).read(), models(two)) == (before, stored)

    assert [(each.kind, each.name) for each in clean(two.folder, keep=0, days=30)] == [
        ("version", "2")
    ]
    assert len(models(two)) == len(stored) - 1  # the base stays: the champion stands on it
    assert verify_versions(two.folder) == {1: ""}
    assert check(two.folder).found == ()
    assert DecisionLog(two.folder).read()[-1].event == "remove"
    assert clean(two.folder, keep=0, days=30) == []
    assert promote(two.folder).message.startswith("version 2 has bytes that are barred")


@pytest.mark.slow  # two judgements
def test_a_version_that_was_removed_comes_back_when_it_is_registered_again(two):
    clean(two.folder, keep=0, days=30)
    from pasam.registry.transitions import lift

    lift(two.folder, 2, why="another look")
    outcome = promote(two.folder)
    assert outcome.version == 3
    standing = open_decisions(two.folder).standing
    assert set(standing.versions) == {1, 3}
    assert not standing.versions[3].removed
    assert verify_versions(two.folder) == {1: "", 3: ""}


@pytest.mark.long
def test_the_newest_versions_and_every_way_back_stay(registry):
    project = registry.store.folder.parent
    decisions = open_decisions(project)
    assert decisions.standing.aliases == {"champion": 2, "previous": 1, "candidate": 3}
    assert removable(decisions.standing, keep=0) == []
    decisions.decide(lambda _: Draft(entries=(decisions.entry(PROMOTED, 3, "x", after=3),)))
    assert removable(decisions.standing, keep=0) == []
    rollback(project, why="worse")
    assert removable(open_decisions(project).standing, keep=0) == [3]
    assert removable(open_decisions(project).standing, keep=1) == []


@pytest.mark.long
def test_runs_go_that_neither_the_lock_nor_a_version_is_of(two):
    from pasam.registry.runs import sync

    decisions = open_decisions(two.folder)
    client, experiment = decisions.registry.client, decisions.registry.store.experiment_id
    old = client.create_run(experiment, tags={"pasam.key": "old"}, run_name="train@gone")
    theirs = client.create_run(experiment, run_name="somebody's")
    client.log_text(old.info.run_id, "x", "note.txt")
    found = clean(two.folder, keep=9, days=-1)
    assert [each.name for each in found] == [f"train@gone {old.info.run_id[:8]}"]
    assert not two.path(f"mlruns/artifacts/{old.info.run_id}").exists()
    assert client.get_run(theirs.info.run_id).info.lifecycle_stage == "active"
    assert sync(two.folder).new == ()


def test_what_killed_processes_left_goes_and_what_lives_stays(project, temporary):
    left, fresh = Path(tempfile.mkdtemp(prefix=TEMPORARY)), temporary_folder()
    part, other = project.path("data/.x.1234.part"), temporary / "not-ours"
    part.write_text("half")
    other.mkdir()
    log = project.path(".flows/logs/retrain.log")
    log.parent.mkdir(parents=True)
    log.write_text("long ago")
    for path in (left, part, other, log):
        age(path)
    found = clean(project.folder, keep=10, days=30)
    assert kinds(found) == ["draft", "draft", "log"]
    assert not part.exists()
    assert not log.exists()
    assert sorted(path.name for path in temporary.iterdir()) == sorted(
        [other.name, Path(fresh.name).name]
    )
    fresh.cleanup()


@pytest.mark.long
def test_the_cache_keeps_what_a_branch_the_tree_or_a_version_needs(two):
    cache = two.path(".dvc/cache/files/md5")
    adapter = two.path("data/adapters/pa_sam.safetensors")

    def keep(content):
        draft = cache / "draft"
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        md5 = file_md5(draft)
        place = cache / md5[:2] / md5[2:]
        place.parent.mkdir(exist_ok=True)
        return draft.rename(place)

    def added(name, *contents):
        """Keep a folder in the cache as `dvc add` does, and say so in a file for git."""
        members = [keep(content) for content in contents]
        listed = [{"md5": file_md5(each), "relpath": each.name} for each in members]
        listing = keep(json.dumps(listed).encode())
        folder = listing.rename(listing.with_name(f"{listing.name}.dir"))
        two.path(name).write_text(f"outs:\n- md5: {file_md5(folder)}.dir\n  path: {name}\n")
        return [folder, *members]

    theirs = added("cats.dvc", b"a cat", b"its mask")
    commit(two.folder)
    two.path("cats.dvc").unlink()  # the commit has it
    needed, orphan = keep(adapter.read_bytes()), keep(b"of no commit")
    mine = added("dogs.dvc", b"a dog, not committed yet")
    lock = two.path("dvc.lock")
    text = lock.read_text()
    lock.write_text(text.replace(file_md5(adapter), "0" * 32))  # the commits still have it
    found = clean(two.folder, keep=9, days=30)
    assert [each.kind for each in found] == ["cache"]
    assert all(each.exists() for each in (needed, *theirs, *mine))
    assert not orphan.exists()
    assert cleaning.described(found, dry_run=False)[-1] == "1 removed, 0.0 MiB"


@pytest.fixture(scope="module")
def sealed_once(accepted_once, tmp_path_factory):
    """Two champions that were judged on one benchmark, with the other one sealed. To be copied."""
    own = copy_tracked(accepted_once, tmp_path_factory.mktemp("sealed") / "world")
    own.change("evaluate", benchmarks=["dis_like"])
    for model in ("pa_sam", "hq_sam"):  # as a run without that set would leave them
        path = own.path(f"data/scores/{model}.parquet")
        rows = read_scores(path)
        write_scores(rows[rows["benchmark"] == "dis_like"], path)
    own.change("gate", mode="off", sealed=["thin_like"])
    write_lock(own)
    commit(own.folder)
    with standing_in(own):
        assert promote(own.folder).moved
        own.change("gate", model="hq_sam")
        commit(own.folder)
        assert promote(own.folder).moved
    return own


@pytest.fixture
def sealed(sealed_once, own_copy):
    """A copy of that."""
    return own_copy(sealed_once)


@pytest.mark.long
def test_a_claim_measures_both_champions_on_what_no_judgement_has_seen(sealed):
    found = claim(sealed.folder)
    assert (found.champion, found.before, found.use) == (2, 1, 1)
    assert set(found.gains) == {"thin_like"}
    decisions, means = open_decisions(sealed.folder), {}
    for number in (1, 2):
        with decisions.fetched(number) as folder:
            scores = reevaluate(
                take_snapshot(sealed.folder), predictor_of(folder), benchmarks=["thin_like"]
            )
        means[number] = 100 * scores["boundary_iou"].mean()
    assert found.gain.mean == pytest.approx(means[2] - means[1])
    (entry,) = [each for each in DecisionLog(sealed.folder).read() if each.event == CLAIM]
    assert (entry.version, entry.why) == (2, found.message)
    assert set(entry.evidence) == {"sealed.parquet", "sealed-before.parquet"}
    assert check(sealed.folder).found == ()
    assert decisions.standing.versions[2].status == "accepted"

    again = claim(sealed.folder, against=1)
    assert (again.use, again.confidence) == (2, pytest.approx(1 - 0.05 / 4))
    assert again.gain.mean == found.gain.mean
    assert again.gain.low <= found.gain.low


@pytest.mark.long
def test_what_was_measured_on_is_not_sealed(sealed):
    sealed.change("evaluate", benchmarks=["dis_like", "thin_like"])
    write_lock(sealed)
    commit(sealed.folder)
    with pytest.raises(RegistryError, match=r"\['thin_like'\] are sealed, and the last run was"):
        claim(sealed.folder)
    assert CLAIM not in [entry.event for entry in DecisionLog(sealed.folder).read()]


def test_without_a_sealed_set_there_is_no_claim(own_promoted):
    with pytest.raises(RegistryError, match="no data set is sealed: add one"):
        claim(own_promoted.folder)


@pytest.fixture
def gate_of_default(root):
    content = compose("default", root / "params")["gate"]
    return GateParams(**{**content, "n_resamples": 1000})


@pytest.mark.long
def test_over_a_year_judgements_say_more_than_is_true_and_the_sealed_set_does_not(gate_of_default):
    images = dict.fromkeys("abcd", 50)
    years = simulate_years(gate_of_default, images, std=6.0, years=100)
    assert years.promotions > 0.1
    assert years.judged_excess > 0.2
    assert abs(years.sealed_excess) <= 0.2


def test_the_commands_say_what_they_did(small, registry, tmp_path):
    from pasam.cli.app import app

    def said(*arguments, code=0):
        result = CliRunner().invoke(app, [str(each) for each in arguments])
        assert result.exit_code == code, result.output
        return result.stdout or result.stderr

    file = tmp_path / "backup.tar"
    assert "no champion; all digests agree" in said("backup", file, "--project", small)
    found = json.loads(said("restore", file, tmp_path / "new", "--json"))
    assert found["files"] == 1  # all that git knows; the tree has nothing besides
    assert (tmp_path / "new/a.txt").read_text() == "a"
    assert "exists already" in said("restore", file, tmp_path / "new", code=2)
    project = registry.store.folder.parent
    assert said("clean", "--dry-run", "--project", project).startswith("0 would go")


@pytest.mark.parametrize("dry_run", [False, True])
def test_logs_go_from_the_age_that_was_named_and_a_dry_run_only_says_so(dry_run, tmp_path):
    logs = tmp_path / ".flows" / "logs"
    (logs / "deep").mkdir(parents=True)
    for name, moment in (("old.log", 99), ("deep/older.log", 9), ("at.log", 100), ("new.log", 101)):
        (logs / name).write_text("words")
        os.utime(logs / name, (moment, moment))
    cleaner = cleaning._Cleaner(project=tmp_path, decisions=None, keep=0, dry_run=dry_run)
    found = list(cleaner.logs(100.0))
    assert sorted((each.kind, each.name, each.size) for each in found) == [
        ("log", "old.log", 5), ("log", "older.log", 5)
    ]  # fmt: skip
    left = {path.name for path in logs.rglob("*.log")}
    assert left == {"at.log", "new.log"} | ({"old.log", "older.log"} if dry_run else set())


@pytest.mark.parametrize("dry_run", [False, True])
def test_drafts_go_when_nothing_in_them_was_written_for_a_day(dry_run, tmp_path, temporary):
    for name, times in (
        ("data/.a.part", (50,)), ("reports/.b.draft", (50, 150)), ("mlruns/.c.old", (50, 60)),
        ("data/d.part", (50,)), ("elsewhere/.e.part", (50,)),
    ):  # fmt: skip
        place = tmp_path / name
        place.mkdir(parents=True)
        for number, moment in enumerate(times):
            (place / str(number)).write_text("x")
            os.utime(place / str(number), (moment, moment))
        os.utime(place, (40, 40))
    deep = tmp_path / "reports" / ".f.draft" / "one" / "two"
    deep.mkdir(parents=True)
    (deep / "0").write_text("x")
    for place, moment in ((deep / "0", 150), *((each, 40) for each in (deep, *deep.parents[:2]))):
        os.utime(place, (moment, moment))
    cleaner = cleaning._Cleaner(project=tmp_path, decisions=None, keep=0, dry_run=dry_run)
    names = {Path(each.name).name: each.size for each in cleaner.drafts(100.0)}
    assert names == {".a.part": 1, ".c.old": 2}
    assert (tmp_path / "data" / ".a.part").exists() is dry_run
    assert (tmp_path / "reports" / ".b.draft" / "1").exists()
    assert (deep / "0").exists()


@pytest.mark.parametrize(("keep", "days", "dry_run"), [(3, 2.0, True), (10, 30.0, False)])
def test_all_parts_of_a_cleaning_are_told_how_much_may_go(keep, days, dry_run, monkeypatch):
    seen, now = [], 1_000_000.0
    parts = {"versions": 0, "bases": 0, "runs": 1, "logs": 1, "cache": 0, "drafts": 1}

    def noted(name, count):
        def part(self, *moments):
            assert (self.keep, self.dry_run, len(moments)) == (keep, dry_run, count)
            seen.append((name, *moments))
            return [name]

        return part

    for name, count in parts.items():
        monkeypatch.setattr(cleaning._Cleaner, name, noted(name, count))
    monkeypatch.setattr(cleaning.time, "time", lambda: now)
    monkeypatch.setattr(cleaning, "open_decisions", lambda project: decisions)
    decisions = SimpleNamespace(registry=SimpleNamespace(store=SimpleNamespace(registry_uri="x")))
    assert clean(Path(), keep=keep, days=days, dry_run=dry_run) == list(parts)
    old, day = now - days * 86_400, now - 86_400
    assert seen == [
        ("versions",), ("bases",), ("runs", old), ("logs", old), ("cache",), ("drafts", day)
    ]  # fmt: skip
