"""Git as a team uses it: others' news before the work, and the results after it, whatever comes.

A flow never waits for a person to merge. Results go behind what others have pushed meanwhile as
long as the results were made from nothing of that; else to a branch of their own on the remote.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pasam.errors import DataError, ParamsError, StageError, TransientError
from pasam.registry.snapshot import GRAPH, LOCK, PARAMS, call_git, read_lock, remote_name
from pipelines.dvc import Dvc
from pipelines.flows.engine import log

MESSAGE = "Record what new data, code or params give"
OWN_BRANCH = "pasam-results"
"""Folder of the branches for results that do not fit on the remote's branch."""
GIT_SECONDS = 300.0
TRIES = 5
"""Pushes, while others push again and again."""

Publish = Literal["nothing", "commit", "push"]
"""What a flow may publish. `commit`: `dvc push`, if there is a remote, and a commit of `dvc.lock`
and the results that git keeps; `push`: `dvc push`, the commit, and `git push`."""

_FORBIDDEN = (
    "ermission", "uthentication", "denied", "403", "401", "not found", "does not exist",
    "could not read Username", "protected branch", "hook declined", "not allowed", "GH006",
)  # fmt: skip
"""Words of git and of forges for a push that another try does not help."""
_OUTRUN = ("non-fast-forward", "fetch first", "stale info")


def take_news() -> None:
    """Fetch, and fast-forward to what others have pushed; whatever is in the way is only logged.

    Results of earlier flows that do not fit behind it stay on a branch of their own, and the work
    goes on from the others'.
    """
    remote, upstream = remote_name(Path()), _said("rev-parse", "--abbrev-ref", "@{upstream}")
    if remote is None or not upstream:
        return
    done = _call("fetch", "--quiet", remote)
    if done:
        log(f"{remote} cannot be reached, so this goes on with what is here: {done}")
        return
    counted = _said("rev-list", "--left-right", "--count", "HEAD...@{upstream}")
    ahead, behind = counted.split() or ("0", "0")  # `fetch.prune`: the branch is gone there
    if behind == "0":
        return
    if ahead != "0" and not _is_of_results():
        log(
            f"This clone has {ahead} commits that {upstream} lacks, which has {behind} that are "
            "not here. This goes on with what is here; rebase when you can (`git pull --rebase`)."
        )
        return
    if ahead != "0":
        kept = f"{OWN_BRANCH}/{_said('rev-parse', '--short', 'HEAD')}"
        _git("branch", "--force", kept, "HEAD")
        log(f"Earlier results do not continue {upstream}; they stay on the branch {kept}.")
    done = _call("reset", "--quiet", "--keep", "@{upstream}")
    if done:
        log(
            f"The news of {upstream} are not taken over, since local changes are in the way: {done}"
        )
    else:
        log(f"Took over {behind} commits of {upstream}.")


def _is_of_results() -> bool:
    """Whether what the upstream branch lacks touches nothing but results."""
    theirs = _said("merge-base", "HEAD", "@{upstream}")
    changed = _names("diff", "--name-only", theirs, "HEAD")
    return bool(theirs) and set(changed) <= {LOCK, *_outs()}


def require_publishable(how: Publish, dvc: Dvc) -> None:
    """See to it that what a long training makes can be published, before it begins.

    Raises:
        ParamsError: Git has no identity or no remote, or DVC has none.
        StageError: The remote does not let this clone push.
    """
    if how == "nothing":
        return
    if not _said("rev-parse", "--git-dir"):
        raise ParamsError(
            "results are to be committed, and this is no git repository. Make one (`git init`, "
            "`git add`, `git commit`), or give --publish nothing."
        )
    nameless = _call("var", "GIT_COMMITTER_IDENT")
    if nameless:
        raise ParamsError(
            f"git does not know who commits the results: {nameless} Set user.name and user.email "
            "(`git config`), or GIT_AUTHOR_NAME, GIT_AUTHOR_EMAIL and GIT_COMMITTER_* in the "
            "environment, or give --publish nothing."
        )
    if how == "push":
        _require_remotes(dvc)


def _require_remotes(dvc: Dvc) -> None:
    remote = remote_name(Path())
    if remote is None or not dvc.has_remote():
        what, command = (
            ("git", "git remote add origin URL")
            if remote is None
            else ("DVC", "dvc remote add -d NAME URL")
        )
        raise ParamsError(
            f"results are to be pushed, and {what} has no remote. Add one (`{command}`), or give "
            "--publish commit."
        )
    said = _call("push", "--quiet", "--dry-run", remote, f"HEAD:refs/heads/{OWN_BRANCH}/try")
    if any(words in said for words in _FORBIDDEN):
        raise StageError(
            f"{remote} does not let this clone push, so a training's results would be lost to "
            f"others: {said}\nGive it the right to push, or give --publish commit."
        )
    if said:
        log(f"{remote} cannot be reached now; the results are pushed when the work is done: {said}")


def push_and_commit(how: Publish, *, dvc: Dvc, message: str) -> str:
    """Publish the results of a reproduction as far as allowed; calling it again is harmless.

    Returns:
        What a person should know about where they went, if anything.

    Raises:
        TransientError: A remote cannot be reached; what is made is kept.
        StageError: DVC or git refuses.
    """
    if how == "nothing":
        return ""
    if how == "push" or dvc.has_remote():
        dvc.push()  # before the commit: none may name bytes that nobody else can have
    _commit(message)
    return _push() if how == "push" else ""


def _commit(message: str) -> None:
    """Commit `dvc.lock` and the stages' outputs that git keeps, and nothing else."""
    results = ("--", LOCK, *_outs())
    _git("reset", "--quiet", *results)  # DVC may have staged them, which the list would lack
    listed = _git(
        "ls-files", "-m", "-o", "-d", "--exclude-standard", "--deduplicate", "-z", *results
    )  # fmt: skip
    files = [name for name in listed.split("\0") if name]
    if files:
        _git("add", "--", *files)
        _git("commit", "--quiet", "--message", message, "--only", "--", *files)
    rest = _git("status", "--porcelain").splitlines()
    if rest:
        log(
            f"{len(rest)} other changes are not committed, such as {rest[0][3:]}: commit what the "
            "result depends on, or no version made of it can be made again elsewhere."
        )


def _push() -> str:
    """Push the current branch, behind what others have pushed meanwhile, or to one of its own."""
    remote, branch = remote_name(Path()) or "origin", _said("branch", "--show-current")
    why = "" if branch else "no branch is checked out"
    for _ in range(TRIES if branch else 0):
        why = _call("push", "--quiet", remote, f"HEAD:refs/heads/{branch}")
        if not why:
            return ""
        if not any(words in why for words in _OUTRUN):
            break
        why = f"others have pushed to {branch}"
        if _call("fetch", "--quiet", remote, branch) or not _continues("FETCH_HEAD"):
            break
    refused = any(words in why for words in _FORBIDDEN)
    if branch and not why.startswith("others have pushed") and not refused:
        raise TransientError(
            f"`git push` failed: {why}\nThe commit is kept; running this again pushes it."
        )
    return _push_aside(remote, why)


def _continues(theirs: str) -> bool:
    """Put our commits behind others', if what they changed was no input of our results."""
    base = _said("merge-base", "HEAD", theirs)
    changed = _names("diff", "--name-only", "--relative", base, theirs)  # to this folder
    read = {GRAPH, PARAMS, LOCK, *_outs()}
    read |= {path for stage in read_lock(Path()).stages.values() for path in stage.deps}
    if any({name, *map(str, Path(name).parents)} & read for name in changed):
        return False
    if _call("rebase", "--quiet", theirs):
        _call("rebase", "--abort")
        return False
    return True


def _push_aside(remote: str, why: str) -> str:
    """Push to a branch of its own, so that the results are where others can have them."""
    day = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    name = f"{OWN_BRANCH}/{day}-{_said('rev-parse', '--short', 'HEAD')}"
    said = _call("push", "--quiet", remote, f"HEAD:refs/heads/{name}")
    if said and any(words in said for words in _FORBIDDEN):
        raise StageError(f"`git push` failed: {said}\nMend that and run this again.")
    if said:
        raise TransientError(f"`git push` failed: {said}\nThe commit is kept; run this again.")
    # A clone of one branch does not follow others by itself.
    _call("fetch", "--quiet", remote, f"+refs/heads/{name}:refs/remotes/{remote}/{name}")
    note = f"The results are on the branch {name} of {remote}, since {why.splitlines()[0]}."
    log(note)
    return note


def _outs() -> list[str]:
    if not Path(LOCK).exists():
        return []
    return [path for stage in read_lock(Path()).stages.values() for path in stage.outs]


def _call(*arguments: str) -> str:
    """Run git and return what it says of its failure; nothing, if it succeeds."""
    done = call_git(Path(), *arguments, seconds=GIT_SECONDS)
    if done.returncode == 0:
        return ""
    said = (done.stderr or done.stdout).decode(errors="replace").strip()
    return said or f"git {arguments[0]} ended with {done.returncode}"


def _said(*arguments: str) -> str:
    """Run git and return what it says; nothing, if it fails."""
    done = call_git(Path(), *arguments, seconds=GIT_SECONDS)
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""


def _names(*arguments: str) -> list[str]:
    """Run git and list the paths that it names, which without -z has codes for some letters."""
    return [name for name in _said(*arguments, "-z").split("\0") if name]


def _git(*arguments: str) -> str:
    done = call_git(Path(), *arguments, seconds=GIT_SECONDS)
    if done.returncode == 0:
        return done.stdout.decode(errors="replace")
    said = (done.stderr or done.stdout).decode(errors="replace").strip()
    raise StageError(
        f"`git {arguments[0]}` failed: {said}\nMend that and run this again; nothing is lost."
    )


_AUTHOR = {
    f"GIT_{role}_{part}": words
    for role in ("AUTHOR", "COMMITTER")
    for part, words in (("NAME", "pasam"), ("EMAIL", "pasam@localhost"))
}
"""Of a commit that no branch ever names."""


def present_commit() -> str:
    """Make a commit of HEAD and what is changed of it; the tree and all branches stay as they are.

    `git stash create` does that and leaves out files that git does not know: they may be large.

    Raises:
        DataError: The project is in no git repository, or has no commit.
    """
    head = in_git("rev-parse", "--verify", "HEAD").strip()
    call_git(Path(), "update-index", "--quiet", "--refresh")  # files that were only touched
    if call_git(Path(), "diff", "--quiet", "HEAD").returncode == 0:
        return head
    return in_git("stash", "create", env=_AUTHOR).strip()


def in_git(*arguments: str, folder: Path = Path(), env: Mapping[str, str] | None = None) -> str:
    """Run git where a flow lays a copy of the project out, and return what it says.

    Raises:
        DataError: It failed.
    """
    done = call_git(folder, *arguments, env=env)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise DataError(
            f"`git {' '.join(arguments[:2])}` failed: {said}. Stages run in a copy of the project "
            "here, so it has to lie in a git repository that has a commit."
        )
    return done.stdout.decode(errors="replace")
