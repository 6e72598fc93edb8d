"""The slow work on whole images: decoding and embedding them, and segmenting everything."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import struct
import threading
import warnings
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pasam.errors import PasamError, RefusedError
from pasam.inference.automatic_masks import Everything, segment_everything
from pasam.inference.image_transform import EmbeddedImage
from pasam.masks.images import rgb_pixels
from pasam.masks.run_lengths import decode
from pasam.serving.model_pool import OfferedModel
from pasam.serving.payloads import Limits, MaskFormat
from pasam.serving.prompt_jobs import mask_record

# --- pictures: Uploaded pictures: looked at before they are decoded, and refused with a reason.

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
"""What is decoded; Pillow's other decoders are for files that one trusts."""

_BOMBS = (Image.DecompressionBombWarning, Image.DecompressionBombError)
# What Pillow's decoders and its reading of EXIF are known to raise on damaged bytes.
_UNREADABLE = (
    ArithmeticError, AttributeError, EOFError, LookupError, OSError, SyntaxError, TypeError,
    ValueError, NotImplementedError, struct.error, zlib.error,
)  # fmt: skip


def decode_picture(file: BinaryIO, *, most_pixels: int) -> NDArray[np.uint8]:
    """Decode an upload as RGB, turned as viewers show it.

    The size is read from the header and checked before any pixel is decoded.

    Args:
        file: The upload, at its start.
        most_pixels: H x W that is still taken.

    Returns:
        The picture, (H, W, 3) in 0..255.

    Raises:
        RefusedError: 413 for a picture that is too large, 415 for what is no intact picture.
    """
    content = file.read()
    if not content:
        raise RefusedError("the picture is empty: 0 bytes arrived.", status=415)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                _check_size(picture.size, most_pixels)
                picture.load()
                return rgb_pixels(picture, upright=True)
    except _BOMBS:
        raise RefusedError(_too_large("more than that", most_pixels), status=413) from None
    except _UNREADABLE as error:
        reason = type(error).__name__ if isinstance(error, UnidentifiedImageError) else error
        raise RefusedError(
            f"the picture ({len(content)} bytes) cannot be decoded ({reason}). Expected an intact "
            "PNG, JPEG, WebP, BMP or TIFF: export it again.",
            status=415,
        ) from None


def _check_size(size: tuple[int, int], most: int) -> None:
    width, height = size
    if width * height > most:
        raise RefusedError(_too_large(f"{width} x {height}", most), status=413)


def _too_large(found: str, most: int) -> str:
    return (
        f"the picture is too large: {found} pixels, where at most {most / 1e6:g} million are "
        "taken. Make it smaller, or start the service with a larger --max-megapixels."
    )


# --- searches: A search for everything while it goes on: its progress told, and its end when
# nobody waits.

LOOK = 0.25
"""Seconds between looks how far it is, and whether anybody waits."""

_LOG = logging.getLogger(__name__)
_Records = list[dict[str, Any]]


class SearchWatch:
    """How far a search is; read in one thread, told in another."""

    def __init__(self) -> None:
        self.share = 0.0
        """Share of the grid that was asked, in [0, 1]."""
        self._left = threading.Event()

    def leave(self) -> None:
        """Say that nobody waits any more."""
        self._left.set()

    def tell(self, share: float) -> None:
        """Say how far the search is.

        Raises:
            RefusedError: Nobody waits any more; the search ends by this.
        """
        self.share = share
        if self._left.is_set():
            raise RefusedError("the search was stopped: nobody waits for it.", status=499)


async def waited_for(
    answer: asyncio.Future[_Records], watch: SearchWatch, gone: Callable[[], Awaitable[bool]]
) -> _Records:
    """Wait for a search, and end it when whoever asked has gone."""
    try:
        while not (await asyncio.wait([answer], timeout=LOOK))[0]:
            if await gone():
                raise RefusedError("the search was stopped: nobody waits for it.", status=499)
        return answer.result()
    finally:
        _end(answer, watch)


async def told_by_line(
    answer: asyncio.Future[_Records], watch: SearchWatch, written: Callable[[_Records], str]
) -> AsyncIterator[str]:
    """Tell a search in lines of JSON: its progress, then its answer or what went wrong.

    Args:
        answer: What the search will find.
        watch: How far it is.
        written: Writes what was found as one line of JSON.
    """
    try:
        while not (await asyncio.wait([answer], timeout=LOOK))[0]:
            yield _line({"progress": round(watch.share, 3)})
        yield written(answer.result()) + "\n"
    except PasamError as error:
        yield _line({"error": str(error)})
    except Exception:  # noqa: BLE001  (the answer has begun: only a line can still say it)
        _LOG.exception("a search failed")
        yield _line({"error": "the service failed at this request; its log says why."})
    finally:
        _end(answer, watch)


def _end(answer: asyncio.Future[_Records], watch: SearchWatch) -> None:
    """Stop a search, whether it waits or is in work; one that is done stays as it is."""
    watch.leave()
    answer.cancel()


def _line(words: dict[str, Any]) -> str:
    return json.dumps(words) + "\n"


# --- picture_jobs: The slow work on whole pictures: decoding and embedding them, and finding
# everything.


@dataclass(frozen=True, slots=True, eq=False)
class EmbedJob:
    """A picture that the encoder shall see."""

    file: BinaryIO
    offered: OfferedModel
    limits: Limits


@dataclass(frozen=True, slots=True, eq=False)
class EverythingJob:
    """An embedded picture whose objects shall be found."""

    image: EmbeddedImage
    offered: OfferedModel
    options: Everything
    form: MaskFormat
    watch: SearchWatch
    """Is told how far it is, and says when nobody waits any more."""


def embed_pictures(jobs: Sequence[EmbedJob]) -> list[EmbeddedImage]:
    """Decode and embed pictures; one by one, for a decoded picture may be large."""
    return [
        job.offered.model.embed(decode_picture(job.file, most_pixels=job.limits.pixels))
        for job in jobs
    ]


def find_everything(jobs: Sequence[EverythingJob]) -> list[list[dict[str, Any]]]:
    """Find the objects of pictures; of each the records of its masks, the best first."""
    return [_everything(job) for job in jobs]


def _everything(job: EverythingJob) -> list[dict[str, Any]]:
    placement = job.image.placement
    job.watch.tell(0.0)
    # Without crops only the picture's size is looked at; this one takes no memory.
    blank = np.broadcast_to(np.uint8(0), (placement.height, placement.width, 3))
    found = segment_everything(
        job.offered.model, blank, job.options, embedded=job.image, on_progress=job.watch.tell
    )
    return [
        mask_record(decode(each["segmentation"]), each["predicted_iou"], job.form)
        | {"candidate": 0}
        for each in found
    ]
