"""What a flow pushes and commits, and what it leaves alone."""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path

import pytest
import yaml

from pasam.errors import StageError, TransientError
from pipelines.flows.workspace import publish


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
        lock = {"schema": "2.0", "stages": {"report": {"cmd": "x", "outs": outs}}}
        Path("dvc.lock").write_text(yaml.safe_dump(lock))
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
    publish("nothing", dvc=remote, message="m")
    assert remote.pushes == 0
    assert git("log", "--format=%s") == "first\n"


@pytest.mark.usefixtures("repository")
def test_a_commit_holds_the_lock_and_the_results_and_no_ones_unfinished_work(caplog):
    caplog.set_level(logging.INFO, logger="pipelines.flows")
    Path("code.py").write_text("half")
    git("add", "code.py")
    remote = Remote()
    publish("commit", dvc=remote, message="Record it")
    assert remote.pushes == 1
    assert git("show", "--format=%s", "--name-only").split() == [
        "Record", "it", "dvc.lock", "table.md",
    ]  # fmt: skip
    assert git("status", "--porcelain") == "M  code.py\n"
    assert "1 other changes are not committed, such as code.py" in caplog.text
    assert git("log", "--format=%s", "@{u}") == "first\n"


@pytest.mark.usefixtures("repository")
def test_a_push_reaches_the_remote_and_may_be_repeated():
    for _ in range(2):
        publish("push", dvc=Remote(), message="Record it")
    assert git("log", "--format=%s", "@{u}") == "Record it\nfirst\n"


@pytest.mark.usefixtures("repository")
def test_no_commit_names_bytes_that_could_not_be_pushed():
    with pytest.raises(TransientError):
        publish("commit", dvc=Remote(TransientError("no network")), message="m")
    assert git("log", "--format=%s") == "first\n"


@pytest.mark.usefixtures("repository")
def test_a_commit_needs_no_remote_but_a_push_does():
    remote = Remote(there=False)
    publish("commit", dvc=remote, message="m")
    assert remote.pushes == 0
    publish("push", dvc=remote, message="m")
    assert remote.pushes == 1


@pytest.mark.usefixtures("repository")
def test_an_unreachable_remote_of_git_is_worth_another_try():
    git("remote", "set-url", "origin", "../nowhere.git")
    with pytest.raises(TransientError, match=r"(?s)`git push` failed: .*The commit is kept"):
        publish("push", dvc=Remote(), message="m")
    assert git("log", "-1", "--format=%s") == "m\n"


@pytest.mark.usefixtures("repository")
def test_a_push_that_the_remote_refuses_needs_a_person():
    git("clone", "--quiet", "../origin.git", "../other")
    git("-C", "../other", "-c", "user.name=O", "-c", "user.email=o@example.org", "commit",
        "--quiet", "--allow-empty", "-m", "other")  # fmt: skip
    git("-C", "../other", "push", "--quiet")
    with pytest.raises(StageError, match=r"(?s)`git push` failed: .*rejected"):
        publish("push", dvc=Remote(), message="m")
