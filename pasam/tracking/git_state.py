"""Which commit the project stands at, and whether others could get the same."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from pasam.errors import DataError


@dataclass(frozen=True, kw_only=True, slots=True)
class GitState:
    """The working tree against git."""

    commit: str
    """Full id of HEAD; empty outside a repository or before its first commit."""
    dirty: bool
    """Something differs from the commit, or is there and neither committed nor ignored."""
    pushed: bool
    """A branch of a remote holds the commit."""


def git_state(project: Path) -> GitState:
    """Look at the repository that a project lies in."""
    if _git(project, "rev-parse", "--is-inside-work-tree").strip() != "true":
        return GitState(commit="", dirty=True, pushed=False)
    return GitState(
        commit=_git(project, "rev-parse", "--verify", "--quiet", "HEAD").strip(),
        dirty=bool(_git(project, "status", "--porcelain").strip()),
        pushed=bool(_git(project, "branch", "--remotes", "--contains", "HEAD").strip()),
    )


def committed_file(project: Path, commit: str, name: str) -> bytes | None:
    """Return a file's bytes as of a commit; None where the commit or the file is unknown."""
    done = _call(project, "show", f"{commit}:./{name}")
    return done.stdout if done.returncode == 0 else None


def remote_address(project: Path) -> str | None:
    """Return the address of `origin`, or of the only other remote."""
    names = _git(project, "remote").split()
    if not names:
        return None
    name = "origin" if "origin" in names else names[0]
    return _git(project, "remote", "get-url", name).strip()


def _git(project: Path, *arguments: str) -> str:
    return _call(project, *arguments).stdout.decode(errors="replace")


def _call(project: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], cwd=project, capture_output=True, check=False)
    except FileNotFoundError:
        raise DataError(
            f"git is not installed, or {project} is no folder; lineage needs both."
        ) from None
