"""What flows keep between runs, and how what they made is shared."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Literal

from pasam.errors import StageError, TransientError
from pasam.registry.snapshot import LOCK, read_lock
from pipelines.dvc import Dvc
from pipelines.flows.engine import say

# --- workspace: What flows keep between runs: their folder, DVC with its log and lock, and
# unfinished work.

STATE = Path(".flows")
"""Logs, the lock and Prefect's own files; neither git nor DVC looks at it."""

UNFINISHED = "unfinished"


def dvc(hours: float) -> Dvc:
    """DVC in the current folder, which is the project's root.

    Args:
        hours: Longest time of one command, and of waiting for another flow.
    """
    seconds = hours * 3600
    return Dvc(project=Path.cwd(), state=STATE, on_line=say, timeout=seconds, patience=seconds)


def results(suffix: str) -> list[Path]:
    """List the stages' outputs whose path ends so and which are there."""
    lock = read_lock(Path())
    found = [Path(entry.path) for _, entry in lock.makers(suffix)]
    return [path for path in found if path.exists()]


def outputs(stage: str) -> list[Path]:
    """List the files and folders that a stage has made, if it is in the lock."""
    record = read_lock(Path()).stages.get(stage)
    return [] if record is None else [Path(path) for path in record.outs if Path(path).exists()]


def begin() -> None:
    """Note that new work has begun, so that it goes on after whatever may happen to it."""
    STATE.mkdir(exist_ok=True)
    (STATE / UNFINISHED).touch()


def finish() -> None:
    """Note that the work that `begin` began is done."""
    (STATE / UNFINISHED).unlink(missing_ok=True)


def is_unfinished() -> bool:
    """Say whether earlier work was begun and not finished."""
    return (STATE / UNFINISHED).exists()


# --- publishing: Sharing what a reproduction made: the bytes by DVC first, then the commit that
# names them.

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
