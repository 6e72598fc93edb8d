"""DVC stage `evaluate`: one trained model on one benchmark."""

from pathlib import Path

from pasam.benchmarks.predictions import write_predictions
from pasam.benchmarks.run import benchmark_rows, evaluate_segmenter, write_timing
from pasam.benchmarks.scores import write_scores
from pasam.data.manifest import read_manifest
from pasam.modeling.adapter_weights import build_trainable, load_adapter
from pasam.modeling.build import load_base
from pasam.params import BaseParams, EvaluateParams, VariantParams
from pasam.training.embeddings import file_digest, open_store
from pipelines.stage_runner import run


def evaluate(
    base: BaseParams, evaluate: EvaluateParams, variant: VariantParams, model: str,
    seed: int, benchmark: str, manifest: Path, store: Path, weights: Path, scores: Path,
    predictions: Path, timing: Path,
) -> None:  # fmt: skip
    """Write one score row and one predicted mask per image of the benchmark."""
    checkpoint = Path(base.checkpoint)
    opened = open_store(store)
    opened.check_base(checkpoint)
    segmenter = build_trainable(load_base(base.size, checkpoint), variant)
    load_adapter(segmenter.decoder, weights, kind=variant.decoder, base=file_digest(checkpoint))
    evaluated = evaluate_segmenter(
        segmenter, opened, benchmark_rows(read_manifest(manifest), benchmark), model=model,
        seed=seed, batch_size=evaluate.batch_size, boundary_share=evaluate.boundary_share,
    )  # fmt: skip
    write_scores(evaluated.scores, scores)
    write_predictions(predictions, evaluated.predictions)
    write_timing(timing, evaluated)


if __name__ == "__main__":
    run(evaluate)
