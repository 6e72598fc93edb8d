"""One file from which a project comes back, in any folder, on any machine, for any user.

It is a tar file: `backup.json`, which says what it is and names the sha256 of every other member;
`project.bundle` with all that git knows, the log of decisions included; `tree/` with what the
working tree has besides; `cache/` with the files of DVC's cache that `dvc.lock` needs; `mlruns/`
with MLflow's sqlite file and artifacts. No credentials are in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, StringConstraints

from pasam.data.archives import MemberPaths, unpack
from pasam.errors import DataError, RegistryError
from pasam.files import (
    draft_file,
    draft_folder,
    file_md5,
    file_sha256,
    put_in_place,
    read_json,
    sha256_of,
    temporary_folder,
    write_json,
)
from pasam.registry.decision_log import BRANCH, REF, DecisionLog, standing_of
from pasam.registry.load import verify_versions
from pasam.registry.reproduction import run_command
from pasam.registry.snapshot import LOCK, call_git, has_repository, parse_lock
from pasam.registry.store import FOLDER, addresses, is_local, sqlite_file, without_password
from pasam.registry.upkeep.damaged_cache import OBJECTS, cached_file

ABOUT, BUNDLE = "backup.json", "project.bundle"
TREE, CACHE = "tree", "cache"
DATABASE = "mlflow.db"
FORM = 1
"""Which form of backup this is."""
_LOCKS = (".lock", "-wal", "-shm")
"""Ends of names beside the records; further down they are runs' documents, such as `dvc.lock`."""
ADVICE = "Take another backup."
_LONGEST_ABOUT = 10**9


_Name = Annotated[str, StringConstraints(pattern=r"^([^-].*)?$")]
"""A word for git, which takes one that begins with a dash for an option."""


class _Description(BaseModel, strict=True):
    """What `backup.json` holds."""

    form: int
    branch: _Name
    head: _Name
    log: str
    champion: int | None
    remotes: dict[_Name, _Name]
    deleted: list[str]
    left_out: list[str]
    files: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Backup:
    """What a backup holds."""

    files: int
    size: int
    """Bytes."""
    champion: int | None
    """The version in use; None while there is none."""
    left_out: tuple[str, ...]
    """What is not in it, each with the reason."""


@dataclass(kw_only=True, slots=True)
class _Contents:
    files: dict[str, Path] = field(default_factory=dict)
    """Where each member comes from."""
    left_out: list[str] = field(default_factory=list)


def back_up(project: Path, file: Path) -> Backup:
    """Write a backup, then read it again and compare every member with its digest.

    Args:
        project: The project's root.
        file: The backup; an older one is replaced once this one is whole.

    Raises:
        RegistryError: The project is in no repository, has no commit yet, or git fails.
        DataError: A name would not come back, or a file changed meanwhile.
    """
    if not has_repository(project):
        raise RegistryError(
            f"{project.resolve()} lies in no git repository, which a backup rests on. Make one "
            "with `git init` and commit."
        )
    contents = _Contents()
    with temporary_folder() as place:
        about = _git_part(project, Path(place), contents)
        _cache_part(project, contents)
        _records_part(project, Path(place), contents)
        names = MemberPaths(file)
        about["files"] = {
            names.claim(name, is_folder=False): file_sha256(path)
            for name, path in sorted(contents.files.items())
        }
        write_json(Path(place) / ABOUT, about)
        with draft_file(file, durable=True) as draft:
            with tarfile.open(draft, "w") as tape:
                tape.add(Path(place) / ABOUT, ABOUT)
                for name in about["files"]:
                    tape.add(contents.files[name].resolve(), name, filter=_anonymous)
            _checked(draft)
            size = draft.stat().st_size
    return Backup(
        files=len(about["files"]), size=size, champion=about["champion"],
        left_out=tuple(contents.left_out),
    )  # fmt: skip


def restore(file: Path, folder: Path) -> Backup:
    """Make a project of a backup.

    Args:
        file: The backup.
        folder: The project's new root; it must not exist. It appears whole or not at all.

    Raises:
        DataError: The backup is damaged, or the folder exists.
        RegistryError: Git or DVC fails, or the champion's files are not those that the log names.
    """
    if folder.exists():
        raise DataError(f"{folder} exists already; name a folder that does not.")
    if not file.is_file():
        raise DataError(f"{file} is no file; name a backup that `pasam backup` wrote.")
    about = _checked(file)
    folder.resolve().parent.mkdir(parents=True, exist_ok=True)
    with (
        temporary_folder(folder.resolve().parent) as place,
        draft_folder(folder) as project,
    ):
        found = Path(place)
        unpack(file, found)
        _restore_git(project, found, about)
        for name in (FOLDER, CACHE):
            if (found / name).is_dir():
                target = project / (OBJECTS if name == CACHE else name)
                target.parent.mkdir(parents=True, exist_ok=True)
                put_in_place(found / name, target)
        if (project / LOCK).is_file() and (project / ".dvc").is_dir():
            checkout = ["dvc", "checkout", "--quiet", "--force", "--allow-missing"]
            run_command(checkout, project)
        if about.champion is not None and is_local(addresses(project)[0]):
            for problem in filter(None, verify_versions(project, str(about.champion)).values()):
                raise RegistryError(f"the champion of {file} cannot be restored: {problem}")
    return Backup(
        files=len(about.files), size=file.stat().st_size, champion=about.champion,
        left_out=tuple(about.left_out),
    )  # fmt: skip


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _checked(file: Path) -> _Description:
    """Compare every member of a backup with its digest; say what it is."""
    try:
        with tarfile.open(file, "r:") as tape:
            members = iter(tape)
            first = next(members, None)
            content = tape.extractfile(first) if first is not None and first.isreg() else None
            said = json.loads(content.read(_LONGEST_ABOUT)) if content else {}
            if first is None or first.name != ABOUT or said.get("form") != FORM:
                raise DataError(
                    f"{file} is no backup of the form {FORM}, but {said.get('form')!r:.20}; "
                    "restore it with the version of pasam that wrote it."
                )
            about = _Description.model_validate(said)
            found = {each.name: sha256_of(_parts(tape, each)) for each in members if each.isreg()}
    except (tarfile.TarError, EOFError, ValueError, AttributeError, RecursionError) as error:
        what = str(error).replace("\n", " ")[:200]
        raise DataError(f"{file} is damaged, or no backup ({what}). {ADVICE}") from None
    for name in sorted(found.keys() | about.files.keys()):
        wanted, there = about.files.get(name, "nothing"), found.get(name, "not there")
        if there != wanted:
            raise DataError(
                f"{file} is damaged: {name} is {there[:12]}, expected {wanted[:12]}. {ADVICE}"
            )
        if ".git" in name.casefold().split("/"):  # its config and its hooks name programs
            raise DataError(
                f"{file} holds {name}, which git would run or obey; `pasam backup` writes no such "
                f"file. {ADVICE}"
            )
    return about


def _parts(tape: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    content = tape.extractfile(member)
    assert content is not None  # of a regular file
    yield from iter(partial(content.read, 2**20), b"")


def _git(project: Path, *arguments: str) -> str:
    done = call_git(project, *arguments)
    if done.returncode:
        raise RegistryError(
            f"`git {arguments[0]}` failed in {project}: "
            f"{done.stderr.decode(errors='replace').strip()[:200]}"
        )
    return done.stdout.decode(errors="surrogateescape")


def _listed(project: Path, *arguments: str) -> list[str]:
    return [name for name in _git(project, *arguments).split("\0") if name]


def _git_part(project: Path, place: Path, contents: _Contents) -> dict[str, Any]:
    """All branches, the log among them, and what the working tree has besides its commit."""
    if Path(_git(project, "rev-parse", "--show-toplevel").strip()) != project.resolve():
        raise RegistryError(f"{project.resolve()} is not the root of its repository; name that.")
    if call_git(project, "rev-parse", "--verify", "--quiet", "HEAD").returncode:
        raise RegistryError(f"{project.resolve()} has no commit yet: commit first.")
    log = DecisionLog(project)
    entries = log.read(shared=False)
    _git(project, "bundle", "create", str(place / BUNDLE), "--all", "HEAD")
    contents.files[BUNDLE] = place / BUNDLE
    changed = _listed(project, "diff", "--name-only", "-z", "--no-renames", "--relative", "HEAD")
    new = _listed(project, "ls-files", "--others", "--exclude-standard", "-z")
    for name in (*changed, *new):
        path = project / name
        if path.is_symlink() or (path.exists() and not path.is_file()):
            contents.left_out.append(f"{name}: no regular file")
        elif path.is_file() and _is_backup(path):  # each would hold all before it
            contents.left_out.append(f"{name}: another backup")
        elif path.is_file():
            contents.files[f"{TREE}/{name}"] = path
    if (project / ".dvc/config.local").is_file():
        contents.left_out.append(".dvc/config.local: it may hold credentials; set it anew")
    return {
        "form": FORM,
        "project": project.resolve().name,
        "branch": call_git(project, "symbolic-ref", "--short", "HEAD").stdout.decode().strip(),
        "head": _git(project, "rev-parse", "HEAD").strip(),
        "log": call_git(project, "rev-parse", "--verify", "--quiet", REF).stdout.decode().strip(),
        "champion": standing_of(entries).champion,
        "remotes": {
            name: without_password(_git(project, "remote", "get-url", name).strip())
            for name in _git(project, "remote").split()
        },
        "deleted": sorted(name for name in changed if not (project / name).exists()),
        "left_out": contents.left_out,
    }


def _is_backup(path: Path) -> bool:
    """Whether a file begins as a backup does."""
    try:
        with tarfile.open(path, "r:") as tape:
            first = tape.next()
    except (tarfile.TarError, OSError):
        return False
    return first is not None and first.name == ABOUT


def _restore_git(project: Path, found: Path, about: _Description) -> None:
    bundle = str(found / BUNDLE)
    _git(project, "init", "--quiet", "--initial-branch", "restoring")
    _git(project, "fetch", "--quiet", "--no-tags", bundle, "refs/*:refs/*")
    place = [about.branch] if about.branch else ["--detach", about.head]
    _git(project, "checkout", "--quiet", *place)
    for name, address in about.remotes.items():
        _git(project, "remote", "add", name, address)
    log = call_git(project, "rev-parse", "--verify", "--quiet", REF).stdout.decode().strip()
    if log != about.log:
        raise RegistryError(f"the branch {BRANCH} is {log[:10]}, expected {about.log[:10]}.")
    for name in about.deleted:
        gone = project / MemberPaths(found).claim(name, is_folder=False)
        gone.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # there are others in its folder
            os.removedirs(gone.parent)
    tree = found / TREE
    for path in sorted(tree.rglob("*")):
        if path.is_file():
            target = project / path.relative_to(tree)
            for parent in path.relative_to(tree).parents:
                if (project / parent).is_file():  # the commit's, in whose place a folder came
                    (project / parent).unlink()
            target.parent.mkdir(parents=True, exist_ok=True)
            put_in_place(path, target)


def _cache_part(project: Path, contents: _Contents) -> None:
    """The files of DVC's cache that `dvc.lock` names; a single file's bytes may also be its own."""
    lock_file = project / LOCK
    if not lock_file.is_file():
        return
    lock = parse_lock(lock_file.read_bytes(), source=str(lock_file))
    made = {path for stage in lock.stages.values() for path in stage.outs}
    tracked = set(_listed(project, "ls-files", "-z"))
    for stage in lock.stages.values():
        for path, entry in stage.outs.items():
            if path not in tracked and not _add_object(project, path, entry.md5, contents):
                contents.left_out.append(f"{path}: DVC's cache lacks it; `dvc repro` makes it")
        for path in stage.deps:
            own = [name for name in tracked if name == path or name.startswith(f"{path}/")]
            note = f"{path}: neither git nor DVC keeps it; copy it yourself"
            lost = path not in made and not own and (project / path).exists()
            if lost and note not in contents.left_out:
                contents.left_out.append(note)


def _add_object(project: Path, path: str, md5: str, contents: _Contents) -> bool:
    """Add a file or a folder of DVC's cache; say if all of it is there."""
    for name, place in _objects(project, path, md5):
        if not place.is_file():
            return False
        contents.files[f"{CACHE}/{name[:2]}/{name[2:]}"] = place
    return True


def _objects(project: Path, path: str, md5: str) -> Iterator[tuple[str, Path]]:
    kept, own = cached_file(project, md5), project / path
    whole = own.is_file() and not kept.is_file() and file_md5(own) == md5
    yield md5, own if whole else kept
    if md5.endswith(".dir") and kept.is_file():
        members: Sequence[Mapping[str, str]] = read_json(kept, advice="Run `pasam verify-cache`.")
        for each in members:
            yield each["md5"], cached_file(project, each["md5"])


def _records_part(project: Path, place: Path, contents: _Contents) -> None:
    """MLflow's records; a server keeps its own, and so does a file outside of the project."""
    folder = project / FOLDER
    own = (folder / DATABASE).resolve()
    for address in dict.fromkeys(addresses(project)):
        if not is_local(address) or sqlite_file(address).resolve() != own:
            other = without_password(address)
            contents.left_out.append(f"MLflow's records: {other} keeps them; back that up, too")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or (path.parent == folder and path.name.endswith(_LOCKS)):
            continue
        contents.files[f"{FOLDER}/{name}"] = path
    if (folder / DATABASE).is_file():  # as of one moment, whoever writes meanwhile
        with (
            contextlib.closing(sqlite3.connect(folder / DATABASE)) as live,
            contextlib.closing(sqlite3.connect(place / DATABASE)) as copy,
        ):
            live.backup(copy)
        contents.files[f"{FOLDER}/{DATABASE}"] = place / DATABASE


def described(found: Backup) -> list[str]:
    """Say in lines for people what a backup holds."""
    champion = "no champion" if found.champion is None else f"champion: version {found.champion}"
    lines = [f"{found.files} files, {found.size / 2**20:.1f} MiB, {champion}; all digests agree"]
    return [*lines, *(f"  not in it: {each}" for each in found.left_out)]
