"""DVC stage `baseline`: a row without training, SAM itself or the oracle, on one benchmark."""

from pathlib import Path

from pasam.config.schema import BaseParams, EvaluateParams
from pasam.data.manifest import read_manifest
from pasam.evaluation.model_set import (
    ModelEntry,
    encoder_milliseconds,
    write_parameters,
    write_timing,
)
from pasam.evaluation.predictions import write_predictions
from pasam.evaluation.protocol import benchmark_rows, evaluate_benchmark, evaluate_oracle
from pasam.evaluation.scores import UNTRAINED, write_scores
from pasam.models.base_sam import choose_device
from pasam.models.build import load_base
from pasam.models.segmenter import Segmenter
from pasam.training.embeddings import open_store
from pipelines.stage_runner import run


def baseline(
    base: BaseParams, evaluate: EvaluateParams, model: str, benchmark: str, manifest: Path,
    store: Path, scores: Path, predictions: Path, cost: Path, timing: Path,
) -> None:  # fmt: skip
    """Write one score row and one predicted mask per image of the benchmark."""
    checkpoint = Path(base.checkpoint)
    rows = benchmark_rows(read_manifest(manifest), benchmark)
    frozen = load_base(base.size, checkpoint)
    share = evaluate.boundary_fraction
    segmenter, encoder_ms = None, None
    if model == "oracle":
        evaluated = evaluate_oracle(
            rows, model=model, mask_side=frozen.mask_side, boundary_fraction=share
        )
    else:
        opened = open_store(store)
        opened.check_base(checkpoint)
        segmenter = Segmenter(base=frozen, decoder=frozen.sam.mask_decoder)
        segmenter.to(choose_device(evaluate.accelerator, key="evaluate.accelerator"))
        encoder_ms = encoder_milliseconds(frozen, opened.images)
        evaluated = evaluate_benchmark(
            ModelEntry(model, UNTRAINED, segmenter), opened, rows,
            batch_size=evaluate.batch_size, boundary_fraction=share,
        )  # fmt: skip
    write_scores(evaluated.scores, scores)
    write_predictions(predictions, evaluated.predictions)
    write_parameters(cost, model, segmenter)
    write_timing(
        timing, masks=len(rows), decoder_seconds=sum(evaluated.seconds), encoder_ms=encoder_ms
    )


if __name__ == "__main__":
    run(baseline)
