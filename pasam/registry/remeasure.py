"""Measuring an older version again, on today's images with today's evaluator."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import pandas as pd

from pasam.benchmarks.run import benchmark_rows, evaluate_segmenter
from pasam.benchmarks.scores import UNTRAINED
from pasam.data.manifest import read_manifest
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.modeling.segmenter import Segmenter
from pasam.params import EmbedParams, EvaluateParams
from pasam.params_file import DEFAULT_PATH, load_section
from pasam.registry.candidate import comparable_rows
from pasam.tracking.dvc_lock import read_lock
from pasam.tracking.lineage import MANIFEST
from pasam.training.embeddings import Store, benchmark_tasks, open_store, write_store


def todays_scores(project: Path, predictor: PromptAdapterPredictor) -> pd.DataFrame:
    """Score a model on the project's data as it was prepared last.

    Args:
        project: The project's root.
        predictor: The model.

    Returns:
        The rows of `pasam.benchmarks.scores` that versions are compared on.

    Raises:
        DataError: Nothing was prepared yet.
    """
    lock = read_lock(project)
    manifest = next(entry.path for _, entry in lock.makers(MANIFEST))
    stores = [
        project / path
        for stage in lock.stages.values()
        if stage.kind == "embed" and stage.name.endswith("@val")
        for path in stage.outs
    ]
    scores = remeasure(
        predictor, project=project, manifest=project / manifest,
        embeddings=stores[0] if stores else None,
    )  # fmt: skip
    return comparable_rows(scores)


def remeasure(
    predictor: PromptAdapterPredictor,
    *,
    project: Path,
    manifest: Path,
    embeddings: Path | None,
) -> pd.DataFrame:
    """Score a model on the benchmarks of the project.

    Args:
        predictor: The model.
        project: The project's root, to which the manifest's paths are relative.
        manifest: Today's data.
        embeddings: The project's store of the `val` split, used if the model has the same base.

    Returns:
        Rows of `pasam.benchmarks.scores`.
    """
    frame = read_manifest(manifest)
    for column in ("image", "mask"):
        frame[column] = [str(project / path) for path in frame[column]]
    params_file = project / DEFAULT_PATH
    params = load_section(EvaluateParams, "evaluate", params_file)
    with tempfile.TemporaryDirectory() as folder:
        store = _fitting(embeddings, predictor.base) or _encode(
            predictor.segmenter,
            frame,
            Path(folder),
            load_section(EmbedParams, "embed", params_file),
        )
        rows = [
            row
            for benchmark in params.benchmarks
            for row in evaluate_segmenter(
                predictor.segmenter,
                store,
                benchmark_rows(frame, benchmark),
                model=predictor.name,
                seed=UNTRAINED,
                batch_size=params.batch_size,
                boundary_share=params.boundary_share,
            ).scores
        ]
    return pd.DataFrame(rows)


def _fitting(folder: Path | None, base: str) -> Store | None:
    if folder is None or not folder.is_dir():
        return None
    store = open_store(folder)
    return store if store.origin["base"] == base else None


def _encode(segmenter: Segmenter, frame: pd.DataFrame, folder: Path, params: EmbedParams) -> Store:
    write_store(
        folder,
        benchmark_tasks(frame),
        dict(zip(frame["mask"], frame["id"], strict=True)),
        segmenter.base,
        jitter=params.jitter,
        batch_size=params.batch_size,
        workers=1,
        origin={"split": "val", **dataclasses.asdict(params)},
    )
    return open_store(folder)
