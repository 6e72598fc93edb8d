"""DVC stage `baseline`: a row without training here, on every benchmark.

SAM itself, the oracle, or the PA-SAM+ that comes with the package.
"""

from pathlib import Path

from pasam.config.schema import BaseParams, EvaluateParams
from pasam.data.manifest import read_manifest
from pasam.errors import ParamsError
from pasam.evaluation.model_set import (
    ModelEntry,
    encoder_milliseconds,
    write_parameters,
    write_timing,
)
from pasam.evaluation.predictions import write_predictions
from pasam.evaluation.protocol import benchmark_rows, evaluate_benchmark, evaluate_oracle
from pasam.evaluation.scores import UNTRAINED, write_scores
from pasam.inference.model_files import PACKAGED_NAME, find_model
from pasam.models.adapter_weights import load_adapter
from pasam.models.base_sam import BaseSam, choose_device
from pasam.models.build import build_trainable, load_base
from pasam.models.checkpoint import file_digest
from pasam.models.segmenter import Segmenter
from pasam.training.embeddings import open_store
from pasam.workers import ProcessGroup
from pipelines.stage_runner import run


def baseline(
    base: BaseParams, evaluate: EvaluateParams, model: str, manifest: Path, store: Path,
    scores: Path, predictions: Path, cost: Path, timing: Path, group: ProcessGroup,
) -> None:  # fmt: skip
    """Write one score row and one predicted mask per image of all benchmarks."""
    checkpoint = Path(base.checkpoint)
    frame = read_manifest(manifest)
    by_benchmark = {name: benchmark_rows(frame, name) for name in evaluate.benchmarks}
    frozen = load_base(base.size, checkpoint, base.encoder_precision)
    share = evaluate.boundary_fraction
    opened, segmenter, encoder_ms = None, None, None
    if model != "oracle":
        opened = open_store(store)
        opened.check_base(checkpoint, base.encoder_precision)
        segmenter = _segmenter(model, frozen, checkpoint)
        segmenter.to(
            choose_device(
                evaluate.accelerator, key="evaluate.accelerator", local_rank=group.local_rank
            )
        )
        encoder_ms = encoder_milliseconds(frozen, opened.images)
    found, seconds = [], 0.0
    for name, rows in by_benchmark.items():
        if opened is None or segmenter is None:
            own = evaluate_oracle(
                rows, model=model, mask_side=frozen.mask_side, boundary_fraction=share, group=group
            )
        else:
            own = evaluate_benchmark(
                ModelEntry(model, UNTRAINED, segmenter), opened, rows,
                batch_size=evaluate.batch_size, boundary_fraction=share, group=group,
            )  # fmt: skip
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
    write_parameters(cost, model, segmenter)
    write_timing(timing, masks=len(found), decoder_seconds=seconds, encoder_ms=encoder_ms)


def _segmenter(model: str, frozen: BaseSam, checkpoint: Path) -> Segmenter:
    """Put the decoder of SAM, or of the packaged PA-SAM+, on the base.

    Raises:
        ParamsError: The packaged model belongs to another base.
    """
    if model != PACKAGED_NAME:
        return Segmenter(base=frozen, decoder=frozen.sam.mask_decoder)
    files, digest = find_model(model), file_digest(checkpoint)
    assert files.weights is not None, "it is an adapter"
    assert files.variant is not None, "it says how it is built"
    if file_digest(files.base) != digest:
        raise ParamsError(
            f"evaluate.baselines names '{PACKAGED_NAME}', which stands on {files.base}, and "
            f"base.checkpoint is {checkpoint}. Leave it out of evaluate.baselines."
        )
    segmenter = build_trainable(frozen, files.variant)
    load_adapter(segmenter.decoder, files.weights, kind=files.variant.decoder, base=digest)
    return segmenter


if __name__ == "__main__":
    run(baseline, devices="evaluate")
