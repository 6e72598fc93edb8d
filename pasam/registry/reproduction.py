"""How the bytes of a version are made again: the commands, checked against git, and carried out."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pasam.errors import RegistryError
from pasam.files import file_sha256, sha256_of
from pasam.registry.snapshot import (
    LOCK,
    DvcLock,
    call_git,
    committed_file,
    parse_lock,
    remote_address,
)
from pasam.registry.store import Tag
from pasam.registry.versions import Version

CACHE = Path(".dvc") / "cache"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reproduction:
    """What gives a version's bytes again."""

    version: int
    commands: tuple[tuple[str, ...], ...]
    """To be run one after the other; all but the first inside the new folder."""
    files: tuple[tuple[str, str], ...]
    """Path and sha256 of every file that must come out."""
    problems: tuple[str, ...]
    """Why the commands would not give them; empty if they were verified."""

    def text(self) -> str:
        """The commands as lines for a shell."""
        lines = [shlex.join(command) for command in self.commands]
        folder = self.commands[0][-1]
        return "\n".join([lines[0], f"cd {shlex.quote(folder)}", *lines[1:]])


def plan_reproduction(project: Path, version: Version, *, folder: str = "") -> Reproduction:
    """Say how a version is made again, and verify it against the repository.

    Verified are: the commit is known here, its `dvc.lock` is the one that the version was
    registered with, and that lock names the version's weights. `folder` is for the new clone.
    """
    commit = version.tags.get(Tag.COMMIT, "")
    stage = version.tags.get(Tag.STAGE, "")
    place = folder or f"pasam-v{version.number}"
    content = committed_file(project, commit, LOCK) if commit else None
    lock = None if content is None else parse_lock(content, source=f"{LOCK} of {commit}")
    return Reproduction(
        version=version.number,
        commands=(
            ("git", "clone", remote_address(project) or str(project.resolve()), place),
            ("git", "checkout", "--quiet", commit),
            ("dvc", "pull", "--allow-missing", stage),
            ("dvc", "repro", stage),
            # What the caches have is there now; this makes the version's own bytes anew.
            ("dvc", "repro", "--force", "--single-item", stage),
        ),
        files=tuple(_files(version, lock)),
        problems=tuple(_problems(version, lock)),
    )


def not_again(project: Path, versions: Sequence[Version]) -> dict[int, str]:
    """Say of each version that cannot be made again why not, as far as git alone shows it.

    `plan_reproduction` looks closer at one version; this asks git once for all of them.
    """
    here = call_git(project, "rev-parse", "--git-dir").returncode == 0
    commits = sorted({v.tags.get(Tag.COMMIT, "") for v in versions} - {""})
    locks = dict(zip(commits, _locks(project, commits), strict=True))
    reasons = {}
    for version in versions:
        lock = locks.get(version.tags.get(Tag.COMMIT, ""))
        if not here and Tag.DIRTY not in version.tags:
            continue
        if version.tags.get(Tag.DIRTY) != "false":
            reasons[version.number] = "of uncommitted changes"
        elif not here:
            continue  # such as where a model is only served
        elif lock is None:
            reasons[version.number] = "its commit is not in this clone"
        elif sha256_of(lock) != version.tags.get(Tag.LOCK_SHA256):
            reasons[version.number] = f"its commit has another {LOCK}"
    return reasons


def _locks(project: Path, commits: Sequence[str]) -> Iterator[bytes | None]:
    """Read the locks of commits, in their order; None where the commit or the lock is unknown."""
    asked = "".join(f"{commit}:./{LOCK}\n" for commit in commits)
    answer = io.BytesIO(call_git(project, "cat-file", "--batch", content=asked.encode()).stdout)
    for _ in commits:
        *_, kind, size = answer.readline().decode(errors="replace").split() or ("", "")
        if kind != "blob":
            yield None
            continue
        yield answer.read(int(size))
        answer.read(1)  # the line's end after the content


def reproduce(
    project: Path, found: Reproduction, folder: Path, *, cached: bool = False
) -> Iterator[str]:
    """Make a version again in a new folder, out of this clone and its DVC cache; then compare.

    Args:
        project: A clone of the project whose cache is used.
        found: What to do, from `plan_reproduction`.
        folder: The new folder; it must not exist.
        cached: Whether bytes from DVC's cache will do; else the stage runs anew.

    Yields:
        A line for every step.

    Raises:
        RegistryError: A command failed, or a file came out different.
    """
    if folder.exists():
        raise RegistryError(f"{folder} exists already; name a folder that does not.")
    if found.problems:
        raise RegistryError(
            f"version {found.version} cannot be made again: {'; '.join(found.problems)}."
        )
    clone, checkout, _, repro, again = found.commands
    cache = str((project / CACHE).resolve())
    yield f"cloning {project} into {folder}"
    run_command([*clone[:2], "--quiet", str(project.resolve()), str(folder)], project)
    run_command(list(checkout), folder)
    yield f"running {shlex.join(repro)} with the cache {cache}"
    run_command(["dvc", "cache", "dir", "--local", cache], folder)
    run_command(list(repro), folder)
    if not cached:
        yield f"running {shlex.join(again)}"
        run_command(list(again), folder)
    for path, wanted in found.files:
        sha256 = file_sha256(folder / path)
        if sha256 != wanted:
            raise RegistryError(
                f"{folder / path} is {sha256[:12]}, expected {wanted[:12]}: other hardware or "
                "other packages give other bits. Compare hardware.json of its reproduction."
            )
        yield f"{path}: sha256 {sha256} as registered"


def _files(version: Version, lock: DvcLock | None) -> Iterator[tuple[str, str]]:
    stage = lock.stages.get(version.tags.get(Tag.STAGE, "")) if lock else None
    adapter = stage.out_with(".safetensors") if stage else None
    if stage is None or adapter is None:
        return
    yield adapter.path, version.tags.get(Tag.ADAPTER_SHA256, "")
    base = stage.section("base").get("checkpoint")
    if base:
        yield str(base), version.tags.get(Tag.BASE_SHA256, "")


def _problems(version: Version, lock: DvcLock | None) -> Iterator[str]:
    tags = version.tags
    commit = tags.get(Tag.COMMIT, "unknown")
    if tags.get(Tag.DIRTY) != "false":
        yield "it was registered from a tree with uncommitted changes (--allow-local)"
    if lock is None:
        yield f"commit {commit[:12]} is not in this clone; run `git fetch --all`"
        return
    if lock.sha256 != tags.get(Tag.LOCK_SHA256):
        yield f"dvc.lock of commit {commit[:12]} is not the one it was registered with"
    stage = lock.stages.get(tags.get(Tag.STAGE, ""))
    if stage is None:
        yield f"dvc.lock of commit {commit[:12]} has no stage {tags.get(Tag.STAGE)!r}"
    elif tags.get(Tag.MODEL_MD5) not in {entry.md5 for entry in stage.outs.values()}:
        yield f"{stage.name} of commit {commit[:12]} gives other weights"


def run_command(command: list[str], folder: Path) -> None:
    """Run git or DVC in a folder.

    Raises:
        RegistryError: It failed.
    """
    program = [sys.executable, "-m", "dvc"] if command[0] == "dvc" else [command[0]]
    # The stages' own `python` must be this one, which has the packages.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [*program, *command[1:]],
        cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        tail = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise RegistryError(f"`{shlex.join(command)}` failed in {folder}: {' | '.join(tail)}")
