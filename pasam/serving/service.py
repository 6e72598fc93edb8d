"""All parts of a running service, started and stopped together."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pasam.errors import RefusedError
from pasam.inference.image_transform import EmbeddedImage
from pasam.serving.batcher import Batcher
from pasam.serving.jobs import (
    EmbedJob,
    EverythingJob,
    PromptJob,
    Records,
    answer_prompts,
    embed_images,
    segment_images,
)
from pasam.serving.model_pool import ModelPool
from pasam.serving.payloads import Limits


class EmbeddingCache:
    """Keep what was used last; every method may be called from several threads.

    Args:
        most_bytes: Memory of all entries together.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._kept: OrderedDict[str, EmbeddedImage] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept)

    @property
    def nbytes(self) -> int:
        """Memory that the entries take."""
        with self._lock:
            return self._bytes

    def put(self, image: EmbeddedImage) -> str:
        """Keep an embedded image and name it; whoever used theirs longest ago loses it.

        The name cannot be guessed, so that nobody sees the image of somebody else. An image
        that alone exceeds the memory is not kept, and its name is unknown at once.
        """
        name = secrets.token_urlsafe(16)
        if image.nbytes > self.most_bytes:  # it would evict all others, and then itself
            return name
        with self._lock:
            self._kept[name] = image
            self._bytes += image.nbytes
            while self._bytes > self.most_bytes:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= gone.nbytes
        return name

    def get(self, name: str) -> EmbeddedImage:
        """Return an image that was kept, and count it as used.

        Raises:
            RefusedError: 404; it never was here, or had to go.
        """
        with self._lock:
            image = self._kept.get(name)
            if image is not None:
                self._kept.move_to_end(name)
                return image
        raise RefusedError(
            f"there is no embedding {name[:40]!r} (any more): it was never made here, or others "
            "took its place. Send the image to /embed again.",
            status=404,
        )


SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters, gauges and histograms, all named `pasam_...`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "pasam_requests", "Requests answered.", ("route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "pasam_request_seconds",
            "Time from a request to its answer.",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batches = Histogram(
            "pasam_batch_prompts",
            "Prompts that shared a pass of the decoder.",
            buckets=BATCHES,
            registry=self.registry,
        )
        self.steps = Histogram(
            "pasam_step_seconds",
            "Time of one step: embed, predict or everything.",
            ("step",),
            buckets=SECONDS,
            registry=self.registry,
        )

    def watch(self, name: str, what: str, value: Callable[[], float]) -> None:
        """Show a number that somebody else keeps, as it is when Prometheus asks."""
        Gauge(f"pasam_{name}", what, registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """Write all of it in Prometheus's text format."""
        return generate_latest(self.registry)


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
        models: The models, loaded.
        settings: How it is set up.
    """

    def __init__(self, models: ModelPool, settings: Settings) -> None:
        self.models, self.settings = models, settings
        limits = settings.limits
        self.cache = EmbeddingCache(limits.cache_bytes)
        self.metrics = Metrics()
        self.encoder: Batcher[EmbedJob, EmbeddedImage] = Batcher(
            "images",
            self._timed("embed", embed_images),
            most_waiting=limits.waiting_images,
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
            self._timed("everything", segment_images),
            most_waiting=limits.waiting_images,
        )
        self.stopping = False
        self._watch_numbers()

    def start(self) -> None:
        """Start the workers, and following the models."""
        for queue in (self.encoder, self.decoder, self.searcher):
            queue.start()
        self.models.watch(self.settings.look_every)

    def close(self) -> None:
        """Finish what waits, and stop."""
        self.stopping = True
        for queue in (self.encoder, self.decoder, self.searcher):
            queue.close()
        self.models.close()

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
        watch("waiting_pictures", "Images that wait.", lambda: self.encoder.waiting)
        watch("waiting_searches", "Searches that wait.", lambda: self.searcher.waiting)
        watch("embeddings", "Embedded images that are kept.", lambda: len(self.cache))
        watch("embedding_bytes", "Memory of embedded images.", lambda: self.cache.nbytes)
        watch("models", "Models that are served.", lambda: len(self.models.all()))
        watch("model_swaps", "Versions that replaced another.", lambda: self.models.swaps)
