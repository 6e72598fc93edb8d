"""A model trained once more with another seed, and scored on every benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pasam.benchmarks.run import benchmark_rows, evaluate_segmenter
from pasam.data.manifest import read_manifest
from pasam.params import BaseParams, EmbedParams, EvaluateParams, TrainParams, VariantParams
from pasam.training.embeddings import open_store
from pasam.training.resume import Checkpointer
from pasam.training.variant_training import train_variant


@dataclass(frozen=True, kw_only=True, slots=True)
class Repetition:
    """All that decides one repetition; another process can receive it."""

    model: str
    base: BaseParams
    embed: EmbedParams
    train: TrainParams
    """With the seed of this repetition."""
    evaluate: EvaluateParams
    variant: VariantParams
    manifest: Path
    store: Path
    """Packed embeddings of the `train` split."""
    benchmark_store: Path
    """Those of the `val` split."""
    resume: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeated:
    """What came of it."""

    scores: list[dict[str, Any]]
    """Rows of `pasam.benchmarks.scores`."""
    history: list[dict[str, float]]
    """Means of every epoch, with the seed."""
    checkpointer: Checkpointer
    """Holds the training's last state; to be cleared once the results are written."""
    writes: bool
    """Whether this is the process that writes results."""


def repeat(repetition: Repetition) -> Repeated:
    """Train and score, on one thread of the CPU, so that the surroundings change nothing."""
    task = repetition
    opened = open_store(task.benchmark_store)
    opened.check_base(Path(task.base.checkpoint))
    frame = read_manifest(task.manifest)
    seed = task.train.seed
    with _one_thread():
        trained = train_variant(
            task.base, task.embed, task.train, task.variant, name=f"{task.model}-{seed}",
            manifest=task.manifest, store=task.store, resume=task.resume, history=None,
        )  # fmt: skip
        scores: list[dict[str, Any]] = []
        for benchmark in task.evaluate.benchmarks if trained.writes else ():
            scores += evaluate_segmenter(
                trained.segmenter, opened, benchmark_rows(frame, benchmark), model=task.model,
                seed=seed, batch_size=task.evaluate.batch_size,
                boundary_share=task.evaluate.boundary_share,
            ).scores  # fmt: skip
    return Repeated(
        scores=scores, history=[{"seed": seed, **row} for row in trained.history],
        checkpointer=trained.checkpointer, writes=trained.writes,
    )  # fmt: skip


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
