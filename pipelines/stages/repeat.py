"""DVC stage `repeat`: train one model again with further seeds and score it on every benchmark."""

from pathlib import Path

from pasam.config.schema import (
    BaseParams,
    EmbedParams,
    EvaluateParams,
    RepeatsParams,
    TrainParams,
    VariantParams,
)
from pasam.data.manifest import read_manifest
from pasam.errors import ParamsError
from pasam.evaluation.model_set import ModelEntry
from pasam.evaluation.protocol import evaluate_benchmarks
from pasam.evaluation.scores import write_scores
from pasam.files import write_json_lines
from pasam.training.embeddings import open_store
from pasam.training.fit import train_variant
from pasam.validation.verdict import require_passed
from pipelines.stage_runner import run


def repeat(
    base: BaseParams, embed: EmbedParams, train: TrainParams, evaluate: EvaluateParams,
    repeats: RepeatsParams, variant: VariantParams, model: str, manifest: Path, verdict: Path,
    store: Path, benchmark_store: Path, resume: Path, scores: Path, history: Path,
) -> None:  # fmt: skip
    """Write the scores and the histories of a model's further seeds."""
    require_passed(verdict, manifest)
    if train.seed in repeats.seeds:
        raise ParamsError(
            f"repeats.seeds is {list(repeats.seeds)}, expected others than train.seed, "
            f"{train.seed}."
        )
    opened = open_store(benchmark_store)
    opened.check_base(Path(base.checkpoint), base.encoder_precision)
    frame = read_manifest(manifest)
    rows, epochs, done = [], [], []
    for seed in repeats.seeds:
        trained = train_variant(
            base, embed, train.replaced(seed=seed), variant, name=f"{model}-{seed}",
            manifest=manifest, store=store, resume=resume, history=None,
        )  # fmt: skip
        # All of them score: those that only waited would give up before a long evaluation ends.
        entry = ModelEntry(model, seed, trained.segmenter)
        own = evaluate_benchmarks(entry, opened, frame, evaluate, group=trained.group)
        rows += trained.group.gather(own.scores)
        if not trained.writes:
            continue
        epochs += [{"seed": seed, **row} for row in trained.history]
        done.append(trained.checkpointer)
    if done:
        write_scores(rows, scores)
        write_json_lines(history, epochs)
    for checkpointer in done:
        checkpointer.clear()


if __name__ == "__main__":
    run(repeat, devices="train")
