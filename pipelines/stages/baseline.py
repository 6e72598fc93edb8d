"""DVC stage `baseline`: a row without training, SAM itself or the oracle, on one benchmark."""

from pathlib import Path

from pasam.benchmarks.predictions import write_predictions
from pasam.benchmarks.run import (
    benchmark_rows,
    evaluate_oracle,
    evaluate_segmenter,
    write_timing,
)
from pasam.benchmarks.scores import UNTRAINED, write_scores
from pasam.data.manifest import read_manifest
from pasam.modeling.build import load_base
from pasam.modeling.segmenter import Segmenter
from pasam.params import BaseParams, EvaluateParams
from pasam.training.embeddings import open_store
from pipelines.stage_runner import run


def baseline(
    base: BaseParams, evaluate: EvaluateParams, model: str, benchmark: str, manifest: Path,
    store: Path, scores: Path, predictions: Path, timing: Path,
) -> None:  # fmt: skip
    """Write one score row and one predicted mask per image of the benchmark."""
    checkpoint = Path(base.checkpoint)
    rows = benchmark_rows(read_manifest(manifest), benchmark)
    frozen = load_base(base.size, checkpoint)
    share = evaluate.boundary_share
    if model == "oracle":
        evaluated = evaluate_oracle(
            rows, model=model, mask_side=frozen.mask_side, boundary_share=share
        )
    else:
        opened = open_store(store)
        opened.check_base(checkpoint)
        segmenter = Segmenter(base=frozen, decoder=frozen.sam.mask_decoder)
        evaluated = evaluate_segmenter(
            segmenter, opened, rows, model=model, seed=UNTRAINED,
            batch_size=evaluate.batch_size, boundary_share=share,
        )  # fmt: skip
    write_scores(evaluated.scores, scores)
    write_predictions(predictions, evaluated.predictions)
    write_timing(timing, evaluated)


if __name__ == "__main__":
    run(baseline)
