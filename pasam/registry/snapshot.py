"""What the project stands at, read once.

`dvc.lock`, `dvc.yaml`, git, the machine, and the lineage of a result.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pasam.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

# --- dvc_yaml: The stages that `dvc.yaml` and `params.yaml` declare at present, by name.
#
# DVC leaves in `dvc.lock` what it once ran: the stages of another size, of a benchmark or a variant
# that is no longer listed. They say nothing about the present run.

GRAPH, PARAMS = "dvc.yaml", "params.yaml"


def declared_stages(project: Path) -> frozenset[str]:
    """Name the stages that `dvc repro` would look at.

    Args:
        project: The project's root.

    Returns:
        Names as DVC gives them: `report`, `train@pa_sam`, `evaluate@pa_sam-dis_like`.

    Raises:
        DataError: A file is absent or does not say what it should.
    """
    try:
        graph = yaml.safe_load((project / GRAPH).read_bytes())["stages"]
        params = yaml.safe_load((project / PARAMS).read_bytes())
        return frozenset(n for name, entry in graph.items() for n in _names(name, entry, params))
    except (OSError, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"the stages of {project / GRAPH} with {PARAMS} cannot be listed "
            f"({type(error).__name__}: {error}). `dvc status` says what is wrong with them."
        ) from None


def _names(name: str, entry: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[str]:
    if "foreach" in entry:
        axes = [_resolved(entry["foreach"], params)]
    elif "matrix" in entry:
        axes = [_resolved(axis, params) for axis in entry["matrix"].values()]
    else:
        yield name
        return
    for values in product(*axes):
        yield f"{name}@{'-'.join(map(str, values))}"


def _resolved(axis: Any, params: Mapping[str, Any]) -> Any:
    """What a `${section.key}` stands for; a mapping's keys name its stages."""
    if isinstance(axis, str):
        found: Any = params
        for key in axis.removeprefix("${").removesuffix("}").split("."):
            found = found[key]
        return found
    return axis


# --- dvc_lock: What `dvc.lock` says of every stage: which command made which bytes from which.

LOCK = "dvc.lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A dependency or an output."""

    path: str
    md5: str
    """Content hash; of a folder it ends in `.dir`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRecord:
    """One stage as it last ran or was restored."""

    name: str
    command: str
    deps: Mapping[str, Entry]
    outs: Mapping[str, Entry]
    params: Mapping[str, Any]
    """Sections of `params.yaml` that the stage reads, by key."""
    digest: str
    """Sha256 of all of this: the same digest means the same run of the same stage."""

    @property
    def kind(self) -> str:
        """The stage's name without what it was made for: `train` of `train@pa_sam`."""
        return self.name.partition("@")[0]

    def out_with(self, suffix: str) -> Entry | None:
        """Find the first output whose path ends so, in the order of paths."""
        return next((e for path, e in sorted(self.outs.items()) if path.endswith(suffix)), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class DvcLock:
    """Stages by name, and the digest of the whole file."""

    sha256: str
    stages: Mapping[str, StageRecord]

    def makers(self, suffix: str) -> Iterator[tuple[StageRecord, Entry]]:
        """List the outputs whose path ends so, each with the stage that makes it."""
        for stage in self.stages.values():
            for path, entry in sorted(stage.outs.items()):
                if path.endswith(suffix):
                    yield stage, entry

    def users(self, path: str) -> list[StageRecord]:
        """List the stages that depend on a path."""
        return [stage for stage in self.stages.values() if path in stage.deps]


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
    present = {name: stage for name, stage in lock.stages.items() if name in declared}
    return replace(lock, stages=present)


def parse_lock(content: bytes, *, source: str) -> DvcLock:
    """Read a lock from its bytes, such as those of a commit.

    Raises:
        DataError: It is no lock of DVC.
    """
    try:
        found = yaml.safe_load(content)
        stages = {name: _stage(name, entry) for name, entry in found["stages"].items()}
    except (yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{source} is not a lock of DVC ({type(error).__name__}: {error}). Restore it from "
            "git, or run `dvc repro`."
        ) from None
    return DvcLock(sha256=hashlib.sha256(content).hexdigest(), stages=stages)


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
        digest=hashlib.sha256(f"{name}\n{text}".encode()).hexdigest(),
    )


def _entries(found: list[dict[str, Any]]) -> dict[str, Entry]:
    return {e["path"]: Entry(path=e["path"], md5=str(e.get("md5", ""))) for e in found}


# --- git_state: Which commit the project stands at, and whether others could get the same.


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


# --- hardware: The machine and the versions that a result was made with.

PACKAGES = ("torch", "torchvision", "segment-anything", "numpy", "opencv-python-headless")


def hardware() -> dict[str, str]:
    """Describe processor, memory, graphics cards and the packages that decide the numbers."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory_gib": f"{pages * size / 2**30:.1f}",
        "graphics": ", ".join(_graphics()) or "none",
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model n")]
    except OSError:  # not Linux
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _graphics() -> list[str]:
    """Names of the NVIDIA cards; asked of the driver, since importing torch takes seconds."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    done = subprocess.run(
        [tool, "--query-gpu=name", "--format=csv,noheader"],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    return done.stdout.splitlines() if done.returncode == 0 else []


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


# --- lineage: Where a result comes from: the tags that every run and every version carries.

MANIFEST = "manifest.parquet"
WEIGHTS = ".safetensors"
VERDICT = "verdict.json"
EVALUATOR = ("pasam/evaluation", "pasam/masks")
"""Code that decides what a score means; a change of it makes scores incomparable."""

KEY = "pasam.key"
KIND = "pasam.kind"
RECORDED = "pasam.recorded"
DIRTY = "git.dirty"
COMMIT = "git.commit"

UNKNOWN = "unknown"


def project_lineage(
    project: Path, lock: DvcLock, git: GitState, *, flow_run: str | None
) -> dict[str, str]:
    """Say where everything of a reproduction comes from.

    Args:
        project: The project's root.
        lock: Its `dvc.lock`.
        git: Its repository.
        flow_run: The Prefect run that this belongs to, if any.

    Returns:
        Tags; what cannot be known is said to be unknown.
    """
    params = project / "params.yaml"
    return {
        COMMIT: git.commit or UNKNOWN,
        DIRTY: str(git.dirty).lower(),
        "git.pushed": str(git.pushed).lower(),
        "dvc.lock_sha256": lock.sha256,
        "params.sha256": _sha256(params) if params.is_file() else UNKNOWN,
        "data.manifest_md5": _md5_of(lock, MANIFEST),
        "data.validation": validation_verdict(project, lock),
        "evaluation.set_md5": evaluation_set(project, lock),
        "evaluation.evaluator": evaluator_version(lock),
        "base.sha256": base_sha256(project, lock),
        "seed": _seed(lock),
        **({"prefect.flow_run": flow_run} if flow_run else {}),
    }


def stage_lineage(stage: StageRecord) -> dict[str, str]:
    """Say what one stage was, and which weights it made or used."""
    weights = stage.out_with(WEIGHTS) or next(
        (dep for path, dep in sorted(stage.deps.items()) if path.endswith(WEIGHTS)), None
    )
    return {
        "dvc.stage": stage.name,
        "dvc.stage_digest": stage.digest,
        "dvc.command": stage.command,
        **({"model.md5": weights.md5} if weights else {}),
    }


def validation_verdict(project: Path, lock: DvcLock) -> str:
    """What the validation of this very data said: `passed`, `failed`, or `not validated`."""
    found = next((entry for _, entry in lock.makers(VERDICT)), None)
    manifest = next((entry for _, entry in lock.makers(MANIFEST)), None)
    if found is None or manifest is None or not (project / found.path).is_file():
        return "not validated"
    from pasam.validation.verdict import read_verdict  # with pandas

    verdict = read_verdict(project / found.path)
    place = project / manifest.path
    if not place.is_file() or _sha256(place) != verdict.manifest_sha256:
        return "not validated"  # it speaks of other data
    return "passed" if verdict.passed else "failed"


def evaluation_set(project: Path, lock: DvcLock) -> str:
    """Digest of the masks and images that are evaluated on, whatever their paths."""
    found = next((entry for _, entry in lock.makers(MANIFEST)), None)
    if found is None or not (project / found.path).is_file():
        return UNKNOWN
    from pasam.data.manifest import read_manifest  # pandas takes half a second

    frame = read_manifest(project / found.path)
    return rows_md5(frame[(frame["split"] == "val") & frame["dataset"].isin(_benchmarks(lock))])


def rows_md5(rows: pd.DataFrame) -> str:
    """Digest of rows of a manifest: ids and contents, in any order."""
    columns = ["dataset", "id", "image_sha256", "mask_sha256"]
    lines = sorted("\t".join(row) for row in rows[columns].itertuples(index=False, name=None))
    return hashlib.md5("\n".join(lines).encode(), usedforsecurity=False).hexdigest()


def evaluator_version(lock: DvcLock) -> str:
    """Digest of the code and the settings that turn masks into scores."""
    parts: set[str] = set()
    for stage in lock.stages.values():
        if stage.kind == "evaluate":
            code = [entry for path, entry in stage.deps.items() if path.startswith(EVALUATOR)]
            parts.update(f"{entry.path} {entry.md5}" for entry in code)
            parts.add(
                f"boundary_fraction {stage.params.get('evaluate', {}).get('boundary_fraction')}"
            )
    text = "\n".join(sorted(parts))
    return hashlib.sha256(text.encode()).hexdigest()[:16] if parts else UNKNOWN


def base_sha256(project: Path, lock: DvcLock) -> str:
    """Digest of the frozen base's weights."""
    for stage in lock.stages.values():
        path = section(stage, "base").get("checkpoint")
        if path and (project / path).is_file():
            return _sha256(project / path)
    return UNKNOWN


def section(stage: StageRecord, name: str) -> Mapping[str, Any]:
    """A section of the stage's params, or nothing."""
    found = stage.params.get(name)
    return found if isinstance(found, Mapping) else {}


def _benchmarks(lock: DvcLock) -> list[str]:
    names: set[str] = set()
    for stage in lock.stages.values():
        names.update(section(stage, "evaluate").get("benchmarks", []))
    return sorted(names)


def _md5_of(lock: DvcLock, suffix: str) -> str:
    return next((entry.md5 for _, entry in lock.makers(suffix)), UNKNOWN)


def _seed(lock: DvcLock) -> str:
    trained = [section(s, "train") for s in lock.stages.values() if s.kind == "train"]
    seeds = {str(part["seed"]) for part in trained if "seed" in part}
    return ", ".join(sorted(seeds)) or UNKNOWN


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
