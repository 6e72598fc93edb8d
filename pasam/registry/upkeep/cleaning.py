"""What may go after months: old versions, runs, logs, caches, folders that killed processes left.

Never what a version in use needs: the champion, every champion that one can go back to, and the
candidate keep their files, their runs, and what DVC's cache has of their commits. What git points
to (branches, tags, remotes) keeps its part of the cache, too. That a version's files were removed
is an entry of the log; its scores and verdicts stay there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pasam.files import TEMPORARY, read_json
from pasam.registry.decision_log import REMOVED, Standing
from pasam.registry.live_curves import KIND, LIVE
from pasam.registry.runs import PARENT, reproduction_key
from pasam.registry.snapshot import (
    LOCK,
    call_git,
    committed_file,
    dvc_locked,
    parse_lock,
    read_lock,
)
from pasam.registry.store import (
    FOLDER,
    Tag,
    artifacts_folder,
    every_page,
    is_local,
    wrap_mlflow_errors,
)
from pasam.registry.transitions import Decisions, Draft, open_decisions
from pasam.registry.upkeep.damaged_cache import OBJECTS, cached_file
from pasam.registry.upkeep.stored_files import BASE, stored_bases
from pasam.registry.versions import NAME, PAGES

DAY = 86400.0
LOGS = Path(".flows/logs")
DRAFTS = (".*.part", ".*.draft", ".*.old")
"""Names of drafts that a kill has left."""
SEARCHED = ("data", "reports", FOLDER)
"""Folders in which drafts are made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Leftover:
    """One thing that may go."""

    kind: str
    """`version`, `base`, `run`, `log`, `cache` or `draft`."""
    name: str
    size: int
    """Bytes on this disk; 0 where a server keeps it."""


def clean(project: Path, *, keep: int, days: float, dry_run: bool = False) -> list[Leftover]:
    """Remove what nothing needs any more.

    Args:
        project: The project's root.
        keep: Newest versions that stay besides those in use.
        days: Age from which runs and logs may go.
        dry_run: Whether to say it only.

    Returns:
        What went, or would go.

    Raises:
        TransientError: MLflow or the log's remote cannot be reached.
    """
    decisions = open_decisions(project)
    with wrap_mlflow_errors(decisions.registry.store.registry_uri):
        cleaner = _Cleaner(project=project, decisions=decisions, keep=keep, dry_run=dry_run)
        before = time.time() - days * DAY
        return [
            *cleaner.versions(), *cleaner.bases(), *cleaner.runs(before), *cleaner.logs(before),
            *cleaner.cache(), *cleaner.drafts(time.time() - DAY),
        ]  # fmt: skip


def removable(standing: Standing, keep: int) -> list[int]:
    """Numbers of the versions that nobody can go back to, but for the newest `keep` of them."""
    used = {*standing.champions, standing.candidate, standing.staging}
    there = {number for number, version in standing.versions.items() if not version.removed}
    others = sorted(there - used)
    return others[: max(0, len(others) - keep)]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cleaner:
    project: Path
    decisions: Decisions
    keep: int
    dry_run: bool

    @property
    def _artifacts(self) -> Path | None:
        """Folder of the artifacts, where this disk has them; a server frees its own."""
        address = self.decisions.registry.store.tracking_uri
        return artifacts_folder(address) if is_local(address) else None

    def _remove(self, kind: str, name: str, places: Iterable[Path]) -> Leftover:
        size = 0
        for place in places:
            size += _size(place)
            if self.dry_run:
                continue
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place, ignore_errors=True)
            else:
                place.unlink(missing_ok=True)
        return Leftover(kind=kind, name=name, size=size)

    def versions(self) -> Iterator[Leftover]:
        """Old versions: logged first, so that nobody takes their absence for a loss."""
        decisions = self.decisions
        going = removable(decisions.standing, self.keep)
        if not self.dry_run and going:
            entries = decisions.decide(
                lambda standing: Draft(
                    entries=tuple(
                        decisions.entry(REMOVED, number, f"{self.keep} newer ones are kept")
                        for number in removable(standing, self.keep)
                    )
                )
            )
            going = [entry.version for entry in entries if entry.version is not None]
        client = decisions.registry.client
        known = {version.number for version in decisions.registry.versions()}
        for number in going:
            version = decisions.standing.versions[number]
            model_id = str(version.registered.details.get("model_id") or "")
            if not self.dry_run:
                if number in known:
                    client.delete_model_version(NAME, str(number))
                if model_id:
                    client.delete_logged_model(model_id)
            pages = decisions.registry.store.folder / PAGES / f"v{number}"
            stored = [self._artifacts / "models" / model_id] if self._artifacts and model_id else []
            yield self._remove("version", str(number), [pages, *stored])

    def bases(self) -> Iterator[Leftover]:
        """Bases that no version stands on any more."""
        going = set(removable(self.decisions.standing, self.keep)) if self.dry_run else set()
        used = {
            version.registered.files.get(f"artifacts/{BASE}")
            for number, version in self.decisions.standing.versions.items()
            if not version.removed and number not in going
        }
        client = self.decisions.registry.client
        for digest, model in stored_bases(client).items():
            if digest not in used:
                if not self.dry_run:
                    client.delete_logged_model(model.model_id)
                folder = self._artifacts
                stored = [folder / "models" / str(model.model_id)] if folder else []
                yield self._remove("base", digest[:12], stored)

    def runs(self, before: float) -> Iterator[Leftover]:
        """Runs of stages and reproductions that neither `dvc.lock` nor a version in use is of."""
        store = self.decisions.registry.store
        every = every_page(
            lambda token: store.client.search_runs(
                [store.experiment_id], max_results=1000, page_token=token
            )
        )
        by_id = {str(run.info.run_id): run for run in every}
        used = [v for v in self.decisions.standing.versions.values() if not v.removed]
        kept = {str(version.registered.details.get("run_id")) for version in used}
        keys = {reproduction_key(str(version.tags.get(Tag.LOCK_SHA256))) for version in used}
        if (self.project / LOCK).is_file():
            lock = read_lock(self.project)
            keys |= {reproduction_key(lock.sha256), *(s.digest for s in lock.stages.values())}
        kept |= {i for i, run in by_id.items() if run.data.tags.get(Tag.KEY) in keys}
        kept |= {str(by_id[i].data.tags.get(PARENT)) for i in kept if i in by_id}
        for run_id, run in by_id.items():
            live = run.data.tags.get(KIND) == LIVE
            if run_id in kept or run.info.start_time > 1000 * before:
                continue
            if run.data.tags.get(Tag.KEY) is None and not live:
                continue  # not ours
            if not self.dry_run:
                store.client.delete_run(run_id)
            stored = [self._artifacts / run_id] if self._artifacts else []
            yield self._remove("run", f"{run.info.run_name} {run_id[:8]}", stored)

    def logs(self, before: float) -> Iterator[Leftover]:
        """Logs of flows and servers."""
        for path in sorted((self.project / LOGS).rglob("*")):
            if path.is_file() and path.stat().st_mtime < before:
                yield self._remove("log", path.name, [path])

    def cache(self) -> Iterator[Leftover]:
        """Files of DVC's cache that neither a branch, a tag, nor a version in use has."""
        place = self.project / OBJECTS
        if not place.is_dir():
            return
        with dvc_locked(self.project):
            needed = _needed_objects(self.project, self._commits())
            for path in sorted(place.glob("[0-9a-f][0-9a-f]/*")):
                if path.parent.name + path.name not in needed:
                    yield self._remove("cache", f"{path.parent.name}{path.name}"[:12], [path])

    def _commits(self) -> Iterator[str]:
        done = call_git(self.project, "for-each-ref", "--format=%(objectname)")
        yield from done.stdout.decode().split()
        yield "HEAD"
        for version in self.decisions.standing.versions.values():
            if not version.removed:
                yield str(version.tags.get(Tag.COMMIT, ""))

    def drafts(self, before: float) -> Iterator[Leftover]:
        """What killed processes left: drafts in the project, folders in the system's own."""
        found = [
            path
            for name in SEARCHED
            for pattern in DRAFTS
            for path in sorted((self.project / name).rglob(pattern))
        ]
        found += sorted(Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*/"))
        for path in found:
            if path.exists() and path.stat().st_uid == os.getuid() and _newest(path) < before:
                yield self._remove("draft", str(path), [path])


def _needed_objects(project: Path, commits: Iterable[str]) -> set[str]:
    """Names of the cache's files that the working tree or a commit needs."""
    known = {*commits} - {""}
    texts = {committed_file(project, commit, LOCK) for commit in known}
    locks = [tree / LOCK for tree in (project, *_worktrees(project))]
    texts |= {lock.read_bytes() for lock in locks if lock.is_file()}
    outs = {
        entry.md5
        for text in texts - {None}
        if text is not None
        for stage in parse_lock(text, source=LOCK).stages.values()
        for entry in [*stage.outs.values(), *stage.deps.values()]
    }
    outs |= _added_objects(project, known)
    needed = set(outs)
    for name in outs:
        listing = cached_file(project, name)
        if name.endswith(".dir") and listing.is_file():
            members: Sequence[dict[str, str]] = read_json(listing, advice="Run `dvc pull`.")
            needed |= {each["md5"] for each in members}
    return needed


def _worktrees(project: Path) -> Iterator[Path]:
    """Where the project is in each worktree of its repository, such as that of a study."""
    inner = call_git(project, "rev-parse", "--show-prefix").stdout.decode().strip()
    listed = call_git(project, "worktree", "list", "--porcelain").stdout.decode()
    for line in listed.splitlines():
        if line.startswith("worktree "):
            yield Path(line.removeprefix("worktree "), inner)


def _added_objects(project: Path, commits: Iterable[str]) -> set[str]:
    """Names of what people have put into the cache by `dvc add`, as their `*.dvc` files say."""
    listed = ("grep", "-h", "-o", "--extended-regexp")
    md5, files = r"[0-9a-f]{32}(\.dir)?", ("--", "*.dvc")
    # One that this clone lacks is a failure without a word.
    calls = [(md5, commit, *files) for commit in commits] + [("--untracked", md5, *files)]
    said = [call_git(project, *listed, *call).stdout.decode() for call in calls]
    return {name for each in said for name in each.split()}


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)


def _newest(path: Path) -> float:
    """When anything in it was written last."""
    return max((each.stat().st_mtime for each in [path, *path.rglob("*")]), default=0.0)


def described(found: Sequence[Leftover], *, dry_run: bool) -> list[str]:
    """Say in lines for people what went, or would go."""
    lines = [
        f"{each.kind:<8} {each.size / 2**20:9.1f} MiB  {each.name}"
        for each in sorted(found, key=lambda each: (each.kind, -each.size))
    ]
    total = sum(each.size for each in found) / 2**20
    verb = "would go" if dry_run else "removed"
    return [*lines, f"{len(found)} {verb}, {total:.1f} MiB"]
