"""Where a result comes from: the tags that every run and every version carries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pasam.data.manifest import read_manifest
from pasam.tracking.dvc_lock import DvcLock, StageRecord
from pasam.tracking.git_state import GitState
from pasam.validation.verdict import read_verdict

MANIFEST = "manifest.parquet"
WEIGHTS = ".safetensors"
VERDICT = "verdict.json"
EVALUATOR = ("pasam/benchmarks", "pasam/metrics")
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
            parts.add(f"boundary_share {stage.params.get('evaluate', {}).get('boundary_share')}")
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
