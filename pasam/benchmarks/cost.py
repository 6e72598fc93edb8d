"""What a model costs: its parameters, and the time and memory that a measurement took."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pasam.benchmarks.predict import encode
from pasam.modeling.base_sam import BaseSam
from pasam.modeling.build import count_parameters
from pasam.modeling.segmenter import Segmenter

TIMED_IMAGES = 3


def parameters(segmenter: Segmenter) -> dict[str, int]:
    """Count what a prediction runs through: encoder, prompt encoder and the model's own decoder.

    Args:
        segmenter: The model, frozen as for its training.

    Returns:
        `parameters` and, of them, `trainable`.
    """
    base = segmenter.base.sam
    counts = [
        count_parameters(part)
        for part in (base.image_encoder, base.prompt_encoder, segmenter.decoder)
    ]
    return {"parameters": sum(n for n, _ in counts), "trainable": sum(n for _, n in counts)}


def encoder_milliseconds(base: BaseSam, images: NDArray[np.uint8]) -> float:
    """Time the encoder on a few images one by one, after one that is not timed, in ms per image.

    Args:
        base: The frozen SAM.
        images: Pixels at the input side, (B, 3, S, S).
    """
    few = images[:TIMED_IMAGES]
    encode(base, few[:1])
    start = time.perf_counter()
    for image in few:
        encode(base, image[None]).embedding.cpu()
    return 1000 * (time.perf_counter() - start) / len(few)


def write_parameters(path: Path, model: str, segmenter: Segmenter | None) -> None:
    """Write how many parameters a model has; the oracle has none."""
    counts = {"parameters": 0, "trainable": 0} if segmenter is None else parameters(segmenter)
    write_json(path, {"model": model, **counts})


def write_timing(
    path: Path, *, masks: int, decoder_seconds: float, encoder_ms: float | None
) -> None:
    """Write time and memory; the file is no declared output, since it never repeats.

    Args:
        path: A JSON file.
        masks: Masks that were decoded.
        decoder_seconds: Time that the decoder took for all of them.
        encoder_ms: Time of the encoder for an image, None if it did not run.
    """
    content = {
        "masks": masks,
        "decoder_ms_per_mask": 1000 * decoder_seconds / max(1, masks),
        "encoder_ms_per_image": encoder_ms,
        "peak_memory_mib": peak_memory_mib(),
    }
    write_json(path, content)


def peak_memory_mib() -> float:
    """Return the most memory that this process has held so far, on the GPU if it uses one."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a small JSON file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(dict(content), sort_keys=True) + "\n", encoding="utf-8")
    draft.replace(path)
