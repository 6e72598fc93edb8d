"""What the service counts, for Prometheus; a registry of its own for each service."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

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
