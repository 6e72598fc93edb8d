"""The slow work of the service: embedding images, answering prompts, segmenting everything."""

# Shapes: H, W of the image, m the side of low-resolution logits.

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pasam.errors import InvalidItemError, PasamError, RefusedError
from pasam.inference.automatic_masks import AutomaticMaskOptions, segment_everything
from pasam.inference.image_prompt import ImagePrompt, MaskLogits
from pasam.inference.image_transform import EmbeddedImage
from pasam.inference.mask_record import MaskRecord, record_of_object, records_of
from pasam.inference.predictor import PredictedMasks, PredictionDetails
from pasam.masks.images import IMAGE_FORMATS, read_image
from pasam.serving.model_pool import PooledModel
from pasam.serving.payloads import MaskFormat

Records = list[dict[str, Any]]

LOOK = 0.25
"""Seconds between looks how far a search is, and whether anybody waits."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class EmbedJob:
    """An uploaded image that the encoder shall see."""

    file: BinaryIO
    model: PooledModel
    most_pixels: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PromptJob:
    """One prompt, all that it needs, and the version that answers it."""

    model: PooledModel
    image: EmbeddedImage
    prompt: ImagePrompt
    multimask: bool
    details: bool
    low_res: bool
    form: MaskFormat

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
        """Say how far the search is.

        Raises:
            RefusedError: Nobody waits any more; the search ends by this.
        """
        self.fraction = fraction
        if self._left.is_set():
            raise RefusedError("the search was stopped: nobody waits for it.", status=499)


@dataclass(frozen=True, slots=True, eq=False)
class EverythingJob:
    """An embedded image of which all objects shall be segmented."""

    image: EmbeddedImage
    model: PooledModel
    options: AutomaticMaskOptions
    form: MaskFormat
    progress: JobProgress


def embed_images(jobs: Sequence[EmbedJob]) -> list[EmbeddedImage]:
    """Decode and embed images; one by one, for a decoded image may be large."""
    return [
        job.model.predictor.embed(decode_upload(job.file, most_pixels=job.most_pixels))
        for job in jobs
    ]


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


def answer_prompts(jobs: Sequence[PromptJob]) -> list[Records]:
    """Answer prompts of one key together; of each the records of its masks."""
    first = jobs[0]
    answers = first.model.predictor.predict_many(
        [(job.image, job.prompt) for job in jobs],
        multimask_output=first.multimask,
        return_details=first.details,
    )
    return [_prompt_records(job, answer) for job, answer in zip(jobs, answers, strict=True)]


def segment_images(jobs: Sequence[EverythingJob]) -> list[Records]:
    """Segment everything in images; of each the records of its masks, the best first."""
    return [_object_records(job) for job in jobs]


async def wait_for(
    answer: asyncio.Future[Records], progress: JobProgress, gone: Callable[[], Awaitable[bool]]
) -> Records:
    """Wait for a search, and end it when whoever asked has gone."""
    try:
        while not (await asyncio.wait([answer], timeout=LOOK))[0]:
            if await gone():
                raise RefusedError("the search was stopped: nobody waits for it.", status=499)
        return answer.result()
    finally:
        _end(answer, progress)


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
        job.model.predictor,
        blank,
        job.options,
        embedded=job.image,
        on_progress=job.progress.update,
    )
    return [_masks_json(record_of_object(each), job.form) | {"candidate": 0} for each in found]


def _masks_json(record: MaskRecord, form: MaskFormat) -> dict[str, Any]:
    return record.as_json(png=form == "png")


def _end(answer: asyncio.Future[Records], progress: JobProgress) -> None:
    """Stop a search, whether it waits or is in work; one that is done stays as it is."""
    progress.leave()
    answer.cancel()


def _line(words: dict[str, Any]) -> str:
    return json.dumps(words) + "\n"
