"""The slow work on whole pictures: decoding and embedding them, and finding everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from pasam.inference.embedded_image import EmbeddedImage
from pasam.inference.everything import Everything, segment_everything
from pasam.metrics.run_lengths import decode
from pasam.serving.limits import Limits
from pasam.serving.offered_models import OfferedModel
from pasam.serving.payloads import MaskFormat
from pasam.serving.pictures import decode_picture
from pasam.serving.prompt_jobs import mask_record
from pasam.serving.searches import SearchWatch


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
