"""Git as a flow uses it: news first, results after it, and whatever others push meanwhile."""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_world import dump_yaml

from pasam.errors import ParamsError, StageError, TransientError
from pipelines.dvc import failure
from pipelines.flows import publishing
from pipelines.flows.publishing import (
    OWN_BRANCH,
    present_commit,
    push_and_commit,
    require_publishable,
    take_news,
)
from pipelines.flows.servers import runs_page


class Remote:
    """DVC with a remote that counts pushes, or fails."""

    def __init__(self, error=None, there=True):
        self.pushes = 0
        self.error = error
        self.there = there

    def has_remote(self):
        return self.there

    def push(self):
        if self.error:
            raise self.error
        self.pushes += 1


def git(*arguments):
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def repository(in_empty_folder):
    """A clone with a lock, one result that git keeps and one that it ignores, both new."""
    git("init", "--quiet", "--bare", "origin.git")
    git("clone", "--quiet", "origin.git", "clone")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(in_empty_folder / "clone")
        git("config", "user.name", "T")
        git("config", "user.email", "t@example.org")
        outs = [{"path": path, "md5": "0"} for path in ("table.md", "weights.bin")]
        deps = [{"path": path, "md5": "0"} for path in ("code.py", "room")]
        report = {"cmd": "x", "deps": deps, "outs": outs}
        lock = {"schema": "2.0", "stages": {"report": report}}
        Path("dvc.lock").write_text(dump_yaml(lock))
        Path("dvc.yaml").write_text("stages: {report: {cmd: x}}\n")
        Path("params.yaml").touch()
        Path(".gitignore").write_text("weights.bin\n")
        Path("code.py").touch()
        git("add", ".gitignore", "code.py", "dvc.yaml", "params.yaml")
        git("commit", "--quiet", "-m", "first")
        git("push", "--quiet", "origin", "HEAD")
        git(
            "branch",
            "--quiet",
            "--set-upstream-to",
            f"origin/{git('branch', '--show-current')[:-1]}",
        )
        Path("table.md").touch()
        Path("weights.bin").touch()
        yield


@pytest.mark.usefixtures("repository")
def test_nothing_is_published_unless_it_may_be():
    remote = Remote()
    push_and_commit("nothing", dvc=remote, message="m")
    assert remote.pushes == 0
    assert git("log", "--format=%s") == "first\n"


@pytest.mark.usefixtures("repository")
def test_a_commit_holds_the_lock_and_the_results_and_no_ones_unfinished_work(caplog):
    caplog.set_level(logging.INFO, logger="pipelines.flows")
    Path("code.py").write_text("half")
    git("add", "code.py")
    remote = Remote()
    push_and_commit("commit", dvc=remote, message="Record it")
    assert remote.pushes == 1
    assert git("show", "--format=%s", "--name-only").split() == [
        "Record", "it", "dvc.lock", "table.md",
    ]  # fmt: skip
    assert git("status", "--porcelain") == "M  code.py\n"
    assert "1 other changes are not committed, such as code.py" in caplog.text
    assert git("log", "--format=%s", "@{u}") == "first\n"


@pytest.mark.usefixtures("repository")
def test_what_dvc_has_staged_itself_is_committed_like_the_rest():
    git("add", "dvc.lock", "table.md")  # as with DVC's core.autostage
    push_and_commit("commit", dvc=Remote(), message="One")
    assert git("show", "--format=%s", "--name-only").split() == ["One", "dvc.lock", "table.md"]
    Path("table.md").write_text("changed")
    git("add", "table.md")
    push_and_commit("commit", dvc=Remote(), message="Two")
    git("rm", "--quiet", "table.md")
    push_and_commit("commit", dvc=Remote(), message="Three")
    assert git("log", "--format=%s", "-n2") == "Three\nTwo\n"
    assert git("status", "--porcelain") == ""


@pytest.mark.usefixtures("repository")
def test_the_tree_as_it_stands_is_a_commit_that_no_branch_names(monkeypatch):
    git("config", "--unset", "user.email")
    git("config", "user.useConfigOnly", "true")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    head = git("rev-parse", "HEAD").strip()
    assert present_commit() == head, "files that git does not know are none of it"
    Path("params.yaml").write_text("staged: 1")
    git("add", "params.yaml")
    assert present_commit() != head
    Path("code.py").write_text("half")
    before = git("status", "--porcelain"), git("branch", "--all"), git("stash", "list")
    made = present_commit()
    assert made != head
    assert git("rev-parse", f"{made}^1").strip() == head
    assert git("show", f"{made}:code.py") == "half"
    assert git("show", f"{made}:params.yaml") == "staged: 1"
    assert "table.md" not in git("ls-tree", "--name-only", made).split()
    assert (git("status", "--porcelain"), git("branch", "--all"), git("stash", "list")) == before


@pytest.mark.usefixtures("repository")
def test_a_push_reaches_the_remote_and_may_be_repeated():
    for _ in range(2):
        push_and_commit("push", dvc=Remote(), message="Record it")
    assert git("log", "--format=%s", "@{u}") == "Record it\nfirst\n"


@pytest.mark.usefixtures("repository")
def test_no_commit_names_bytes_that_could_not_be_pushed():
    with pytest.raises(TransientError):
        push_and_commit("commit", dvc=Remote(TransientError("no network")), message="m")
    assert git("log", "--format=%s") == "first\n"


@pytest.mark.usefixtures("repository")
def test_a_commit_needs_no_remote_but_a_push_does():
    remote = Remote(there=False)
    push_and_commit("commit", dvc=remote, message="m")
    assert remote.pushes == 0
    push_and_commit("push", dvc=remote, message="m")
    assert remote.pushes == 1


@pytest.mark.usefixtures("repository")
def test_an_unreachable_remote_of_git_is_worth_another_try():
    git("remote", "set-url", "origin", "../nowhere.git")
    with pytest.raises(TransientError, match=r"(?s)`git push` failed: .*The commit is kept"):
        push_and_commit("push", dvc=Remote(), message="m")
    assert git("log", "-1", "--format=%s") == "m\n"


def others_push(name, content="theirs"):
    """Let somebody else push a file to the branch that this clone is on."""
    if not Path("../other").exists():
        git("clone", "--quiet", "../origin.git", "../other")
    git("-C", "../other", "pull", "--quiet")
    path = Path("../other", name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    git("-C", "../other", "add", name)
    who = ("-c", "user.name=O", "-c", "user.email=o@example.org")
    git("-C", "../other", *who, "commit", "--quiet", "-m", f"other {name}")
    git("-C", "../other", "push", "--quiet")


def log_of(reference):
    """Subjects of the commits of a branch at the remote, the newest first."""
    git("fetch", "--quiet", "origin")
    return git("log", "--format=%s", reference).splitlines()


def own_branches():
    """Branches of results that the remote has."""
    return git("-C", "../origin.git", "branch", "--list", f"{OWN_BRANCH}/*").split()


@pytest.mark.usefixtures("repository")
def test_results_go_behind_what_others_have_pushed_meanwhile():
    others_push("NOTES.md")
    assert push_and_commit("push", dvc=Remote(), message="Record it") == ""
    assert log_of("@{u}") == ["Record it", "other NOTES.md", "first"]
    assert own_branches() == []


@pytest.mark.usefixtures("in_empty_folder")
def test_paths_are_listed_as_they_are_called_whatever_their_letters():
    git("init", "--quiet", ".")
    for name in ("käse.png", "two words.png"):
        Path(name).touch()
    git("add", ".")
    assert publishing._names("ls-files") == ["käse.png", "two words.png"]
    assert publishing._names("diff", "--name-only") == []


@pytest.mark.parametrize(
    ("changed", "said", "goes_on"),
    [
        (["NOTES.md", "other/room/x.py"], "", True), (["NOTES.md"], "a conflict", False),
        (["NOTES.md", "code.py"], "", False), (["room/deep/part.py"], "", False),
        (["table.md"], "", False), (["params.yaml"], "", False), (["dvc.yaml"], "", False),
        (["dvc.lock"], "", False), ([], "", True),
    ],
)  # fmt: skip
def test_results_go_behind_others_work_that_is_no_input_of_theirs(
    changed, said, goes_on, monkeypatch
):
    called = []

    def git_said(*words):
        diff = ("diff", "--name-only", "--relative", "base", "theirs", "-z")
        answers = {("merge-base", "HEAD", "theirs"): "base", diff: "\0".join(changed)}
        return answers[words]

    def call(*words):
        called.append(words)
        return said if words[1] == "--quiet" else ""

    stage = SimpleNamespace(deps={"code.py": None, "room": None}, outs={"table.md": None})
    monkeypatch.setattr(publishing, "_said", git_said)
    monkeypatch.setattr(publishing, "_call", call)
    monkeypatch.setattr(publishing, "_outs", lambda: ["table.md"])
    monkeypatch.setattr(
        publishing, "read_lock", lambda folder: SimpleNamespace(stages={"report": stage})
    )
    assert publishing._continues("theirs") is goes_on
    tried = [("rebase", "--quiet", "theirs")] * (goes_on or bool(said))
    assert called == [*tried, *([("rebase", "--abort")] if said else [])]


@pytest.mark.long
@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("name", ["code.py", "room/part.py", "params.yaml", "dvc.lock"])
def test_results_of_other_code_params_or_data_go_to_a_branch_of_their_own(name, caplog):
    caplog.set_level(logging.INFO, logger="pipelines.flows")
    content = Path("dvc.lock").read_text() + "\n" if name == "dvc.lock" else "changed: 1"
    others_push(name, content)
    note = push_and_commit("push", dvc=Remote(), message="Record it")
    (branch,) = own_branches()
    assert branch in note
    assert note in caplog.text
    assert log_of("@{u}") == [f"other {name}", "first"]
    assert log_of(f"origin/{branch}") == ["Record it", "first"]
    assert git("branch", "--remotes", "--contains", "HEAD").split() == [f"origin/{branch}"]


@pytest.mark.usefixtures("repository")
def test_a_protected_branch_gets_its_results_beside_it():
    hook = Path("../origin.git/hooks/update")
    hook.write_text('#!/bin/sh\ncase "$1" in refs/heads/pasam-results/*) exit 0;; esac\nexit 1\n')
    hook.chmod(0o755)
    note = push_and_commit("push", dvc=Remote(), message="Record it")
    assert own_branches()[0] in note


@pytest.mark.usefixtures("repository")
def test_the_next_run_goes_on_from_the_others_where_its_results_did_not_fit():
    others_push("code.py", "new code")
    push_and_commit("push", dvc=Remote(), message="Record it")
    take_news()
    assert log_of("HEAD") == ["other code.py", "first"]
    assert Path("code.py").read_text() == "new code"
    assert "Record it" in git("log", "--all", "--format=%s").splitlines(), "nothing is lost"


@pytest.mark.usefixtures("repository")
def test_news_are_taken_over_before_the_work_begins():
    push_and_commit("push", dvc=Remote(), message="Record it")
    others_push("code.py", "new code")
    take_news()
    assert Path("code.py").read_text() == "new code"


@pytest.mark.usefixtures("repository")
def test_a_persons_own_commits_and_changes_stay_and_the_work_goes_on(caplog):
    caplog.set_level(logging.INFO, logger="pipelines.flows")
    others_push("code.py", "new code")
    Path("code.py").write_text("half done")
    take_news()
    assert Path("code.py").read_text() == "half done"
    assert "local changes are in the way" in caplog.text
    git("commit", "--quiet", "-am", "Mine")
    take_news()
    assert log_of("HEAD")[0] == "Mine"
    assert "rebase when you can" in caplog.text


@pytest.mark.usefixtures("repository")
def test_a_remote_that_is_away_keeps_nobody_from_working(caplog):
    caplog.set_level(logging.INFO, logger="pipelines.flows")
    git("remote", "set-url", "origin", "../nowhere.git")
    take_news()
    assert "cannot be reached, so this goes on with what is here" in caplog.text


@pytest.mark.usefixtures("repository")
def test_what_can_be_published_is_let_through():
    for how in ("nothing", "commit", "push"):
        require_publishable(how, Remote())


@pytest.mark.usefixtures("repository")
def test_a_clone_without_an_identity_is_told_before_it_trains(monkeypatch):
    git("config", "--unset", "user.email")
    git("config", "user.useConfigOnly", "true")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.delenv("EMAIL", raising=False)
    with pytest.raises(ParamsError, match=r"user\.email"):
        require_publishable("commit", Remote())
    require_publishable("nothing", Remote())


@pytest.mark.usefixtures("repository")
def test_missing_remotes_are_told_before_a_training():
    with pytest.raises(ParamsError, match="DVC has no remote"):
        require_publishable("push", Remote(there=False))
    git("remote", "remove", "origin")
    with pytest.raises(ParamsError, match="git has no remote"):
        require_publishable("push", Remote())
    require_publishable("commit", Remote(there=False))


def test_outside_a_repository_nothing_can_be_committed(in_empty_folder):
    with pytest.raises(ParamsError, match="no git repository"):
        require_publishable("commit", Remote())


@pytest.mark.usefixtures("repository")
def test_a_remote_that_lets_nobody_push_is_told_before_a_training(tmp_path, monkeypatch):
    refuses = tmp_path / "git-receive-pack"
    refuses.write_text('#!/bin/sh\necho "Permission to a/b.git denied to t." >&2\nexit 128\n')
    refuses.chmod(0o755)
    git("config", "remote.origin.receivepack", str(refuses))
    with pytest.raises(StageError, match="does not let this clone push"):
        require_publishable("push", Remote())


def test_a_branch_that_is_gone_from_the_remote_leaves_the_work_as_it_is(repository):
    git("config", "fetch.prune", "true")
    head, branch = git("rev-parse", "HEAD"), git("branch", "--show-current").strip()
    git("--git-dir", "../origin.git", "update-ref", "-d", f"refs/heads/{branch}")
    take_news()
    assert git("rev-parse", "HEAD") == head


@pytest.mark.usefixtures("repository")
def test_of_a_project_in_a_folder_of_its_repository_others_code_is_an_input_all_the_same(
    monkeypatch,
):
    inner = Path("project")
    inner.mkdir()
    for name in ("code.py", "dvc.yaml", "params.yaml"):
        git("mv", name, f"project/{name}")
    for name in ("dvc.lock", "table.md"):
        Path(name).rename(inner / name)
    git("commit", "--quiet", "-m", "moved")
    git("push", "--quiet", "origin", "HEAD")
    others_push("project/code.py", "new code")
    monkeypatch.chdir(inner)
    assert "others have pushed" in push_and_commit("push", dvc=Remote(), message="Record it")


def test_no_password_of_an_address_is_told():
    assert runs_page("http://ada:secret@127.0.0.1:1") == "http://127.0.0.1:1"  # nothing is there
    told = failure("dvc push", 1, "ERROR: http://ada:secret@example.org is away", Path("log"))
    assert "http://example.org is away" in str(told)
