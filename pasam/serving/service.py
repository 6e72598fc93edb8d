"""All parts of a running service, started and stopped together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from pasam.inference.embedded_image import EmbeddedImage
from pasam.serving.batcher import Batcher
from pasam.serving.embedding_cache import EmbeddingCache
from pasam.serving.limits import Limits
from pasam.serving.metrics import Metrics
from pasam.serving.offered_models import OfferedModels
from pasam.serving.picture_jobs import EmbedJob, EverythingJob, embed_pictures, find_everything
from pasam.serving.prompt_jobs import PromptJob, answer_prompts

Records = list[dict[str, Any]]
Job = TypeVar("Job")
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a service is set up."""

    limits: Limits = field(default_factory=Limits)
    token: str | None = None
    """Who has it may use the service; None lets everybody."""
    loopback_only: bool = True
    """Whether it listens on loopback, where foreign host names are refused."""
    scores: Path | None = None
    """`metrics.json` of the report."""
    look_every: float = 5.0
    """Seconds between looks whether a model has changed."""


class Service:
    """Models, queues, memory and counters of one service.

    Args:
        offered: The models, loaded.
        settings: How it is set up.
    """

    def __init__(self, offered: OfferedModels, settings: Settings) -> None:
        self.offered, self.settings = offered, settings
        limits = settings.limits
        self.cache = EmbeddingCache(limits.cache_bytes)
        self.metrics = Metrics()
        self.encoder: Batcher[EmbedJob, EmbeddedImage] = Batcher(
            "pictures",
            self._timed("embed", embed_pictures),
            most_waiting=limits.waiting_pictures,
        )
        self.decoder: Batcher[PromptJob, Records] = Batcher(
            "prompts",
            self._timed("predict", answer_prompts),
            most_waiting=limits.waiting_prompts,
            most=limits.batch,
            most_weight=limits.batch_pixels,
            alike=lambda job: job.key,
            weigh=lambda job: job.pixels,
        )
        self.searcher: Batcher[EverythingJob, Records] = Batcher(
            "searches",
            self._timed("everything", find_everything),
            most_waiting=limits.waiting_pictures,
        )
        self.stopping = False
        self._watch_numbers()

    def start(self) -> None:
        """Start the workers, and following the models."""
        for queue in (self.encoder, self.decoder, self.searcher):
            queue.start()
        self.offered.watch(self.settings.look_every)

    def close(self) -> None:
        """Finish what waits, and stop."""
        self.stopping = True
        for queue in (self.encoder, self.decoder, self.searcher):
            queue.close()
        self.offered.close()

    def _timed(
        self, step: str, work: Callable[[Sequence[Job]], Sequence[Answer]]
    ) -> Callable[[Sequence[Job]], Sequence[Answer]]:
        def timed(jobs: Sequence[Job]) -> Sequence[Answer]:
            start = perf_counter()
            try:
                return work(jobs)
            finally:
                self.metrics.steps.labels(step).observe(perf_counter() - start)
                if step == "predict":
                    self.metrics.batches.observe(len(jobs))

        return timed

    def _watch_numbers(self) -> None:
        watch = self.metrics.watch
        watch("waiting_prompts", "Prompts that wait.", lambda: self.decoder.waiting)
        watch("waiting_pictures", "Pictures that wait.", lambda: self.encoder.waiting)
        watch("waiting_searches", "Searches that wait.", lambda: self.searcher.waiting)
        watch("embeddings", "Embedded pictures that are kept.", lambda: len(self.cache))
        watch("embedding_bytes", "Memory of embedded pictures.", lambda: self.cache.nbytes)
        watch("models", "Models that are offered.", lambda: len(self.offered.all()))
        watch("model_swaps", "Versions that replaced another.", lambda: self.offered.swaps)
