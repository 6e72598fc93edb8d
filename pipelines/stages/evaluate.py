"""DVC stage `evaluate`: one trained model on every benchmark."""

from dataclasses import replace
from pathlib import Path

from pasam.config.schema import BaseParams, EvaluateParams, VariantParams
from pasam.data.manifest import read_manifest
from pasam.evaluation.diagnostics import AdapterProbe, diagnose, write_diagnostics
from pasam.evaluation.model_set import (
    ModelEntry,
    encoder_milliseconds,
    write_parameters,
    write_timing,
)
from pasam.evaluation.predictions import with_maps, write_predictions
from pasam.evaluation.protocol import benchmark_rows, evaluate_benchmark
from pasam.evaluation.scores import write_scores
from pasam.models.adapter_weights import load_adapter
from pasam.models.base_sam import choose_device
from pasam.models.build import build_trainable, load_base
from pasam.models.checkpoint import file_digest
from pasam.training.embeddings import open_store
from pasam.workers import ProcessGroup
from pipelines.stage_runner import run


def evaluate(
    base: BaseParams, evaluate: EvaluateParams, variant: VariantParams, model: str,
    seed: int, manifest: Path, store: Path, weights: Path, scores: Path, predictions: Path,
    diagnostics: Path, cost: Path, timing: Path, group: ProcessGroup,
) -> None:  # fmt: skip
    """Write a score, a predicted mask and what happened inside for each image of all benchmarks."""
    checkpoint = Path(base.checkpoint)
    opened = open_store(store)
    opened.check_base(checkpoint, base.encoder_precision)
    segmenter = build_trainable(load_base(base.size, checkpoint, base.encoder_precision), variant)
    load_adapter(segmenter.decoder, weights, kind=variant.decoder, base=file_digest(checkpoint))
    segmenter.to(
        choose_device(evaluate.accelerator, key="evaluate.accelerator", local_rank=group.local_rank)
    )
    encoder_ms = encoder_milliseconds(segmenter.base, opened.images)
    frame, entry = read_manifest(manifest), ModelEntry(model, seed, segmenter)
    by_benchmark = {name: benchmark_rows(frame, name) for name in evaluate.benchmarks}
    found, inside, seconds = [], [], 0.0
    for name, rows in by_benchmark.items():
        with AdapterProbe(segmenter, inner_maps=True) as probe:
            own = evaluate_benchmark(
                entry, opened, rows, batch_size=evaluate.batch_size,
                boundary_fraction=evaluate.boundary_fraction, group=group,
            )  # fmt: skip
        inside += group.gather(diagnose(own.scores, probe.seen, opened, grid=segmenter.base.grid))
        own = replace(own, predictions=with_maps(own.predictions, probe.maps))
        evaluated = own.gathered(group)
        if group.rank:
            continue
        found += evaluated.scores
        seconds += sum(evaluated.seconds)
        # One file for each benchmark: memory need not hold the masks of all of them.
        write_predictions(predictions / f"{name}.npz", evaluated.predictions)
    if group.rank:
        return
    write_scores(found, scores)
    write_diagnostics(inside, diagnostics)
    write_parameters(cost, model, segmenter)
    write_timing(timing, masks=len(found), decoder_seconds=seconds, encoder_ms=encoder_ms)


if __name__ == "__main__":
    run(evaluate, devices="evaluate")
