"""The slow work of the service: bounded queues with one worker each, and the jobs that they do.

Images are embedded, prompts answered and everything segmented in worker threads, one of each kind.
"""

# Shapes: H, W of the image, m the side of low-resolution logits.

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from pasam.data.exports import ExportedImage, annotation_files
from pasam.errors import DataError, InvalidItemError, PasamError, RefusedError
from pasam.inference.automatic_masks import AutomaticMaskOptions, segment_everything
from pasam.inference.image_prompt import ImagePrompt, MaskLogits
from pasam.inference.image_transform import EmbeddedImage
from pasam.inference.mask_record import MaskRecord, record_of_object, records_of
from pasam.inference.predictor import PredictedMasks, PredictionDetails, PromptedModel
from pasam.inference.zoomed_boxes import predict_zoomed
from pasam.masks.images import IMAGE_FORMATS, read_image
from pasam.masks.run_lengths import Rle, decode
from pasam.serving.feedback import FeedbackStore
from pasam.serving.payloads import MaskFormat

Records = list[dict[str, Any]]

LOOK = 0.25
"""Seconds between looks how far a search is, and whether anybody waits."""

Job = TypeVar("Job")
Answer = TypeVar("Answer")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting(Generic[Job, Answer]):
    job: Job
    answer: Future[Answer]
    turn: int
    """How many jobs of its client are before it, counted from when it came."""


class Batcher(Generic[Job, Answer]):
    """Do jobs in batches: whatever came in while the last batch was done makes the next one.

    Nothing waits for company: an idle worker starts at once, and under load batches grow. Clients
    take turns: who sends one job is not held up by who sent a hundred before.

    Args:
        name: What the queue is called, in messages.
        work: Does a batch, one answer each, in their order.
        most_waiting: Jobs that may wait.
        most: Jobs of one batch.
        most_weight: Sum of weights of one batch; a heavier job goes alone.
        alike: Jobs of one batch have equal keys.
        weigh: The weight of a job.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[Job]], Sequence[Answer]],
        *,
        most_waiting: int,
        most: int = 1,
        most_weight: int = 1,
        alike: Callable[[Job], Hashable] = lambda job: None,
        weigh: Callable[[Job], int] = lambda job: 0,
    ) -> None:
        self.name = name
        self._work = work
        self._most_waiting, self._most, self._most_weight = most_waiting, most, most_weight
        self._alike, self._weigh = alike, weigh
        self._queue: deque[_Waiting[Job, Answer]] = deque()
        self._changed = threading.Condition()
        self._turn = 0
        self._turns: dict[str, int] = {}
        self._closing = False
        self._worker = threading.Thread(target=self._run, name=f"pasam {name}", daemon=True)

    def start(self) -> None:
        """Start the worker."""
        self._worker.start()

    def close(self, seconds: float | None = None) -> None:
        """Take nothing more, finish what waits, and stop the worker.

        Args:
            seconds: How long the worker has; a job that hangs is left behind, for it is a daemon.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._worker.ident is not None:
            self._worker.join(seconds)

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        return len(self._queue)

    def submit(self, jobs: Sequence[Job], client: str = "") -> list[Future[Answer]]:
        """Queue jobs, all of them or none.

        Args:
            jobs: The jobs.
            client: Whose they are.

        Raises:
            RefusedError: 429, there is no room now; 413, there never is; 503, it is stopping.
        """
        with self._changed:
            first = max(self._turn, self._turns.get(client, 0))
            entries: list[_Waiting[Job, Answer]] = [
                _Waiting(job, Future(), first + place) for place, job in enumerate(jobs)
            ]
            if self._closing:
                raise RefusedError("the service is stopping.", status=503, retry_after=5)
            if len(entries) > self._most_waiting:
                raise RefusedError(
                    f"{len(entries)} {self.name} come at once, where {self._most_waiting} may "
                    "wait. Send fewer together.",
                    status=413,
                )
            if len(self._queue) + len(entries) > self._most_waiting:
                raise RefusedError(
                    f"{len(self._queue)} {self.name} are waiting already, at most "
                    f"{self._most_waiting} may. Try again in a second.",
                    status=429,
                    retry_after=1,
                )
            self._turns[client] = first + len(entries)
            self._queue = deque(sorted([*self._queue, *entries], key=lambda each: each.turn))
            self._changed.notify()
        return [entry.answer for entry in entries]

    def _run(self) -> None:
        while batch := self._next():
            self._do([each for each in batch if each.answer.set_running_or_notify_cancel()])

    def _do(self, batch: Sequence[_Waiting[Job, Answer]]) -> None:
        """Do a batch; when it fails, do its jobs one by one, so that each fails for itself."""
        try:
            answers = self._work([each.job for each in batch]) if batch else []
            pairs = list(zip(batch, answers, strict=True))
        except Exception as error:  # noqa: BLE001  (it belongs to the one who waits for it)
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for each in batch:
                self._do([each])
            return
        for each, answer in pairs:
            each.answer.set_result(answer)

    def _next(self) -> list[_Waiting[Job, Answer]]:
        """Wait for jobs and take those that go with the oldest; nothing once all is done."""
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            batch: list[_Waiting[Job, Answer]] = []
            left: deque[_Waiting[Job, Answer]] = deque()
            weight = 0
            for each in self._queue:
                more = self._weigh(each.job)
                fits = not batch or (
                    len(batch) < self._most
                    and weight + more <= self._most_weight
                    and self._alike(each.job) == self._alike(batch[0].job)
                )
                (batch if fits else left).append(each)
                weight += more if fits else 0
            self._queue = left
            self._turn = max([self._turn, *(each.turn for each in batch)])
            if not left:
                self._turns.clear()
            return batch


@dataclass(frozen=True, slots=True, eq=False)
class EmbedJob:
    """An uploaded image that the encoder shall see."""

    file: BinaryIO
    model: PromptedModel
    most_pixels: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PromptJob:
    """One prompt, all that it needs, and the version that answers it."""

    model: PromptedModel
    image: EmbeddedImage
    prompt: ImagePrompt
    multimask: bool
    details: bool
    low_res: bool
    form: MaskFormat
    source: BinaryIO | None = None
    """The upload, where small things are to be looked at from near."""
    most_pixels: int = 0
    """H x W of the upload that is still taken."""

    @property
    def key(self) -> tuple[int, bool, bool]:
        """Equal for jobs that can share a pass."""
        return id(self.model), self.multimask, self.details

    @property
    def pixels(self) -> int:
        """Mask pixels that it makes, about."""
        masks = (3 if self.multimask else 1) + (6 if self.details else 0)
        return self.image.transform.height * self.image.transform.width * masks


class JobProgress:
    """How far a search is; set by the worker, read by whoever waits for it."""

    def __init__(self) -> None:
        self.fraction = 0.0
        """Fraction of the grid's points that were asked, in [0, 1]."""
        self._left = threading.Event()

    def leave(self) -> None:
        """Say that nobody waits any more."""
        self._left.set()

    def update(self, fraction: float) -> None:
        """Say how far the work is.

        Raises:
            RefusedError: Nobody waits any more; the work ends by this.
        """
        self.fraction = fraction
        if self._left.is_set():
            raise RefusedError("the work was stopped: nobody waits for it.", status=499)


@dataclass(frozen=True, slots=True, eq=False)
class EverythingJob:
    """An embedded image of which all objects shall be segmented."""

    image: EmbeddedImage
    model: PromptedModel
    options: AutomaticMaskOptions
    form: MaskFormat
    progress: JobProgress


@dataclass(frozen=True, slots=True, eq=False)
class AnnotationsJob:
    """Images whose annotations shall be written."""

    images: Sequence[ExportedImage]
    form: str
    progress: JobProgress


def write_annotations(jobs: Sequence[AnnotationsJob]) -> list[dict[str, str]]:
    """Write annotations as another tool's files, one job after the other."""
    return [
        annotation_files(job.images, job.form, on_object=lambda job=job: job.progress.update(0.0))  # type: ignore[misc]
        for job in jobs
    ]


def encode_images(jobs: Sequence[EmbedJob | PromptJob]) -> list[EmbeddedImage | Records]:
    """Do what the encoder has to see an upload for; one by one, for it may be large.

    Returns:
        Of an `EmbedJob` the embedded image, of a `PromptJob` the records of its mask.
    """
    return [look_from_near(job) if isinstance(job, PromptJob) else embed(job) for job in jobs]


def embed(job: EmbedJob) -> EmbeddedImage:
    """Decode and embed an image."""
    return job.model.embed(decode_upload(job.file, most_pixels=job.most_pixels))


def look_from_near(job: PromptJob) -> Records:
    """Answer a prompt on the part of the upload round its object."""
    assert job.source is not None
    job.source.seek(0)  # the other prompts of the request are of the same file
    image = decode_upload(job.source, most_pixels=job.most_pixels)
    if image.shape[:2] != (job.image.transform.height, job.image.transform.width):
        raise RefusedError("the image is not the one that was embedded: send that one.", status=422)
    (answer,) = predict_zoomed(job.model, image, [job.prompt], embedded=job.image)
    return [{**words, "zoomed": answer.zoomed} for words in _prompt_records(job, answer)]


def decode_upload(file: BinaryIO, *, most_pixels: int) -> NDArray[np.uint8]:
    """Decode an upload as RGB, turned as viewers show it.

    Args:
        file: The upload, at its start.
        most_pixels: H x W that is still taken, looked up before any pixel is decoded.

    Returns:
        The image, (H, W, 3) in 0..255.

    Raises:
        RefusedError: 413 for an image that is too large, 415 for what is no intact image.
    """
    content = file.read()
    if not content:
        raise RefusedError("the image is empty: 0 bytes arrived.", status=415)
    try:
        return read_image(content, upright=True, formats=IMAGE_FORMATS, most_pixels=most_pixels)
    except InvalidItemError as error:
        too_large = error.kind == "too_large"
        more = " Or start the service with a larger --max-megapixels." if too_large else ""
        raise RefusedError(f"the {error}{more}", status=413 if too_large else 415) from None


_KEEPING = threading.Semaphore(1)
"""One correction at a time is decoded and written: several large ones would take much memory."""


def keep_correction(
    folder: Path,
    file: BinaryIO,
    codes: Sequence[Rle | None],
    about: Mapping[str, Any],
    *,
    most_pixels: int,
) -> str:
    """Keep a correction for review, and return its id.

    Args:
        folder: Where corrections wait.
        file: The image, at its start.
        codes: Run lengths of the corrected mask, and of the model's where it is known.
        about: Who, why, the prompt and the model.
        most_pixels: H x W that is still taken.

    Raises:
        RefusedError: 413 or 415 for the image; 422 for a mask that does not fit it; 429, too many
            corrections wait.
    """
    with _KEEPING:
        image = decode_upload(file, most_pixels=most_pixels)
        for code in codes:
            if code is not None and code["size"] != list(image.shape[:2]):
                raise RefusedError(
                    f"a mask is of {code['size']}, expected {list(image.shape[:2])}, the height "
                    "and width of the image as viewers show it.",
                    status=422,
                )
        mask, before = (None if code is None else decode(code) for code in codes)
        if mask is None or not mask.any():
            raise RefusedError("the corrected mask is empty: it marks no object.", status=422)
        try:
            return FeedbackStore(folder).put(image, mask, before=before, about=about)
        except DataError as error:
            raise RefusedError(str(error), status=429, retry_after=3600) from None


def answer_prompts(jobs: Sequence[PromptJob]) -> list[Records]:
    """Answer prompts of one key together; of each the records of its masks."""
    first = jobs[0]
    answers = first.model.predict_many(
        [(job.image, job.prompt) for job in jobs],
        multimask_output=first.multimask,
        return_details=first.details,
    )
    return [_prompt_records(job, answer) for job, answer in zip(jobs, answers, strict=True)]


def segment_images(jobs: Sequence[EverythingJob]) -> list[Records]:
    """Segment everything in images; of each the records of its masks, the best first."""
    return [_object_records(job) for job in jobs]


async def wait_for(
    answer: asyncio.Future[Answer], progress: JobProgress, gone: Callable[[], Awaitable[bool]]
) -> Answer:
    """Wait for a job, and end it when whoever asked has gone."""
    try:
        return await _result(answer, gone, "the work was stopped: nobody waits for it.")
    finally:
        _end(answer, progress)


async def _result(
    answer: asyncio.Future[Answer], gone: Callable[[], Awaitable[bool]], left: str
) -> Answer:
    """Wait for a job, or refuse, in the words of `left`, once whoever asked has gone."""
    while not (await asyncio.wait([answer], timeout=LOOK))[0]:
        if await gone():
            raise RefusedError(left, status=499)
    return answer.result()


async def wait_for_all(
    answers: Sequence[asyncio.Future[Records]], gone: Callable[[], Awaitable[bool]]
) -> list[Records]:
    """Wait for the answers of a request; those that still wait are left out when its client goes.

    Raises:
        RefusedError: The client has gone, or one was refused.
    """
    whole = asyncio.gather(*answers)
    try:
        return await _result(whole, gone, "the prompts were left out: nobody waits.")
    finally:
        for each in answers:  # what is done stays as it is
            each.cancel()
        whole.cancel()
        whole.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody asks


async def progress_lines(
    answer: asyncio.Future[Records], progress: JobProgress, written: Callable[[Records], str]
) -> AsyncIterator[str]:
    """Report a search in lines of JSON: its progress, then its answer or what went wrong.

    Args:
        answer: What the search will find.
        progress: How far it is.
        written: Writes what was found as one line of JSON.
    """
    try:
        while not (await asyncio.wait([answer], timeout=LOOK))[0]:
            yield _line({"progress": round(progress.fraction, 3)})
        yield written(answer.result()) + "\n"
    except PasamError as error:
        yield _line({"error": str(error)})
    except Exception:  # noqa: BLE001  (the answer has begun: only a line can still say it)
        _LOG.exception("a search failed")
        yield _line({"error": "the service failed at this request; its log says why."})
    finally:
        _end(answer, progress)


def _prompt_records(job: PromptJob, answer: PredictedMasks) -> Records:
    records = []
    for candidate, record in enumerate(records_of(answer)):
        words = _masks_json(record, job.form) | {"candidate": candidate}
        if job.low_res:
            words["low_res"] = MaskLogits.of(answer.low_res[candidate]).model_dump()
        if answer.details is not None and candidate == 0:
            words["details"] = _details(job, record, answer.details)
        records.append(words)
    return records


def _details(job: PromptJob, record: MaskRecord, details: PredictionDetails) -> dict[str, Any]:
    height, width = job.image.transform.height, job.image.transform.width

    def inside(points: NDArray[np.float32] | None) -> list[tuple[float, float]]:
        there = [] if points is None else points.tolist()
        return [(x, y) for x, y in there if 0 <= x < width and 0 <= y < height]

    masks = zip(details.sam_masks, details.sam_scores, strict=True)
    return {
        "sam": [_masks_json(MaskRecord(mask, float(score)), job.form) for mask, score in masks],
        "uncertainty": record.uncertainty_png(),
        "positive": inside(details.positive),
        "negative": inside(details.negative),
    }


def _object_records(job: EverythingJob) -> Records:
    transform = job.image.transform
    job.progress.update(0.0)
    # Without crops only the image's size is looked at; this one takes no memory.
    blank = np.broadcast_to(np.uint8(0), (transform.height, transform.width, 3))
    found = segment_everything(
        job.model,
        blank,
        job.options,
        embedded=job.image,
        on_progress=job.progress.update,
    )
    return [_masks_json(record_of_object(each), job.form) | {"candidate": 0} for each in found]


def _masks_json(record: MaskRecord, form: MaskFormat) -> dict[str, Any]:
    return record.as_json(png=form == "png")


def _end(answer: asyncio.Future[Any], progress: JobProgress) -> None:
    """Stop a search, whether it waits or is in work; one that is done stays as it is."""
    progress.leave()
    answer.cancel()


def _line(words: dict[str, Any]) -> str:
    return json.dumps(words) + "\n"
