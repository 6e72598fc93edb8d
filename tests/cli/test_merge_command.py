"""`pasam merge` and git's merge driver, between two branches of a repository of git."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_world import load_yaml
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.cli.team import merge as command
from pasam.errors import ParamsError


def git(*arguments, check=True):
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


def commit(branch, **files):
    git("checkout", "--quiet", "-B", branch, *(["main"] if branch != "main" else []))
    for name, change in files.items():
        path = Path(name.replace("__", "."))
        for old, new in change.items():
            text = path.read_text()
            assert old in text
            path.write_text(text.replace(old, new))
    git("commit", "--quiet", "-am", f"work of {branch}")


@pytest.fixture
def repository(in_empty_folder, root, monkeypatch):
    """A branch `main` with the project's params, a lock of three stages, and the attributes."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for name in ("params.yaml", ".gitattributes"):
        shutil.copy(root / ("params/default.yaml" if name == "params.yaml" else name), name)
    stages = "".join(
        f"  {name}:\n    cmd: run {name}\n    params:\n      params.yaml:\n"
        f"        train.seed: 42\n    outs:\n    - path: {name}\n      md5: {name}0\n"
        for name in ("one", "two", "three")
    )
    Path("dvc.lock").write_text(f"schema: '2.0'\nstages:\n{stages}")
    git("init", "--quiet", "--initial-branch=main")
    git("config", "user.email", "test@example.org")
    git("config", "user.name", "Test")
    git("add", "--all")
    git("commit", "--quiet", "-m", "begin")
    return in_empty_folder


def invoke(*arguments):
    return CliRunner().invoke(app, ["merge", *arguments])


def seed():
    return load_yaml(Path("params.yaml").read_text())["train"]["seed"]


HERS = {"params__yaml": {"  seed: 42": "  seed: 50\n"}, "dvc__lock": {"one0": "one1"}}
HIS = {
    "params__yaml": {"  accumulate: 1 ": "  accumulate: 2 "},
    "dvc__lock": {"three0": "three2"},
}


@pytest.mark.long
def test_with_the_driver_git_merges_two_retrainings_by_itself(repository):
    assert invoke("--setup").exit_code == 0
    commit("hers", **HERS)
    commit("his", **HIS)
    git("merge", "--quiet", "hers")
    text = Path("params.yaml").read_text()
    assert "  seed: 50\n" in text
    assert "  accumulate: 2 " in text
    lock = load_yaml(Path("dvc.lock").read_text())["stages"]
    assert [stage["outs"][0]["md5"] for stage in lock.values()] == ["one1", "two0", "three2"]
    assert git("status", "--porcelain") == ""


def test_without_the_driver_the_command_does_the_same_after_the_conflict(repository):
    commit("hers", params__yaml={"  seed: 42\n": "  seed: 50\n"}, dvc__lock={"one0": "one1"})
    commit(
        "his",
        params__yaml={"  batch_size: 4\n": "  batch_size: 8\n"},
        dvc__lock={"two0": "two2"},
    )
    said = git("merge", "--quiet", "hers", check=False)
    assert "CONFLICT (content): Merge conflict in params.yaml" in said
    result = invoke()
    assert result.exit_code == 0, result.output
    assert (
        "Next: git commit --no-edit; dvc pull --allow-missing --run-cache; dvc repro"
        in result.output
    )
    assert git("diff", "--name-only", "--diff-filter=U") == ""
    assert seed() == 50
    assert load_yaml(Path("params.yaml").read_text())["train"]["batch_size"] == 8


def clash():
    commit(
        "hers", params__yaml={"  seed: 42": "  seed: 50\n"},
        dvc__lock={"seed: 42\n    outs:\n    - path: one\n      md5: one0":
                   "seed: 50\n    outs:\n    - path: one\n      md5: one50"},
    )  # fmt: skip
    commit(
        "his", params__yaml={"  seed: 42": "  seed: 60\n", "  accumulate: 1 ": "  accumulate: 2 "},
        dvc__lock={"seed: 42\n    outs:\n    - path: one\n      md5: one0":
                   "seed: 60\n    outs:\n    - path: one\n      md5: one60"},
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(
    ("take", "expected", "driver"),
    [
        ("ours", 60, True),
        ("theirs", 50, False),
        pytest.param("ours", 60, False, marks=pytest.mark.slow),
        pytest.param("theirs", 50, True, marks=pytest.mark.slow),
    ],
)
def test_a_value_that_both_changed_waits_for_a_person_and_the_lock_follows_the_choice(
    repository, driver, take, expected
):
    if driver:
        invoke("--setup")
    clash()
    git("merge", "--quiet", "hers", check=False)
    result = invoke()
    assert result.exit_code == 2
    assert "train.seed was 42, is 60 in ours and 50 in theirs" in result.output
    assert "Test: work of hers" in result.output
    marked = Path("params.yaml").read_text()
    between = marked.partition("<<<<<<<")[2].partition(">>>>>>>")[0].splitlines()
    assert [line.split("#")[0].rstrip() for line in between[1:]] == [
        "  seed: 60", "=======", "  seed: 50",
    ]  # fmt: skip
    assert invoke("--take", take).exit_code == 0
    assert seed() == expected
    assert f"md5: one{expected}" in Path("dvc.lock").read_text()
    git("commit", "--quiet", "--no-edit")
    assert git("status", "--porcelain") == ""


def test_what_a_person_wrote_between_the_markers_is_taken(repository):
    clash()
    git("merge", "--quiet", "hers", check=False)
    invoke()
    text = Path("params.yaml").read_text()
    before, _, rest = text.partition("<<<<<<<")
    after = rest.partition(">>>>>>>")[2].partition("\n")[2]
    Path("params.yaml").write_text(f"{before}  seed: 55\n{after}")
    result = invoke()
    assert "params.yaml: merged, as you edited it" in result.output
    assert seed() == 55


def test_params_that_do_not_go_together_are_refused_with_the_reason(repository):
    commit(
        "hers",
        params__yaml={"  seeds: [43, 44]": "  seeds: [60, 44]", "  seed: 42\n": "  seed: 41\n"},
    )
    commit("his", params__yaml={"  seed: 42\n": "  seed: 60\n"})
    git("merge", "--quiet", "hers", check=False)
    result = invoke("--take", "ours")
    assert result.exit_code == 2
    assert "repeats.seeds is [60, 44]" in result.output
    assert "params.yaml" in git("diff", "--name-only", "--diff-filter=U")


@pytest.mark.long
def test_a_rebase_goes_the_same_way(repository):
    invoke("--setup")
    clash()
    git("rebase", "--quiet", "hers", check=False)
    result = invoke("--take", "theirs")
    assert result.exit_code == 0, result.output
    assert "git rebase --continue" in result.output
    assert seed() == 60  # in a rebase git calls the commit that is put on top theirs
    assert "one60" in Path("dvc.lock").read_text()
    subprocess.run(["git", "-c", "core.editor=true", "rebase", "--continue"], check=True)


def test_a_lock_that_dvc_has_written_since_the_merge_is_left_alone(repository):
    clash()
    git("merge", "--quiet", "hers", check=False)
    invoke("--take", "ours")
    lock = Path("dvc.lock")
    lock.write_text(lock.read_text().replace("two0", "two9"))
    assert invoke().exit_code == 0
    assert "two9" in lock.read_text()


def test_an_image_that_both_made_stays_ours_until_it_is_made_again(repository):
    invoke("--setup")
    image = Path("docs/images/figure1.png")
    image.parent.mkdir(parents=True)
    for branch, content in (("main", b"\0a"), ("hers", b"\0b"), ("his", b"\0c")):
        git("checkout", "--quiet", "-B", branch, "main")
        image.write_bytes(content)
        git("add", "--all")
        git("commit", "--quiet", "-m", branch)
    git("merge", "--quiet", "hers")
    assert image.read_bytes() == b"\0c"


def test_what_is_not_merged_by_entry_is_left_and_named(repository):
    Path("notes.txt").write_text("a\n")
    git("add", "--all")
    git("commit", "--quiet", "-m", "notes")
    commit("hers", notes__txt={"a": "b"}, params__yaml={"  seed: 42": "  seed: 50\n"})
    commit("his", notes__txt={"a": "c"}, params__yaml={"  batch_size: 4\n": "  batch_size: 8\n"})
    git("merge", "--quiet", "hers", check=False)
    result = invoke()
    assert "Still in conflict, for you to merge: notes.txt" in result.output


def test_without_a_merge_it_says_so(repository):
    result = invoke()
    assert result.exit_code == 2
    assert "no merge is under way" in result.output


def test_a_file_that_cannot_be_cut_into_entries_keeps_gits_markers(repository):
    invoke("--setup")
    commit("hers", dvc__lock={"stages:": "stages: # hers"})
    commit("his", dvc__lock={"stages:": "stages: # his"})
    said = git("merge", "--quiet", "hers", check=False)
    assert "CONFLICT" in said
    assert "<<<<<<<" in Path("dvc.lock").read_text()


def test_a_side_that_cannot_be_read_is_named_and_each_way_out_works(repository):
    commit("hers", params__yaml={"  seed: 42": "  seed: [50"})
    commit("his", params__yaml={"  seed: 42": "  seed: 60"}, dvc__lock={"one0": "one2"})
    git("merge", "--quiet", "hers", check=False)
    for words in ((), ("--take", "ours")):
        result = invoke(*words)
        assert result.exit_code == 2
        assert "it is theirs (" in result.output
        assert "Test: work of hers" in result.output
        assert "git checkout --ours params.yaml" in result.output
    edited = git("show", "HEAD:params.yaml").replace("  seed: 60", "  seed: 70")
    Path("params.yaml").write_text(edited)
    result = invoke()
    assert (result.exit_code, seed()) == (0, 70), result.output
    assert git("diff", "--name-only", "--diff-filter=U") == ""

    git("reset", "--quiet", "--hard")
    git("merge", "--quiet", "hers", check=False)
    git("checkout", "--ours", "params.yaml")
    git("add", "params.yaml")
    assert invoke().exit_code == 0
    assert seed() == 60


def test_a_damaged_lock_is_named_and_the_other_sides_stays_as_it_was_taken(repository):
    commit("hers", dvc__lock={"stages:": "stages: # hers"})
    commit("his", dvc__lock={"one0": "one2", "stages:": "stages:"})
    git("commit", "--quiet", "-m", "more", "--allow-empty")
    git("checkout", "--quiet", "-B", "mine", "his")
    Path("dvc.lock").write_text(Path("dvc.lock").read_text().replace("schema: '2.0'\n", ""))
    git("commit", "--quiet", "-am", "mine")
    git("merge", "--quiet", "hers", check=False)
    result = invoke()
    assert result.exit_code == 2
    assert "it is theirs (" in result.output
    assert "Edit" not in result.output
    git("checkout", "--ours", "dvc.lock")
    git("add", "dvc.lock")
    result = invoke()
    assert result.exit_code == 0, result.output
    assert Path("dvc.lock").read_text() == git("show", "HEAD:dvc.lock")


def test_who_edits_down_to_ours_is_told_how_to_keep_it(repository):
    commit("hers", params__yaml={"  seed: 42": "  seed: 50"})
    commit("his", params__yaml={"  seed: 42": "  seed: 60"})
    git("merge", "--quiet", "hers", check=False)
    git("checkout", "--ours", "params.yaml")
    result = invoke()
    assert result.exit_code == 2, "git itself leaves ours where it could not merge"
    assert "params.yaml was ours word for word" in result.output
    assert "word for word" not in invoke().output  # there are markers again
    git("checkout", "--theirs", "params.yaml")
    assert invoke().exit_code == 0
    assert seed() == 50


def test_what_a_person_wrote_holds_where_the_entries_alone_would_merge(repository):
    commit("hers", params__yaml={"  seed: 42\n": "  seed: 50\n"})
    commit("his", params__yaml={"  batch_size: 4\n": "  batch_size: 8\n"})
    said = git("merge", "--quiet", "hers", check=False)
    assert "CONFLICT" in said
    Path("params.yaml").write_text(git("show", "main:params.yaml").replace("seed: 42", "seed: 70"))
    result = invoke()
    assert "as you edited it" in result.output
    assert seed() == 70


@pytest.mark.parametrize("name", ["params.yaml", "dvc.lock"])
def test_a_file_that_one_side_deleted_is_kept(repository, name):
    git("checkout", "--quiet", "-B", "hers")
    git("rm", "--quiet", name)
    git("commit", "--quiet", "-m", "work of hers")
    commit("his", params__yaml={"  seed: 42": "  seed: 60"}, dvc__lock={"one0": "one2"})
    for ours, theirs in (("his", "hers"), ("hers", "his")):
        git("checkout", "--quiet", ours)
        assert "modify/delete" in git("merge", "--quiet", theirs, check=False)
        result = invoke()
        assert result.exit_code == 0, result.output
        assert Path(name).read_text() == git("show", f"his:{name}")
        git("reset", "--quiet", "--hard")


def test_a_setup_that_is_cut_off_leaves_no_name_without_a_driver(repository, monkeypatch):
    set_before = command._git
    done = []

    def cut_off(root, *arguments):
        if done:
            raise KeyboardInterrupt
        done.append(arguments)
        return set_before(root, *arguments)

    monkeypatch.setattr(command, "_git", cut_off)
    with pytest.raises(KeyboardInterrupt):
        command.set_up(repository)
    assert "merge.pasam.driver" in git("config", "--list")


def test_outside_git_the_setup_says_what_is_missing(in_empty_folder):
    result = invoke("--setup")
    assert result.exit_code == 2
    assert "no checkout of git" in result.output


def test_the_driver_is_the_command_of_this_environment(repository):
    invoke("--setup")
    driver = git("config", "merge.pasam.driver")
    assert driver.startswith(f'"{sys.executable}"')
    assert command.DRIVER in git("check-attr", "merge", "dvc.lock")


@pytest.mark.parametrize(
    ("head", "sides"),
    [
        ("CHERRY_PICK_HEAD", ("CHERRY_PICK_HEAD^", "HEAD", "CHERRY_PICK_HEAD")),
        ("REBASE_HEAD", ("REBASE_HEAD^", "HEAD", "REBASE_HEAD")),
        ("REVERT_HEAD", ("REVERT_HEAD", "HEAD", "REVERT_HEAD^")),  # it goes
    ],
)
def test_a_commit_comes_in_and_a_reverted_one_goes(head, sides, monkeypatch):
    monkeypatch.setattr(command, "_has", lambda root, name: name == head)
    assert command._sides(Path()) == command.Sides(*sides)


BASE, OURS, THEIRS = "a: 1\nb: 1\nc: 1\n", "a: 2\nb: 1\nc: 1\n", "a: 3\nb: 1\nc: 2\n"
ALONE = "a: 1\nb: 1\nc: 2\n"
"""Theirs without what ours has changed, too."""


@pytest.mark.parametrize(
    ("texts", "now", "take", "wanted", "said"),
    [
        ((BASE, OURS, ALONE), OURS, None, "a: 2\nb: 1\nc: 2\n", "merged, done"),
        ((BASE, OURS, ALONE), OURS, "theirs", "a: 2\nb: 1\nc: 2\n", "merged, done"),
        ((BASE, OURS, THEIRS), OURS, "ours", "a: 2\nb: 1\nc: 2\n", "merged, taken from ours"),
        ((BASE, OURS, THEIRS), OURS, "theirs", "a: 3\nb: 1\nc: 2\n", "merged, taken from theirs"),
        ((BASE, OURS, THEIRS), "a: 9\n", None, "a: 9\n", "merged, as you edited it"),
        ((BASE, OURS, THEIRS), "a: 9\n", "ours", "a: 2\nb: 1\nc: 2\n", "merged, taken from ours"),
        ((BASE, OURS, ""), OURS, None, OURS, command.KEPT),
        ((BASE, "", THEIRS), None, "ours", THEIRS, command.KEPT),
        ((BASE, OURS, ""), "a: 9\n", "theirs", OURS, command.KEPT),
        (("", ALONE, THEIRS), ALONE, "ours", ALONE, "merged, taken from ours"),
        (("", OURS, THEIRS), OURS, "theirs", THEIRS, "merged, taken from theirs"),
        (("", "a: 2\n", "b: 1\n"), "a: 2\n", None, "a: 2\nb: 1\n", "merged, done"),
        ((BASE, OURS, THEIRS), OURS, None, None, None),
        ((BASE, OURS, THEIRS), "<<<<<<< a\na: 2\n", None, None, None),
        ((BASE, OURS, THEIRS), None, None, None, None),
    ],
)
def test_a_file_in_conflict_is_settled_by_its_entries_a_choice_or_a_persons_hand(
    texts, now, take, wanted, said, tmp_path, monkeypatch
):
    staged, told = [], []
    monkeypatch.setattr(command, "_stages", lambda root, name: texts)
    monkeypatch.setattr(command, "_git", lambda root, *words: staged.append(words))
    path = tmp_path / "catalogue.lock"
    if now is not None:
        path.write_text(now)
    left = command._settle(tmp_path, path.name, take, None, told.append)
    if wanted is not None:
        assert path.read_text() == wanted
        assert told == [f"catalogue.lock: {said}"]
        assert staged == [("add", "--", "catalogue.lock")]
        assert left == command.Left()
        return
    assert (staged, told) == ([], [])
    assert [(c.key, c.base, c.ours, c.theirs) for c in left.clashes] == [("a", "1", "2", "3")]
    assert left.was_ours is (now == OURS)
    lines = path.read_text().splitlines()
    assert [line[:7] for line in lines] == [
        "<<<<<<<", "a: 2", "=======", "a: 3", ">>>>>>>", "b: 1", "c: 2"
    ]  # fmt: skip


def test_params_that_do_not_go_together_are_neither_written_nor_staged(tmp_path, monkeypatch):
    def refuse(content, path):
        raise ParamsError(f"{path} is odd.")

    monkeypatch.setattr(command, "_stages", lambda root, name: (BASE, OURS, ALONE))
    monkeypatch.setattr(command, "_git", lambda root, *words: pytest.fail("nothing is staged"))
    monkeypatch.setattr("pasam.config.presets.validate_content", refuse)
    (tmp_path / "params.yaml").write_text(OURS)
    with pytest.raises(ParamsError, match=r"params\.yaml is odd"):
        command._settle(tmp_path, "params.yaml", None, None, print)
    assert (tmp_path / "params.yaml").read_text() == OURS


@pytest.mark.parametrize(
    ("path", "ours", "theirs", "code", "written", "said"),
    [
        ("data/catalogue.lock", OURS, ALONE, 0, "a: 2\nb: 1\nc: 2\n", ""),
        ("catalogue.lock", OURS, THEIRS, 1, None, "catalogue.lock: both sides changed a; see"),
        ("catalogue.lock", OURS, "a: [", 1, None, "catalogue.lock: "),
        ("docs/images/figure1.png", OURS, THEIRS, 0, OURS, ""),
    ],
)
def test_gits_driver_writes_the_merge_into_ours_and_fails_where_a_person_is_needed(
    path, ours, theirs, code, written, said, in_empty_folder
):
    for name, text in (("base", BASE), ("ours", ours), ("theirs", theirs)):
        Path(name).write_text(text)
    result = CliRunner().invoke(app, ["merge-driver", "base", "ours", "theirs", path])
    assert result.exit_code == code
    assert result.output.startswith(said)
    assert bool(result.output) is bool(said)
    text = Path("ours").read_text()
    assert (text == written) if written else ("<<<<<<<" in text)
    assert Path("theirs").read_text() == theirs
    if written is None:
        before, _, between = text.partition("=======\n")
        assert "a: 2\n" in before
        assert between.startswith(theirs.partition("\n")[0]), "ours is above, theirs below"


@pytest.mark.parametrize(
    ("left", "sides", "rebase", "said"),
    [
        (["a.txt", "b.txt"], None, False, "Still in conflict, for you to merge: a.txt, b.txt"),
        ([], None, True, "Next: dvc pull --allow-missing --run-cache; dvc repro"),
        ([], "sides", True, "Next: git rebase --continue; dvc pull --allow-missing"),
        ([], "sides", False, "Next: git commit --no-edit; dvc pull --allow-missing"),
    ],
)
def test_what_is_next_is_said_when_nothing_is_left(left, sides, rebase, said, monkeypatch):
    monkeypatch.setattr(command, "_unmerged", lambda root: left)
    monkeypatch.setattr(command, "_has", lambda root, ref: rebase and ref == "REBASE_HEAD")
    told = []
    command._say_what_is_next(Path(), sides, told.append)
    assert len(told) == 1
    assert told[0].startswith(said)


def test_an_image_in_conflict_stays_ours_and_other_files_wait_for_a_person(monkeypatch):
    done, told, settled = [], [], []
    names = ["docs/images/a.png", "dvc.lock", "notes.txt", "params.yaml"]
    monkeypatch.setattr(command, "_unmerged", lambda root: names)
    monkeypatch.setattr(command, "_sides", lambda root: "sides")
    monkeypatch.setattr(command, "_git", lambda root, *words: done.append(words))
    monkeypatch.setattr(
        command, "_settle", lambda root, name, *how: settled.append((name, *how)) or command.Left()
    )
    monkeypatch.setattr(
        command, "_settle_lock", lambda root, unmerged, sides, say: settled.append(unmerged)
    )
    monkeypatch.setattr(command, "_say_what_is_next", lambda root, sides, say: say(sides))
    say = told.append
    command._merge(Path(), "ours", say)
    assert done == [
        ("checkout", "--ours", "--", "docs/images/a.png"), ("add", "--", "docs/images/a.png")
    ]  # fmt: skip
    assert settled == [("params.yaml", "ours", "sides", say), names]
    assert told == ["docs/images/a.png: kept ours; `make images` renews it after the next run",
                    "sides"]  # fmt: skip


def locked(seed, md5):
    return (
        f"schema: '2.0'\nstages:\n  one:\n    cmd: run one\n    params:\n      params.yaml:\n"
        f"        train.seed: {seed}\n    outs:\n    - path: one\n      md5: {md5}\n"
    )


@pytest.mark.parametrize("seed", [50, 60])
@pytest.mark.parametrize("unmerged", [["dvc.lock"], []])
def test_the_lock_follows_the_params_that_hold_now(unmerged, seed, tmp_path, monkeypatch):
    texts = locked(42, "one0"), locked(60, "one60"), locked(50, "one50")
    staged, told = [], []
    monkeypatch.setattr(command, "_stages", lambda root, name: texts)
    of_side = {"b:./dvc.lock": texts[0], "o:./dvc.lock": texts[1], "t:./dvc.lock": texts[2]}
    monkeypatch.setattr(command, "_shown", lambda root, what: of_side[what])
    monkeypatch.setattr(command, "_git", lambda root, *words: staged.append(words))
    (tmp_path / "params.yaml").write_text(f"train:\n  seed: {seed}\n")
    lock = tmp_path / "dvc.lock"
    lock.write_text(texts[1])  # as git leaves it, and as the driver merges it
    command._settle_lock(tmp_path, unmerged, command.Sides("b", "o", "t"), told.append)
    assert load_yaml(lock.read_text())["stages"]["one"]["outs"][0]["md5"] == f"one{seed}"
    assert (staged, told) == ([("add", "--", "dvc.lock")], ["dvc.lock: merged, stage by stage"])
    lock.write_text(locked(seed, "made since"))
    command._settle_lock(tmp_path, [], command.Sides("b", "o", "t"), told.append)
    assert ("made since" in lock.read_text(), len(told)) == (True, 1)
    lock.unlink()  # as git leaves it where one side has deleted it
    command._settle_lock(tmp_path, [], command.Sides("b", "o", "t"), told.append)
    assert (lock.exists(), len(told)) == (False, 1), "nobody has it, and it is in no conflict"
    command._settle_lock(tmp_path, ["dvc.lock"], None, told.append)
    assert load_yaml(lock.read_text())["stages"]["one"]["outs"][0]["md5"] == f"one{seed}"


@pytest.mark.parametrize(
    ("name", "merger"),
    [
        ("dvc.lock", "merge_lock"), ("below/dvc.lock", "merge_lock"), ("my-dvc.lock", None),
        ("params.yaml", "merge_mapping"), ("old_params.yaml", None),
        ("params/default.yaml", None), ("catalogue.lock", "merge_mapping"),
        ("data/accepted.json", "merge_accepted"), ("accepted.json", None),
        ("a/data/quarantine.csv", "merge_rows"), ("mydata/quarantine.csv", None),
        ("params.yaml.bak", None),
    ],
)  # fmt: skip
def test_files_are_merged_by_entry_by_their_whole_name(name, merger):
    found = command._merger(name)
    assert (None if found is None else found.__name__) == merger
