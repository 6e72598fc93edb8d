"""DVC stage `robustness`: all models under looser boxes, few points, and worse images."""

from pathlib import Path

import pandas as pd

from pasam.config.schema import BaseParams, EvaluateParams, ModelsParams, RobustnessParams
from pasam.data.manifest import read_manifest
from pasam.evaluation.conditions import evaluate_robustness, evenly
from pasam.evaluation.model_set import load_model_set
from pasam.evaluation.protocol import benchmark_rows
from pasam.evaluation.scores import averaged, write_scores
from pasam.models.base_sam import choose_device
from pasam.training.embeddings import open_store
from pasam.workers import ProcessGroup
from pipelines.stage_runner import run


def robustness(
    base: BaseParams, evaluate: EvaluateParams, robustness: RobustnessParams,
    models: ModelsParams, seed: int, manifest: Path, store: Path, adapters: Path, scores: Path,
    group: ProcessGroup,
) -> None:  # fmt: skip
    """Write one score row per model, image and condition."""
    opened = open_store(store)
    opened.check_base(Path(base.checkpoint), base.encoder_precision)
    frame = read_manifest(manifest)
    rows = pd.concat(
        evenly(benchmark_rows(frame, name), robustness.images)
        for name in averaged(evaluate.benchmarks)
    )
    model_set = load_model_set(
        base, models, evaluate.models, adapters=adapters, seed=seed,
        device=choose_device(
            evaluate.accelerator, key="evaluate.accelerator", local_rank=group.local_rank
        ),
    )  # fmt: skip
    own = evaluate_robustness(
        model_set, opened, rows, robustness, batch_size=evaluate.batch_size,
        boundary_fraction=evaluate.boundary_fraction, group=group,
    )  # fmt: skip
    found = group.gather(own)
    if not group.rank:
        write_scores(found, scores)


if __name__ == "__main__":
    run(robustness, devices="evaluate")
