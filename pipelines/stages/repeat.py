"""DVC stage `repeat`: train one model again with further seeds and score it on every benchmark."""

import dataclasses
from pathlib import Path

from pasam.benchmarks.repetition import Repetition
from pasam.benchmarks.repetition import repeat as repeat_once
from pasam.benchmarks.scores import write_scores
from pasam.errors import ParamsError
from pasam.parallel import spread
from pasam.params import (
    BaseParams,
    EmbedParams,
    EvaluateParams,
    RepeatsParams,
    TrainParams,
    VariantParams,
)
from pasam.training.sink import write_rows
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
    tasks = [
        Repetition(
            model=model, base=base, embed=embed, train=dataclasses.replace(train, seed=seed),
            evaluate=evaluate, variant=variant, manifest=manifest, store=store,
            benchmark_store=benchmark_store, resume=resume,
        )
        for seed in repeats.seeds
    ]  # fmt: skip
    workers = repeats.workers if train.devices == 1 else 1  # DDP has processes of its own
    done = list(spread(repeat_once, tasks, workers=workers, label="seeds"))
    if not all(repeated.writes for repeated in done):
        return
    write_scores([row for repeated in done for row in repeated.scores], scores)
    write_rows(history, [row for repeated in done for row in repeated.history])
    for repeated in done:
        repeated.checkpointer.clear()


if __name__ == "__main__":
    run(repeat)
