"""The model that the project's results describe: its files, its scores and where they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pasam.data.catalogue import GENERATED
from pasam.data.manifest import read_manifest
from pasam.errors import RegistryError
from pasam.evaluation.scores import BOX, CLEAN, read_scores
from pasam.registry.gate import Measured
from pasam.registry.runs import is_score_file, unready
from pasam.registry.snapshot import (
    MANIFEST,
    WEIGHTS,
    DvcLock,
    Entry,
    StageRecord,
    git_state,
    project_lineage,
    read_lock,
    section,
    stage_lineage,
)

REAL = "real"


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A trained model with its evidence."""

    model: str
    """Its key in `models`."""
    stage: str
    """The stage that trained it."""
    adapter: Path
    base: Path
    size: str
    """Size of the base, as in `base.size`."""
    variant: Mapping[str, Any]
    """Its entry in `models`."""
    key: str
    """Digest of adapter and base: the same key means the same predictions."""
    scores: pd.DataFrame
    """Its scores with the box prompt on clean images."""
    measured: Measured
    weights: str
    """`real`, or what the weights are of instead."""
    manifest: Path
    lineage: Mapping[str, str]


def find_candidate(project: Path, model: str, *, flow_run: str | None = None) -> Candidate:
    """Gather what the last reproduction says of a model.

    Args:
        project: The project's root.
        model: Its key in `models`.
        flow_run: The Prefect run that this belongs to, if any.

    Raises:
        RegistryError: The model was not trained or not evaluated, or its files are not those
            that `dvc.lock` names.
        DataError: Nothing has run yet.
    """
    lock = read_lock(project)
    stage, adapter = _trained(lock, model)
    users = [user for user in lock.users(adapter.path) if user.kind == "evaluate"]
    for each in (stage, *users):
        reason = unready(project, each)
        if reason is not None:
            raise RegistryError(
                f"{each.name} cannot vouch for {model}: {reason}. Run `dvc repro`, or `dvc "
                "checkout` if it ran on another machine."
            )
    base = section(stage, "base")
    lineage = project_lineage(project, lock, git_state(project), flow_run=flow_run)
    digest = hashlib.sha256((project / adapter.path).read_bytes()).hexdigest()
    manifest = project / next(entry.path for _, entry in lock.makers(MANIFEST))
    return Candidate(
        model=model,
        stage=stage.name,
        adapter=project / adapter.path,
        base=project / str(base["checkpoint"]),
        size=str(base["size"]),
        variant=_variant(stage, model),
        key=f"{digest}-{lineage['base.sha256']}",
        scores=_scores(project, users, model),
        measured=Measured(
            evaluation_set=lineage["evaluation.set_md5"],
            evaluator=lineage["evaluation.evaluator"],
        ),
        weights=weights_label(project, stage, manifest, size=str(base["size"])),
        manifest=manifest,
        lineage={**lineage, **stage_lineage(stage), "adapter.sha256": digest},
    )


def weights_label(project: Path, stage: StageRecord, manifest: Path, *, size: str) -> str:
    """Say whether weights are real, or why not: untrained, of generated data, on the small base."""
    history = stage.out_with(".jsonl")
    if history is not None and not (project / history.path).read_text(encoding="utf-8").strip():
        return "an untrained model"
    frame = read_manifest(manifest)
    made = frame.loc[frame["split"] == "train", "dataset"].isin(GENERATED)
    parts = ["generated data"] if made.all() else ["partly generated data"] if made.any() else []
    parts += ["the small base"] if size == "vit_tiny" else []
    return " and ".join(parts) or REAL


def _trained(lock: DvcLock, model: str) -> tuple[StageRecord, Entry]:
    made = [
        (stage, entry)
        for stage, entry in lock.makers(WEIGHTS)
        if stage.kind == "train" and _variant(stage, model)
    ]
    if not made:
        trained = sorted({s.name for s, _ in lock.makers(WEIGHTS) if s.kind == "train"})
        raise RegistryError(
            f"no training of '{model}' is in dvc.lock, which has {trained}. Correct gate.model in "
            "params.yaml, or run `dvc repro`."
        )
    return made[0]


def _variant(stage: StageRecord, model: str) -> Mapping[str, Any]:
    found = stage.params.get(f"models.{model}")
    return found if isinstance(found, Mapping) else {}


def _scores(project: Path, users: list[StageRecord], model: str) -> pd.DataFrame:
    files = [project / path for user in users for path in user.outs]
    tables = [path for path in files if is_score_file(path)]
    if not tables:
        raise RegistryError(
            f"'{model}' was trained but not evaluated; run `dvc repro`, and name it under "
            "evaluate.models in params.yaml."
        )
    return comparable_rows(read_scores(*tables))


def comparable_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows that versions are compared on: the box prompt, clean images."""
    kept = scores[(scores["prompt"] == BOX) & (scores["corruption"] == CLEAN)]
    return kept.reset_index(drop=True)


def description(candidate: Candidate) -> str:
    """The words about a model that its files carry, as JSON; equal models give equal bytes."""
    words = {
        "model": candidate.model,
        "size": candidate.size,
        "variant": dict(candidate.variant),
        "base_sha256": candidate.lineage["base.sha256"],
        "weights": candidate.weights,
    }
    return json.dumps(words, indent=2, sort_keys=True) + "\n"
