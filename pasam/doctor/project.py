"""The project's folder: git, and what DVC needs."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

from pasam.doctor.check import Check

_REMOTE = "remote "  # how a section of DVC's settings begins, the name in quotes after it


def check_git(root: Path) -> Check:
    """See whether the folder is a git checkout, and whether all is committed."""
    try:
        head = _git(root, "rev-parse", "--short", "HEAD").strip()
        changes = _git(root, "status", "--porcelain").splitlines()
    except (OSError, subprocess.SubprocessError):
        return Check(
            name="git", state="note", found="no checkout with a commit here: results cannot name "
            "the code they come from", remedy="clone the repository, or git init and commit",
        )  # fmt: skip
    if not changes:
        return Check(name="git", state="ok", found=f"at {head}, everything committed")
    return Check(
        name="git", state="note", found=f"at {head}, {len(changes)} files changed or new",
        remedy="git status; commit, so that results can be traced to their code",
    )  # fmt: skip


def check_dvc(root: Path) -> list[Check]:
    """See whether DVC can run here, and whether it has a remote to share through."""
    checks = []
    if shutil.which("dvc") is None:
        checks.append(
            Check(name="DVC", state="missing", found="the command dvc is not on the PATH",
                  remedy="activate the environment: . .venv/bin/activate")
        )  # fmt: skip
    if not (root / ".dvc").is_dir():
        checks.append(
            Check(name="DVC", state="missing", found=f"{root / '.dvc'} does not exist",
                  remedy="dvc init (with --no-scm outside git)")
        )  # fmt: skip
    if checks:
        return checks
    remotes = _remotes(root)
    if remotes:
        return [Check(name="DVC", state="ok", found=f"ready, remotes: {', '.join(remotes)}")]
    return [
        Check(name="DVC", state="note", found="ready, but without a remote to share data through",
              remedy="dvc remote add -d NAME ADDRESS")
    ]  # fmt: skip


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout


def _remotes(root: Path) -> list[str]:
    """Name DVC's remotes, from the shared and the private settings."""
    settings = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        settings.read([root / ".dvc" / "config", root / ".dvc" / "config.local"])
    except configparser.Error:
        return []
    sections = [name.strip("'") for name in settings.sections()]
    return [name[len(_REMOTE) :].strip('"') for name in sections if name.startswith(_REMOTE)]
