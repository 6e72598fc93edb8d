"""What the result files of one stage hold, in MLflow's words: params, metrics, files, data sets."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pasam.benchmarks.scores import SCHEMA, read_scores
from pasam.data.manifest import read_manifest
from pasam.tracking.dvc_lock import DvcLock, Entry, StageRecord
from pasam.tracking.lineage import MANIFEST, rows_md5

FILES = (".jsonl", ".json", ".parquet", ".png", ".svg", ".md", ".csv", ".tex", ".html")
"""Results that people read; weights and predictions stay with DVC."""

LARGEST = 64 * 2**20

_UNKNOWN_LETTER = re.compile(r"[^\w\-. /:]")
"""What MLflow does not take in the name of a metric."""

_LONGEST_VALUE = 6000  # MLflow's limit for a param


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric."""

    name: str
    value: float
    step: int


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set that a stage read."""

    name: str
    digest: str
    context: str
    masks: int
    images: int


def unready(project: Path, stage: StageRecord) -> str | None:
    """Say why a stage's files are not the ones that its lock names; None if all are."""
    for path, entry in stage.outs.items():
        place = project / path
        if not place.exists():
            return f"{path} is not there"
        if place.is_file() and _md5(place) != entry.md5:
            return f"{path} has changed since"
    return None


def params_of(stage: StageRecord) -> dict[str, str]:
    """Flatten the params that a stage reads: `train.seed`, `models.pa_sam.epochs`."""
    return {
        name: text[:_LONGEST_VALUE]
        for name, value in _flat(stage.params, ".")
        for text in [value if isinstance(value, str) else json.dumps(value)]
    }


def metrics_of(project: Path, stage: StageRecord) -> list[Point]:
    """Read every number that a stage's files hold: histories, per-image scores, metrics."""
    points: list[Point] = []
    for path in sorted(stage.outs):
        place = project / path
        if path.endswith(".jsonl"):
            points += _history(place)
        elif path.endswith(".json"):
            content = json.loads(place.read_text(encoding="utf-8"))
            points += [Point(n, float(v), 0) for n, v in _flat(content, "/") if _is_number(v)]
        elif is_score_file(place):
            points += _scores(place)
    return [Point(_UNKNOWN_LETTER.sub("_", p.name), p.value, p.step) for p in points]


def files_of(project: Path, stage: StageRecord) -> list[Path]:
    """List the files of a stage that people read."""
    places = (project / path for path in sorted(stage.outs) if path.endswith(FILES))
    return [place for place in places if place.is_file() and place.stat().st_size <= LARGEST]


def data_sets_of(project: Path, lock: DvcLock, stage: StageRecord) -> list[DataSet]:
    """List the data sets that a stage trained on or was measured on."""
    manifest = _manifest(lock, stage)
    if manifest is None or not (project / manifest.path).is_file():
        return []
    frame = read_manifest(project / manifest.path)
    files = [project / path for path in stage.outs if is_score_file(project / path)]
    benchmarks = set(read_scores(*files)["benchmark"]) if files else set()
    measured = frame[(frame["split"] == "val") & frame["dataset"].isin(sorted(benchmarks))]
    trains = stage.out_with(".jsonl") is not None  # a history
    learned = frame[(frame["split"] == "train") & trains]
    return [
        DataSet(str(name), rows_md5(part), context, len(part), part["image"].nunique())
        for context, rows in (("training", learned), ("evaluation", measured))
        for name, part in rows.groupby("dataset")
    ]


def is_score_file(path: Path) -> bool:
    """Say whether a file is a table of per-image scores."""
    if path.suffix != ".parquet" or not path.is_file():
        return False
    import pyarrow.parquet as pq

    names = set(pq.read_schema(path).names)
    return {"benchmark", "image_id", "boundary_iou"} <= names and names <= set(SCHEMA.names)


def mean_scores(frame: pd.DataFrame) -> Iterator[tuple[str, float, float]]:
    """Yield each benchmark with its mean IoU and mean boundary IoU, in per cent."""
    means = frame.groupby("benchmark")[["iou", "boundary_iou"]].mean() * 100
    for name, row in means.iterrows():
        yield str(name), float(row["iou"]), float(row["boundary_iou"])


def _history(path: Path) -> Iterator[Point]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        row: dict[str, float] = json.loads(line)
        step = int(row.get("epoch", row.get("step", number)))
        of_seed = f"seed_{row['seed']:.0f}/" if "seed" in row else ""  # of a repetition
        for name, value in row.items():
            if name not in {"epoch", "step", "seed"}:
                yield Point(f"{of_seed}{name}", float(value), step)


def _scores(path: Path) -> Iterator[Point]:
    frame = read_scores(path)
    several = frame["model"].nunique() > 1 or frame["prompt"].nunique() > 1
    for (model, prompt), part in frame.groupby(["model", "prompt"]):
        prefix = f"{model}/{prompt}/" if several else ""
        for benchmark, miou, mbiou in mean_scores(part):
            yield Point(f"{prefix}{benchmark}/miou", miou, 0)
            yield Point(f"{prefix}{benchmark}/mbiou", mbiou, 0)


def _manifest(lock: DvcLock, stage: StageRecord) -> Entry | None:
    made = {entry.path: entry for _, entry in lock.makers(MANIFEST)}
    return next((made[path] for path in stage.deps if path in made), None)


def _flat(node: Any, separator: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _flat(value, separator, f"{prefix}{separator}{key}" if prefix else str(key))
    else:
        yield prefix, node


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
