"""The model that the project's results describe: its files, its scores and where they come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pasam.data.catalogue import GENERATED
from pasam.errors import RegistryError
from pasam.evaluation.scores import BOX, CLEAN, read_scores
from pasam.files import file_sha256
from pasam.registry.gate import EvaluationKey
from pasam.registry.runs import is_score_file
from pasam.registry.snapshot import WEIGHTS, DvcLock, LockEntry, Snapshot, StageRecord
from pasam.registry.store import Tag

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
    measured: EvaluationKey
    weights: str
    """`real`, or what the weights are of instead."""
    lineage: Mapping[str, str]


def find_candidate(snapshot: Snapshot, model: str) -> Candidate:
    """Gather what the last reproduction says of a model.

    Args:
        snapshot: The project.
        model: Its key in `models`.

    Raises:
        RegistryError: The model was not trained or not evaluated, or its files are not those
            that `dvc.lock` names.
        DataError: Nothing has run yet.
    """
    project, lock = snapshot.project, snapshot.lock
    stage, adapter = _trained(lock, model)
    users = [user for user in lock.users(adapter.path) if user.kind == "evaluate"]
    for each in (stage, *users):
        reason = snapshot.stale_output(each)
        if reason is not None:
            raise RegistryError(
                f"{each.name} cannot vouch for {model}: {reason}. Run `dvc repro`, or `dvc "
                "checkout` if it ran on another machine."
            )
    base = stage.section("base")
    size = str(base["size"])
    lineage = snapshot.lineage
    digest = file_sha256(project / adapter.path)
    return Candidate(
        model=model,
        stage=stage.name,
        adapter=project / adapter.path,
        base=project / str(base["checkpoint"]),
        size=size,
        variant=_variant(stage, model),
        key=f"{digest}-{lineage[Tag.BASE_SHA256]}",
        scores=_scores(project, users, model),
        measured=EvaluationKey(
            evaluation_set=lineage[Tag.EVALUATION_SET], evaluator=lineage[Tag.EVALUATOR_VERSION]
        ),
        weights=weights_label(snapshot, stage, size=size),
        lineage={**lineage, **stage.lineage(), Tag.ADAPTER_SHA256: digest},
    )


def weights_label(snapshot: Snapshot, stage: StageRecord, *, size: str) -> str:
    """Say whether weights are real, or why not: untrained, of generated data, on the small base."""
    history = stage.out_with(".jsonl")
    if history is not None:
        text = (snapshot.project / history.path).read_text(encoding="utf-8")
        if not text.strip():
            return "an untrained model"
    rows = snapshot.manifest
    made = rows.loc[rows["split"] == "train", "dataset"].isin(GENERATED)
    parts = ["generated data"] if made.all() else ["partly generated data"] if made.any() else []
    parts += ["the small base"] if size == "vit_tiny" else []
    return " and ".join(parts) or REAL


def _trained(lock: DvcLock, model: str) -> tuple[StageRecord, LockEntry]:
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
    return stage.section(f"models.{model}")


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


def metadata(candidate: Candidate) -> str:
    """Describe a model in JSON, for its files; equal models give equal bytes."""
    content = {
        "model": candidate.model,
        "size": candidate.size,
        "variant": dict(candidate.variant),
        "base_sha256": candidate.lineage[Tag.BASE_SHA256],
        "weights": candidate.weights,
    }
    return json.dumps(content, indent=2, sort_keys=True) + "\n"
