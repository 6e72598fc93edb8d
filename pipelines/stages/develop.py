"""DVC stage `develop`: score every trained model and SAM on the development sets."""

from pathlib import Path

import pandas as pd

from pasam.config.schema import BaseParams, EvaluateParams, ModelsParams
from pasam.data.manifest import read_manifest
from pasam.evaluation.model_set import load_model_set
from pasam.evaluation.protocol import evaluate_benchmarks
from pasam.evaluation.scores import SCHEMA, Row, write_scores
from pasam.models.base_sam import choose_device
from pasam.training.embeddings import open_store
from pasam.workers import ProcessGroup
from pipelines.stage_runner import run


def develop(
    base: BaseParams, evaluate: EvaluateParams, models: ModelsParams, seed: int, manifest: Path,
    store: Path, adapters: Path, scores: Path, group: ProcessGroup,
) -> None:  # fmt: skip
    """Write the score rows that variants are compared with; none where there is no such set."""
    if not evaluate.development:
        if not group.rank:
            write_scores(pd.DataFrame(columns=SCHEMA.names), scores)
        return
    opened = open_store(store)
    opened.check_base(Path(base.checkpoint), base.encoder_precision)
    frame = read_manifest(manifest)
    model_set = load_model_set(
        base, models, evaluate.models, adapters=adapters, seed=seed,
        device=choose_device(
            evaluate.accelerator, key="evaluate.accelerator", local_rank=group.local_rank
        ),
    )  # fmt: skip
    rows: list[Row] = []
    for entry in model_set.entries:
        rows += evaluate_benchmarks(
            entry, opened, frame, evaluate, names=evaluate.development, group=group
        ).scores
    found = group.gather(rows)
    if not group.rank:
        write_scores(found, scores)


if __name__ == "__main__":
    run(develop, devices="evaluate")
