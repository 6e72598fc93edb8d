"""Sharing what a reproduction made: the bytes by DVC first, then the commit that names them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Literal

from pasam.errors import StageError, TransientError
from pasam.tracking.dvc_lock import LOCK, read_lock
from pipelines.dvc_cli import Dvc
from pipelines.flows.engine import say

Publish = Literal["nothing", "commit", "push"]
"""What a flow may publish. `commit`: `dvc push`, if there is a remote, and a commit of `dvc.lock`
and the results that git keeps; `push`: `dvc push`, the commit, and `git push`."""

SECONDS = 300


def publish(how: Publish, *, dvc: Dvc, message: str) -> None:
    """Publish the results of a reproduction as far as allowed; calling it again is harmless.

    Raises:
        TransientError: A remote cannot be reached; what is made is kept.
        StageError: DVC or git refuses.
    """
    if how == "nothing":
        return
    if how == "push" or dvc.has_remote():
        dvc.push()  # before the commit: none may name bytes that nobody else can have
    _commit(message)
    if how == "push":
        _git("push")


def _commit(message: str) -> None:
    """Commit `dvc.lock` and the stages' outputs that git keeps, and nothing else."""
    lock = read_lock(Path())
    outs = [path for stage in lock.stages.values() for path in stage.outs]
    listed = _git(
        "ls-files", "-m", "-o", "-d", "--exclude-standard", "--deduplicate", "-z", "--", LOCK, *outs
    )
    files = [name for name in listed.split("\0") if name]
    if files:
        _git("add", "--", *files)
        _git("commit", "--quiet", "--message", message, "--only", "--", *files)
    rest = _git("status", "--porcelain").splitlines()
    if rest:
        say(
            f"{len(rest)} other changes are not committed, such as {rest[0][3:]}: commit what the "
            "result depends on, or no version made of it can be made again elsewhere."
        )


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, timeout=SECONDS,
    )  # fmt: skip
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.strip() or done.stdout.strip()
    words = f"`git {arguments[0]}` failed: {said}"
    if arguments[0] == "push" and "rejected" not in said and "ermission" not in said:
        raise TransientError(f"{words}\nThe commit is kept; running this again pushes it.")
    raise StageError(f"{words}\nMend that and run this again; nothing is lost.")
