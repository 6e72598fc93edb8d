"""What the project stands at, read once: DVC's lock and stages, git, the manifest, the lineage.

A command takes one `Snapshot` and hands it down. What `dvc.lock` says of a stage (which command
made which bytes from which) counts only for stages that the project still has: DVC leaves in the
lock what it once ran, such as the stages of another preset or of a benchmark no longer listed.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pasam.errors import DataError
from pasam.files import SafeLoader, file_md5, file_sha256, md5_of, sha256_of, write_json
from pasam.registry.store import Tag, without_password, without_passwords

if TYPE_CHECKING:
    import pandas as pd

LOCK, GRAPH, PARAMS = "dvc.lock", "dvc.yaml", "params.yaml"
MANIFEST = "manifest.parquet"
WEIGHTS = ".safetensors"
VERDICT = "verdict.json"
EVALUATOR = (
    "pasam/evaluation", "pasam/inference", "pasam/masks", "pasam/models", "pasam/training",
)  # fmt: skip
"""Code that decides a score, from the image on; a change of it makes scores incomparable."""
WHICH = ("models", "baselines", "benchmarks", "batch_size", "devices")
"""Settings of `evaluate` that say what is measured, and not how."""

UNKNOWN = "unknown"
NOT_VALIDATED = "not validated"


@dataclass(frozen=True, kw_only=True, slots=True)
class LockEntry:
    """A dependency or an output."""

    path: str
    md5: str
    """Content hash; of a folder it ends in `.dir`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRecord:
    """One stage as it last ran or was restored."""

    name: str
    command: str
    deps: Mapping[str, LockEntry]
    outs: Mapping[str, LockEntry]
    params: Mapping[str, Any]
    """Sections of `params.yaml` that the stage reads, by key."""
    digest: str
    """Sha256 of all of this: the same digest means the same run of the same stage."""

    @property
    def kind(self) -> str:
        """The stage's name without what it was made for: `train` of `train@pa_sam`."""
        return self.name.partition("@")[0]

    def out_with(self, suffix: str) -> LockEntry | None:
        """Find the first output whose path ends so, in the order of paths."""
        return next((e for path, e in sorted(self.outs.items()) if path.endswith(suffix)), None)

    def section(self, name: str) -> Mapping[str, Any]:
        """Return a section of its params, or nothing."""
        found = self.params.get(name)
        return found if isinstance(found, Mapping) else {}

    def lineage(self) -> dict[str, str]:
        """Say what it was, and which weights it made or used, as tags."""
        used = (entry for path, entry in sorted(self.deps.items()) if path.endswith(WEIGHTS))
        weights = self.out_with(WEIGHTS) or next(used, None)
        return {
            Tag.STAGE: self.name,
            Tag.STAGE_DIGEST: self.digest,
            Tag.COMMAND: self.command,
            **({Tag.MODEL_MD5: weights.md5} if weights else {}),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class DvcLock:
    """Stages by name, and the digest of the whole file."""

    sha256: str
    stages: Mapping[str, StageRecord]

    def makers(self, suffix: str) -> Iterator[tuple[StageRecord, LockEntry]]:
        """List the outputs whose path ends so, each with the stage that makes it."""
        for stage in self.stages.values():
            for path, entry in sorted(stage.outs.items()):
                if path.endswith(suffix):
                    yield stage, entry

    def users(self, path: str) -> list[StageRecord]:
        """List the stages that depend on a path."""
        return [stage for stage in self.stages.values() if path in stage.deps]

    def by_output(self) -> dict[str, StageRecord]:
        """Return the stage that makes each path."""
        return {path: stage for stage in self.stages.values() for path in stage.outs}

    def behind(self, stage: StageRecord, *, past_weights: bool = False) -> list[StageRecord]:
        """List a stage and those that it rests on; if asked, also what made weights it used."""
        makers, found, waiting = self.by_output(), {stage.name: stage}, [stage]
        while waiting:
            for path in waiting.pop().deps:
                maker = makers.get(path)
                if maker is None or maker.name in found:
                    continue
                if past_weights or not path.endswith(WEIGHTS):
                    found[maker.name] = maker
                    waiting.append(maker)
        return list(found.values())

    def output(self, suffix: str) -> LockEntry | None:
        """Find the first output whose path ends so."""
        return next((entry for _, entry in self.makers(suffix)), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class GitState:
    """The working tree against git."""

    commit: str
    """Full id of HEAD; empty outside a repository or before its first commit."""
    dirty: bool
    """Something differs from the commit, or is there and neither committed nor ignored."""
    pushed: bool
    """A branch of a remote holds the commit."""
    changed: tuple[str, ...] = ()
    """Paths of what differs."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A project as one command sees it; whatever is needed is read once, when it is needed."""

    project: Path
    lock: DvcLock
    """Of the stages that `dvc.yaml` declares."""
    flow_run: str | None = None
    """The Prefect run that this belongs to, if any."""

    @cached_property
    def git(self) -> GitState:
        """The working tree against git."""
        return git_state(self.project)

    @property
    def manifest_path(self) -> Path:
        """Where the manifest lies.

        Raises:
            DataError: No stage in the lock makes one.
        """
        entry = self.lock.output(MANIFEST)
        if entry is None:
            raise DataError(
                f"no stage in {self.project / LOCK} makes a {MANIFEST}: the data was never "
                "prepared. Run `dvc repro prepare`."
            )
        return self.project / entry.path

    @cached_property
    def manifest(self) -> pd.DataFrame:
        """The rows of the manifest; not to be changed.

        Raises:
            DataError: There is none.
        """
        from pasam.data.manifest import read_manifest  # pandas takes half a second

        return read_manifest(self.manifest_path)

    @cached_property
    def has_manifest(self) -> bool:
        """Whether the lock names a manifest that is there."""
        entry = self.lock.output(MANIFEST)
        return entry is not None and (self.project / entry.path).is_file()

    @cached_property
    def lineage(self) -> Mapping[str, str]:
        """Where everything of a reproduction comes from, as tags; what is not known says so."""
        params = self.project / PARAMS
        manifest = self.lock.output(MANIFEST)
        return {
            Tag.COMMIT: self.git.commit or UNKNOWN,
            Tag.DIRTY: str(self.git.dirty).lower(),
            Tag.PUSHED: str(self.git.pushed).lower(),
            Tag.LOCK_SHA256: self.lock.sha256,
            Tag.PARAMS_SHA256: file_sha256(params) if params.is_file() else UNKNOWN,
            Tag.MANIFEST_MD5: UNKNOWN if manifest is None else manifest.md5,
            Tag.VALIDATION: self.validation(),
            Tag.EVALUATION_SET: self.evaluation_set(),
            Tag.EVALUATOR_VERSION: evaluator_version(self.lock),
            Tag.BASE_SHA256: self.base_sha256(),
            Tag.SEED: _seed(self.lock),
            **({Tag.FLOW_RUN: self.flow_run} if self.flow_run else {}),
        }

    def validation(self) -> str:
        """Say what the validation of this very data said: passed, failed, or not validated."""
        found, manifest = self.lock.output(VERDICT), self.lock.output(MANIFEST)
        if found is None or manifest is None:
            return NOT_VALIDATED
        if not all(self._is_as_made(entry) for entry in (found, manifest)):
            return NOT_VALIDATED  # they are gone, or somebody has edited them
        from pasam.validation.verdict import read_verdict  # with pandas

        verdict = read_verdict(self.project / found.path)
        if file_sha256(self.manifest_path) != verdict.manifest_sha256:
            return NOT_VALIDATED  # it is the verdict on other data
        return "passed" if verdict.passed else "failed"

    def evaluation_set(self) -> str:
        """Digest the masks and images that are evaluated on, whatever their paths."""
        if not self.has_manifest:
            return UNKNOWN
        rows = self.manifest
        measured = rows["dataset"].isin(sorted(self.benchmarks))
        return rows_md5(rows[(rows["split"] == "val") & measured])

    @property
    def benchmarks(self) -> frozenset[str]:
        """Names of all benchmarks that the project measures on."""
        return frozenset(
            name
            for stage in self.lock.stages.values()
            for name in stage.section("evaluate").get("benchmarks", [])
        )

    def base_sha256(self) -> str:
        """Digest the frozen base's weights."""
        for stage in self.lock.stages.values():
            path = stage.section("base").get("checkpoint")
            if path and (self.project / path).is_file():
                return file_sha256(self.project / path)
        return UNKNOWN

    def stale_output(self, stage: StageRecord) -> str | None:
        """Say why a stage's files are not the ones that its lock names; None if all are."""
        for path, entry in stage.outs.items():
            place = self.project / path
            if not place.exists():
                return f"{path} is not there"
            if place.is_file() and not self._is_as_made(entry):
                return f"{path} has changed since"
        return None

    def _is_as_made(self, entry: LockEntry) -> bool:
        place = self.project / entry.path
        return place.is_file() and file_md5(place) == entry.md5

    def stale_input(self, stage: StageRecord) -> str | None:
        """Say which input of a stage, or of those before it, was made anew since it ran."""
        makers = self.lock.by_output()
        for each in self.lock.behind(stage, past_weights=True):
            for path, used in each.deps.items():
                maker = makers.get(path)
                if maker is None:
                    continue
                if maker.outs[path].md5 != used.md5:
                    return f"{each.name} has read another {path} than {maker.name} made last"
                if (self.project / path).is_file() and not self._is_as_made(used):
                    return f"{path} has changed since {maker.name} made it"
        return None

    def results_note(self) -> str | None:
        """Say what to do where the working tree differs from its commit in nothing but results.

        Returns:
            Sentences for people; None where all is committed, or where anything else differs, too.
        """
        if self.git.changed != (LOCK,):
            return None
        committed = committed_file(self.project, "HEAD", LOCK)
        source = f"{LOCK} of HEAD"
        if committed is None or not only_results_differ(
            self.lock, parse_lock(committed, source=source)
        ):
            return None
        return (
            f"only {LOCK} differs from the commit, and only in results: the same commands on the "
            "same inputs gave other bytes on this machine, as embeddings and trainings do on "
            "another processor. To keep what was made here, commit and push it "
            f"(`git commit {LOCK}`, `git push`, `dvc push`); to go back to the committed results, "
            f"run `git checkout {LOCK}` and `dvc checkout`."
        )


def take_snapshot(project: Path, *, flow_run: str | None = None) -> Snapshot:
    """Look at a project, for a Prefect run if it belongs to one.

    Raises:
        DataError: Nothing has run yet, or `dvc.yaml` or `dvc.lock` is damaged.
    """
    return Snapshot(project=project, lock=read_lock(project), flow_run=flow_run)


def read_lock(project: Path) -> DvcLock:
    """Read the lock of a project, without the stages that the project no longer has.

    Raises:
        DataError: There is none, or it is not one.
    """
    path = project / LOCK
    try:
        lock = parse_lock(path.read_bytes(), source=str(path))
    except FileNotFoundError:
        raise DataError(
            f"{path} does not exist: nothing has run yet. Run `dvc repro` in the project's root."
        ) from None
    declared = declared_stages(project)
    return replace(lock, stages={n: stage for n, stage in lock.stages.items() if n in declared})


def parse_lock(content: bytes, *, source: str) -> DvcLock:
    """Read a lock from its bytes, such as those of a commit.

    Raises:
        DataError: It is no lock of DVC.
    """
    try:
        found = yaml.load(content, SafeLoader)  # noqa: S506  (a safe one, and ten times as fast)
        stages = {name: _stage(name, entry) for name, entry in found["stages"].items()}
    except (yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{source} is not a lock of DVC ({type(error).__name__}: {error}). Restore it from "
            "git, or run `dvc repro`."
        ) from None
    return DvcLock(sha256=sha256_of(content), stages=stages)


def only_results_differ(lock: DvcLock, committed: DvcLock) -> bool:
    """Say whether two locks tell of the same commands on the same inputs with other outputs.

    So it is after a reproduction on another processor: trainings and what follows them, and where
    its vector units are others embeddings too, differ in the last digits.

    Args:
        lock: The present one.
        committed: That of the commit; it may know of further stages.
    """
    made = {Path(path) for stage in lock.stages.values() for path in stage.outs}
    folders = {parent for path in made for parent in path.parents}

    def is_made(path: str) -> bool:
        return Path(path) in folders or bool(made & {Path(path), *Path(path).parents})

    def inputs(stage: StageRecord) -> object:
        given = {path: entry.md5 for path, entry in stage.deps.items() if not is_made(path)}
        return stage.command, stage.params, given, stage.deps.keys(), stage.outs.keys()

    return all(
        name in committed.stages and inputs(stage) == inputs(committed.stages[name])
        for name, stage in lock.stages.items()
    )


def results_note(project: Path) -> str | None:
    """Do as `Snapshot.results_note` for a project that nobody has looked at yet."""
    if git_state(project).changed != (LOCK,):
        return None
    return take_snapshot(project).results_note()


def _stage(name: str, entry: dict[str, Any]) -> StageRecord:
    text = json.dumps(entry, sort_keys=True)
    params = {
        key: value for part in entry.get("params", {}).values() for key, value in part.items()
    }
    return StageRecord(
        name=name,
        command=entry["cmd"] if isinstance(entry["cmd"], str) else " && ".join(entry["cmd"]),
        deps=_entries(entry.get("deps", [])),
        outs=_entries(entry.get("outs", [])),
        params=params,
        digest=sha256_of(f"{name}\n{text}"),
    )


def _entries(found: list[dict[str, Any]]) -> dict[str, LockEntry]:
    return {e["path"]: LockEntry(path=e["path"], md5=str(e.get("md5", ""))) for e in found}


def declared_stages(project: Path) -> frozenset[str]:
    """Name the stages that `dvc repro` would look at.

    Returns:
        Names as DVC gives them: `report`, `train@pa_sam`, `evaluate@pa_sam`.

    Raises:
        DataError: A file is absent or does not say what it should.
    """
    graph = project.resolve() / GRAPH
    try:
        names = _declared(graph, graph.read_bytes(), (project / PARAMS).read_bytes())
    except OSError as error:
        raise _unlistable(graph, error) from None
    if not names:
        raise _unlistable(graph, "it declares none")
    return names


@cache
def _declared(graph: Path, graph_text: bytes, params_text: bytes) -> frozenset[str]:
    """Ask DVC itself, once per text of the two files: importing and asking it takes a second."""
    from importlib.metadata import version

    key = sha256_of([version("dvc").encode(), b"\0", graph_text, b"\0", params_text])
    kept = graph.parent / _ANSWERED
    # A graph that names further files of variables depends on these, too.
    lasts = b"vars:" not in graph_text
    if lasts and (known := _answered(kept, key)):
        return known
    names = _ask_dvc(graph)
    if lasts and kept.parent.is_dir():
        with suppress(OSError):  # such as on a disk that can only be read
            write_json(kept, {"key": key, "stages": sorted(names)})
    return names


_ANSWERED = Path(".dvc") / "tmp" / "pasam-stages.json"
"""What DVC answered last; beside its own temporary files, which git ignores."""


def _answered(kept: Path, key: str) -> frozenset[str] | None:
    try:
        found = json.loads(kept.read_bytes())
        return frozenset(map(str, found["stages"])) if found["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _ask_dvc(graph: Path) -> frozenset[str]:
    from dvc.dvcfile import ProjectFile
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(graph.parent), uninitialized=True) as repo:
            return frozenset(ProjectFile(repo, str(graph)).resolver.get_keys())
    except DvcException as error:
        raise _unlistable(graph, error) from None


def _unlistable(graph: Path, why: object) -> DataError:
    return DataError(
        f"the stages of {graph} with {PARAMS} cannot be listed: {why}. `dvc status` says what is "
        "wrong with them."
    )


@contextmanager
def dvc_locked(project: Path) -> Iterator[None]:
    """Keep DVC from changing its cache meanwhile; a `dvc repro` that runs is waited for."""
    from dvc.repo import Repo

    with Repo(str(project)) as repo, repo.lock:
        yield


def folder_md5(folder: Path) -> str:
    """Digest a folder as DVC does: the list of its files with their digests, ordered by path."""
    files = sorted((p.relative_to(folder).as_posix(), p) for p in folder.rglob("*") if p.is_file())
    listed = [{"md5": file_md5(place), "relpath": path} for path, place in files]
    return f"{md5_of(json.dumps(listed, sort_keys=True))}.dir"


def rows_md5(rows: pd.DataFrame) -> str:
    """Digest rows of a manifest: ids and contents, in any order."""
    columns = ["dataset", "id", "image_sha256", "mask_sha256"]
    lines = sorted("\t".join(row) for row in rows[columns].itertuples(index=False, name=None))
    return md5_of("\n".join(lines))


def evaluator_version(lock: DvcLock) -> str:
    """Digest the code and the settings that turn masks into scores."""
    parts: set[str] = set()
    for stage in lock.stages.values():
        if stage.kind == "evaluate":
            code = [entry for path, entry in stage.deps.items() if path.startswith(EVALUATOR)]
            parts.update(f"{entry.path} {entry.md5}" for entry in code)
            how = {k: v for k, v in stage.section("evaluate").items() if k not in WHICH}
            parts.add(json.dumps(how, sort_keys=True))
    return sha256_of("\n".join(sorted(parts)))[:16] if parts else UNKNOWN


def _seed(lock: DvcLock) -> str:
    trained = [stage.section("train") for stage in lock.stages.values() if stage.kind == "train"]
    seeds = {str(part["seed"]) for part in trained if "seed" in part}
    return ", ".join(sorted(seeds)) or UNKNOWN


def git_state(project: Path) -> GitState:
    """Look at the repository that a project lies in."""
    if _git(project, "rev-parse", "--is-inside-work-tree").strip() != "true":
        return GitState(commit="", dirty=True, pushed=False)
    # Whatever a person's configuration hides, or git cannot read, is not taken for committed.
    status = call_git(project, "status", "--porcelain", "--untracked-files=normal")
    changed = status.stdout.decode(errors="replace").splitlines()
    return GitState(
        commit=_git(project, "rev-parse", "--verify", "--quiet", "HEAD").strip(),
        dirty=bool(changed) or status.returncode != 0,
        pushed=bool(_git(project, "branch", "--remotes", "--contains", "HEAD").strip()),
        changed=tuple(line[3:] for line in changed),
    )


def committed_file(project: Path, commit: str, name: str) -> bytes | None:
    """Return a file's bytes as of a commit; None where the commit or the file is unknown."""
    done = call_git(project, "show", f"{commit}:./{name}")
    return done.stdout if done.returncode == 0 else None


def has_repository(project: Path) -> bool:
    """Whether a folder lies in a git repository."""
    try:
        return not call_git(project, "rev-parse", "--git-dir").returncode
    except DataError:  # a machine without git, such as one that only serves
        return False


def remote_name(project: Path) -> str | None:
    """Return `origin`, or the name of the only other remote; None without any."""
    names = _git(project, "remote").split()
    return "origin" if "origin" in names else names[0] if names else None


def remote_address(project: Path) -> str | None:
    """Return the remote's address, without the credentials in it."""
    name = remote_name(project)
    if name is None:
        return None
    return without_password(_git(project, "remote", "get-url", name).strip())


def _git(project: Path, *arguments: str) -> str:
    return call_git(project, *arguments).stdout.decode(errors="replace")


def call_git(
    project: Path,
    *arguments: str,
    content: bytes | None = None,
    env: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run git in a project, without its asking anybody anything.

    Args:
        project: A folder of the clone.
        arguments: Of git.
        content: What it reads.
        env: Variables besides those of this process.
        seconds: Longest time; more is a failure as of a remote that cannot be reached.
    """
    command = ["git", *arguments]
    quiet = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(env or {})}
    try:
        return subprocess.run(
            command, cwd=project, capture_output=True, check=False, env=quiet, timeout=seconds,
            input=content or b"",
        )  # fmt: skip
    except FileNotFoundError:
        raise DataError(
            f"git is not installed, or {project} is no folder; lineage needs both."
        ) from None
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(
            command, 128, b"", f"no answer within {seconds} s".encode()
        )


def git_words(done: subprocess.CompletedProcess[bytes], *, most: int = 4) -> str:
    """Pick from what git said why it failed; no address's credentials, nor where a push goes."""
    said = (done.stderr + b"\n" + done.stdout).decode(errors="replace")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    aside = ("hint:", "To ", "Done", "warning:", "Warning:", "**")
    kept = [line for line in lines if not line.startswith(aside)] or lines or ["it says nothing"]
    return without_passwords(" | ".join(kept[:most])).rstrip(".")
