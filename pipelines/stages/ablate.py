"""DVC stage `ablate`: train one variant and score it where variants are compared."""

from pathlib import Path

from pasam.config.schema import BaseParams, EmbedParams, EvaluateParams, TrainParams, VariantParams
from pasam.data.manifest import read_manifest
from pasam.evaluation.diagnostics import AdapterProbe, diagnose, write_diagnostics
from pasam.evaluation.model_set import ModelEntry, write_facts
from pasam.evaluation.protocol import evaluate_benchmarks
from pasam.evaluation.scores import write_scores
from pasam.training.embeddings import open_store
from pasam.training.fit import train_variant
from pasam.validation.verdict import require_passed
from pipelines.stage_runner import run


def ablate(
    base: BaseParams, embed: EmbedParams, train: TrainParams, evaluate: EvaluateParams,
    variant: VariantParams, model: str, manifest: Path, verdict: Path, store: Path,
    benchmark_store: Path, resume: Path, scores: Path, diagnostics: Path, facts: Path,
    history: Path,
) -> None:  # fmt: skip
    """Write a variant's scores, what happened inside it, and how its training went."""
    require_passed(verdict, manifest)
    opened = open_store(benchmark_store)
    opened.check_base(Path(base.checkpoint), base.encoder_precision)
    trained = train_variant(
        base, embed, train, variant,
        name=model, manifest=manifest, store=store, resume=resume, history=history,
    )  # fmt: skip
    segmenter, group = trained.segmenter, trained.group
    entry = ModelEntry(model, train.seed, segmenter)
    # All of them score: those that only waited would give up before a long evaluation ends.
    with AdapterProbe(segmenter) as probe:
        own = evaluate_benchmarks(
            entry, opened, read_manifest(manifest), evaluate, names=evaluate.compared_on,
            group=group,
        )  # fmt: skip
    inside = group.gather(diagnose(own.scores, probe.seen, opened, grid=segmenter.base.grid))
    found = group.gather(own.scores)
    if not trained.writes:
        return
    write_scores(found, scores)
    write_diagnostics(inside, diagnostics)
    write_facts(facts, segmenter, model=model, frozen_before=trained.frozen, base=trained.base)
    trained.checkpointer.clear()


if __name__ == "__main__":
    run(ablate, devices="train")
