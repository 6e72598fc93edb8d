"""A running service: its models, its memory, its counters and its queues.

The models follow an alias or a changed file while the service runs: a new version takes the place
of the old one as a whole, and a request keeps the version that it began with.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pasam.errors import BusyError, CheckpointError, ParamsError, PasamError, RefusedError
from pasam.inference.image_transform import EmbeddedImage
from pasam.inference.model_files import (
    DEFAULT,
    SAM,
    ModelFiles,
    Resolve,
    Seen,
    own_models,
    packaged_models,
    seen_by,
)
from pasam.inference.predictor import PromptedModel
from pasam.models.checkpoint import file_digest
from pasam.models.segmenter import Segmenter
from pasam.registry.load import is_registered_name
from pasam.serving.demand import DemandLog
from pasam.serving.jobs import (
    AnnotationsJob,
    Answer,
    Batcher,
    EmbedJob,
    EverythingJob,
    Job,
    PromptJob,
    Records,
    answer_prompts,
    encode_images,
    segment_images,
    write_annotations,
)
from pasam.serving.last_good import LastGood
from pasam.serving.limits import Limits
from pasam.serving.registered_versions import CHAMPION

CLOSING = 6.0
"""Seconds that jobs and a look in progress have when the service stops, all together."""
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Upper bounds of the buckets in which Prometheus counts times."""
BATCHES = (1, 2, 4, 8, 16, 32, 64)
"""The same, of prompts that shared a pass."""

Scores = Mapping[str, Mapping[str, float]]
"""In per cent, by benchmark and measure."""

_LOG = logging.getLogger(__name__)
_Signature = tuple[object, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PooledModel:
    """One version of a model; a request keeps the one it began with."""

    name: str
    """The name it is asked for by, perhaps an alias."""
    kind: str
    """What it is: `sam`, `hq_sam`, `pa_sam`, ..., or the name of its file."""
    version: str
    """The first digits of its weights' sha256."""
    size: str
    """The base's size, such as `vit_l`."""
    predictor: PromptedModel
    scores: Scores
    """What it reached, by benchmark, where a registry says so."""
    signature: _Signature
    """Changes with its files."""

    weights: Path
    """The file that makes it what it is."""
    seen: Seen
    """What it was trained on."""

    @property
    def is_file_gone(self) -> bool:
        """Whether its weights are not on the disk now, such as while they are trained again."""
        return not self.weights.exists()


class ModelPool:
    """Models by name, exchanged as a whole: a reader sees all of the old or all of the new.

    Args:
        names: Says which names are offered, the default first; asked at every look.
        find: Finds the files of a name.
        open_files: Opens files.
        last_good: Versions that answered before, for a start while theirs cannot be had.
    """

    def __init__(
        self,
        names: Callable[[], Sequence[str]],
        *,
        find: Callable[[str], ModelFiles],
        open_files: Callable[[ModelFiles], PromptedModel],
        last_good: LastGood | None = None,
    ) -> None:
        self._names, self._find, self._open = names, find, open_files
        self._last_good = last_good
        self._offered: Mapping[str, PooledModel] = {}
        self.swaps = 0
        """Versions that took the place of an older one."""
        self._looked = monotonic()
        self._refused: dict[str, tuple[_Signature, PasamError]] = {}
        self._stopped = threading.Event()
        self._watcher: threading.Thread | None = None

    def all(self) -> list[PooledModel]:
        """Return what is offered now, the default first."""
        return list(self._offered.values())

    def get(self, name: str | None = None) -> PooledModel:
        """Return the version of a model that answers now, or of the default.

        Raises:
            RefusedError: 404, there is no such model; 503, there is none at all.
        """
        offered = self._offered
        if not offered:
            raise RefusedError("no model is loaded yet.", status=503, retry_after=5)
        found = next(iter(offered.values())) if name is None else offered.get(name)
        if found is None:
            raise RefusedError(
                f"there is no model {name!r:.60} here; there are {list(offered)}.", status=404
            )
        return found

    def seconds_since_look(self) -> float:
        """Seconds since all names were last looked up to the end, whatever was found."""
        return monotonic() - self._looked

    def refresh(self) -> None:
        """Look whether a name stands for other files now, and open those.

        A version that cannot be opened, or that answers a trial image with anything but a mask,
        leaves the old one in place. So does a file that is gone: DVC removes what a stage makes
        before the stage runs, and a training takes hours.

        Raises:
            PasamError: One could not be opened; all others were.
        """
        fresh: dict[str, PooledModel] = {}
        fault: Exception | None = None
        listed = list(self._names())
        names = list(listed)
        for place, (name, model) in enumerate(self._offered.items()):
            if name not in names and model.is_file_gone:  # else a person has withdrawn it
                names.insert(place, name)
        for name in names:
            old = self._offered.get(name)
            found: PooledModel | None = old
            if name in listed:
                try:
                    found = self._current(name, old, [*fresh.values(), *self._offered.values()])
                except Exception as error:  # noqa: BLE001  (hostile files and servers raise anything)
                    fault = error
            if found is not None:
                fresh[name] = found
            if old is not None and found is not old:
                self.swaps += 1
        self._offered = fresh
        self._looked = monotonic()
        if fault is not None:
            raise fault

    def watch(self, seconds: float) -> None:
        """Look again and again, in a thread of its own, until `close`."""

        def look() -> None:
            said = ""
            while not self._stopped.wait(seconds):
                try:
                    self.refresh()
                    said = ""
                except Exception as error:  # noqa: BLE001  (a thread that ended would follow nothing)
                    words = str(error) or type(error).__name__
                    if words != said:
                        foreseen = isinstance(error, PasamError | OSError)
                        _LOG.warning(
                            "the older version goes on answering: %s", words,
                            exc_info=None if foreseen else error,
                        )  # fmt: skip
                    said = words

        self._watcher = threading.Thread(target=look, name="pasam models", daemon=True)
        self._watcher.start()

    def close(self, seconds: float = CLOSING) -> None:
        """Stop looking."""
        self._stopped.set()
        if self._watcher is not None:
            self._watcher.join(seconds)  # it may wait for an MLflow that hangs; it is a daemon

    def _current(
        self, name: str, old: PooledModel | None, others: Sequence[PooledModel]
    ) -> PooledModel:
        try:
            return self._newest(name, old, others)
        except (PasamError, OSError) as error:
            kept = None if old or not self._last_good else self._last_good.get(name)
            if kept is None:
                raise
            _LOG.warning("%s: the last good version answers: %s", name, error)
            return self._opened(name, kept, others)

    def _newest(
        self, name: str, old: PooledModel | None, others: Sequence[PooledModel]
    ) -> PooledModel:
        files = self._find(name)
        signature = _signature(files)
        if old is not None and old.signature == signature:
            return old
        refused, why = self._refused.get(name, ((), None))
        if why is not None and refused == signature:  # not read again until it changes
            raise why.with_traceback(None)  # else it grows at every look
        try:
            found = self._opened(name, files, others)
        except (CheckpointError, ParamsError) as error:
            self._refused[name] = signature, error
            raise
        if self._last_good is not None and is_registered_name(name):
            self._last_good.keep(name, files)
        return found

    def _opened(self, name: str, files: ModelFiles, others: Sequence[PooledModel]) -> PooledModel:
        signature = _signature(files)  # before they are read
        model = _sharing_base(self._open(files), [each.predictor for each in others])
        model.try_out()
        weights = files.weights or files.base
        version = file_digest(weights)[:12]
        if _signature(files) != signature:  # else the old weights would pass for the new ones
            raise BusyError(f"{weights} was replaced while it was opened.")
        return PooledModel(
            name, files.name, version, files.size, model, files.scores, signature, weights,
            files.seen,
        )  # fmt: skip


def available(
    params_file: Path, adapters: Path, resolve: Resolve, *, packaged: bool = True
) -> list[str]:
    """Name what can be offered, the default first: the champion, the trained models, and SAM.

    The packaged PA-SAM goes before those that are not known to have seen a photograph. Where
    nothing is trained, all that come with the package take the trained ones' place, it first.

    Args:
        params_file: Says which models there may be.
        adapters: Folder of the trained adapters.
        resolve: Knows whether there is a champion.
        packaged: Whether packaged models may be offered; they have a base of their own.
    """
    own = {name: seen_by(file) for name, file in own_models(params_file, adapters).items()}
    champion = resolve(CHAMPION)
    found = {} if champion is None else {CHAMPION: champion.seen}
    first = [name for name, seen in (found | own).items() if seen == "photographs"]
    others = [name for name in (*found, *own) if name not in first]
    brought = packaged_models() if packaged and not first else []
    best = DEFAULT.partition("/")[2]
    if own and brought:
        brought = [DEFAULT]
    return [*sorted(brought, key=lambda name: name != best), *first, *others, SAM]


def _signature(files: ModelFiles) -> _Signature:
    stats = [path.stat() for path in (files.base, files.weights) if path is not None]
    kept = [(stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats]
    return (str(files.base), str(files.weights), repr(files.variant), *kept)


def _sharing_base(model: PromptedModel, others: Sequence[PromptedModel]) -> PromptedModel:
    """Let models of one base share its weights, of which an official SAM has gigabytes.

    Their encoder then catches features for all of them; the service embeds in one thread only.
    """
    shared = next((each for each in others if each.base == model.base), None)
    if shared is None:
        return model
    base = shared.segmenter.base
    decoder = model.segmenter.decoder if model.is_adapted else base.sam.mask_decoder
    return model.with_segmenter(Segmenter(base=base, decoder=decoder))


class EmbeddingCache:
    """Keep what was used last; every method may be called from several threads.

    Args:
        most_bytes: Memory of all entries together, summed up at every use, for an entry grows when
            an adapter first answers on it; the entry in use may exceed it by that.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._kept: OrderedDict[str, tuple[EmbeddedImage, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept)

    @property
    def nbytes(self) -> int:
        """Memory that the entries take now."""
        with self._lock:
            return self._taken()

    def put(self, image: EmbeddedImage, upload: bytes = b"") -> str:
        """Keep an embedded image and name it; whoever used theirs longest ago loses it.

        The name cannot be guessed, so that nobody sees the image of somebody else. An image
        that alone exceeds the memory is not kept, and its name is unknown at once.

        Args:
            image: The embedded image.
            upload: The file it came from, where boxes may be looked at from near.
        """
        name = secrets.token_urlsafe(16)
        if image.nbytes + len(upload) > self.most_bytes:  # it would evict all others
            return name
        with self._lock:
            self._kept[name] = image, upload
            self._make_room()
        return name

    def get(self, name: str) -> EmbeddedImage:
        """Return an image that was kept, and count it as used.

        Raises:
            RefusedError: 404; it never was here, or had to go.
        """
        return self._entry(name)[0]

    def upload(self, name: str) -> bytes:
        """Return the file of an image that was kept; empty where it was kept without.

        Raises:
            RefusedError: As `get`.
        """
        return self._entry(name)[1]

    def _entry(self, name: str) -> tuple[EmbeddedImage, bytes]:
        with self._lock:
            kept = self._kept.get(name)
            if kept is not None:
                self._kept.move_to_end(name)
                self._make_room()
                return kept
        raise RefusedError(
            f"there is no embedding {name[:40]!r} (any more): it was never made here, or others "
            "took its place. Send the image to /embed again.",
            status=404,
        )

    def _taken(self) -> int:
        return sum(image.nbytes + len(upload) for image, upload in self._kept.values())

    def _make_room(self) -> None:
        """Let those used longest ago go, but never the last, which is in use."""
        while len(self._kept) > 1 and self._taken() > self.most_bytes:
            self._kept.popitem(last=False)


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a service is set up."""

    limits: Limits = field(default_factory=Limits)
    token: str | None = None
    """Who has it may use the service; None lets anybody."""
    loopback_only: bool = True
    """Whether it listens on loopback, where foreign host names are refused."""
    names: tuple[str, ...] = ()
    """Host names under which it is reached, beside its addresses and its machine's name."""
    scores: Path | None = None
    """`scores.json` of the report."""
    feedback: Path | None = None
    """Folder in which corrections wait for review; None takes none."""
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
        self.demand = None if settings.feedback is None else DemandLog(settings.feedback)
        self.encoder: Batcher[EmbedJob | PromptJob, EmbeddedImage | Records] = Batcher(
            "images",
            self._timed("embed", self._encode),
            most_waiting=limits.waiting_images,
        )
        self.decoder: Batcher[PromptJob, Records] = Batcher(
            "prompts",
            self._timed("predict", self._answer),
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
        self.writer: Batcher[AnnotationsJob, dict[str, str]] = Batcher(
            "exports",
            self._timed("annotations", write_annotations),
            most_waiting=limits.waiting_images,
        )
        self.queues = (self.encoder, self.decoder, self.searcher, self.writer)
        self.stopping = False
        self._watch_numbers()

    def start(self) -> None:
        """Start the workers, and following the models."""
        for queue in self.queues:
            queue.start()
        self.models.watch(self.settings.look_every)

    def close(self) -> None:
        """Stop; whoever waits has been answered by now, or has run out of time."""
        self.stopping = True
        end = monotonic() + CLOSING
        for queue in self.queues:
            queue.close(max(0.1, end - monotonic()))
        self.models.close(max(0.1, end - monotonic()))
        if self.demand is not None:
            self.demand.close()

    def _encode(self, jobs: Sequence[EmbedJob | PromptJob]) -> list[EmbeddedImage | Records]:
        answers = encode_images(jobs)
        if self.demand is not None:
            for job, answer in zip(jobs, answers, strict=True):
                if isinstance(job, PromptJob) and not isinstance(answer, EmbeddedImage):
                    self.demand.answered([job], [answer])
        return answers

    def _answer(self, jobs: Sequence[PromptJob]) -> list[Records]:
        answers = answer_prompts(jobs)
        if self.demand is not None:
            self.demand.answered(jobs, answers)
        return answers

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
        watch(
            "seconds_since_model_check",
            "Seconds since the models were last looked up.",
            self.models.seconds_since_look,
        )
