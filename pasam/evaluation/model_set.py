"""The models that are compared: one frozen base with a decoder for each, their cost and changes."""

# Shapes: B images, S pixels a side of the input.

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pasam.config.schema import BaseParams, ModelsParams
from pasam.evaluation.scores import UNTRAINED
from pasam.files import write_json
from pasam.models.adapter_weights import load_adapter
from pasam.models.base_sam import BaseSam, Encoded
from pasam.models.build import build_trainable, count_parameters, digest, frozen_tensors, load_base
from pasam.models.checkpoint import file_digest
from pasam.models.segmenter import Segmenter

SAM = "sam"
TIMED_IMAGES = 3

Pixels = NDArray[np.uint8] | NDArray[np.float32]
"""RGB in 0..255, (B, 3, S, S)."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of a comparison."""

    name: str
    seed: int
    """Seed of its training, `UNTRAINED` if there was none."""
    segmenter: Segmenter


@dataclass(frozen=True, slots=True)
class ModelSet:
    """Models on one base, so that an image is encoded once for all of them."""

    base: BaseSam
    entries: tuple[ModelEntry, ...]


def load_model_set(
    base: BaseParams,
    models: ModelsParams,
    trained: Sequence[str],
    *,
    adapters: Path,
    seed: int,
    device: torch.device,
) -> ModelSet:
    """Load SAM itself and the trained models.

    Args:
        base: Which SAM.
        models: Section `models` of the params.
        trained: Names of the trained models.
        adapters: Folder of `<model>.safetensors`.
        seed: Seed of their training.
        device: Where the models go.

    Raises:
        CheckpointError: A file is missing or belongs to another model.
    """
    checkpoint = Path(base.checkpoint)
    frozen = load_base(base.size, checkpoint, base.encoder_precision)
    made_for = file_digest(checkpoint)
    plain = Segmenter(base=frozen, decoder=frozen.sam.mask_decoder)
    entries = [ModelEntry(SAM, UNTRAINED, plain)]
    for name in trained:
        variant = models[name]
        segmenter = build_trainable(frozen, variant)
        weights = adapters / f"{name}.safetensors"
        load_adapter(segmenter.decoder, weights, kind=variant.decoder, base=made_for)
        entries.append(ModelEntry(name, seed, segmenter))
    for entry in entries:
        entry.segmenter.eval().to(device)
    return ModelSet(frozen, tuple(entries))


def encode(base: BaseSam, images: Pixels) -> Encoded:
    """Encode images (B, 3, S, S), rounded to half precision as cached embeddings are.

    A model thus sees the same numbers whether an image was encoded ahead or is encoded now.
    """
    pixels = torch.from_numpy(np.array(images))  # a copy: cached images cannot be written to
    with torch.no_grad():
        encoded = base.encode(pixels.to(next(base.parameters()).device))
    return Encoded(embedding=encoded.embedding.half().float(), early=encoded.early.half().float())


def encoder_milliseconds(base: BaseSam, images: NDArray[np.uint8]) -> float:
    """Time the encoder on a few images one by one, after one that is not timed, in ms per image.

    Args:
        base: The frozen SAM.
        images: Pixels at the input side, (B, 3, S, S).
    """
    few = images[:TIMED_IMAGES]
    encode(base, few[:1]).embedding.cpu()  # a GPU would else be at it when the clock starts
    start = time.perf_counter()
    for image in few:
        encode(base, image[None]).embedding.cpu()
    return 1000 * (time.perf_counter() - start) / len(few)


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


def write_parameters(path: Path, model: str, segmenter: Segmenter | None) -> None:
    """Write how many parameters a model has; the oracle has none."""
    counts = {"parameters": 0, "trainable": 0} if segmenter is None else parameters(segmenter)
    write_json(path, {"model": model, **counts}, indent=None)


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
    write_json(path, content, indent=None)


def peak_memory_mib() -> float:
    """Return the most memory that this process has held so far, on the GPU if it uses one."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    if status.is_file():  # Linux: `getrusage` counts what the process's parent had held, too
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def training_facts(
    segmenter: Segmenter, *, model: str, frozen_before: str, base: str
) -> dict[str, Any]:
    """Say what a training changed and what it left.

    Args:
        segmenter: The model after its training.
        model: Its name.
        frozen_before: Digest of its frozen tensors before training.
        base: Digest of the base's checkpoint file.

    Returns:
        `parameters` of encoders and decoder together, of which `trainable` learn, by part under
        `trained`; `frozen_before` and `frozen_after`, which are equal; `base`; `model`.
    """
    parts: Counter[str] = Counter()
    for name, parameter in segmenter.named_parameters():
        if parameter.requires_grad:
            words = name.split(".")  # decoder.<part>... or base.sam.<part>...
            parts[words[1] if words[0] == "decoder" else words[2]] += parameter.numel()
    total, _ = count_parameters(segmenter)
    replaced, _ = count_parameters(segmenter.base.sam.mask_decoder)
    return {
        "model": model,
        "base": base,
        "parameters": total - replaced,
        "trainable": sum(parts.values()),
        "trained": dict(sorted(parts.items())),
        "frozen_before": frozen_before,
        "frozen_after": digest(frozen_tensors(segmenter)),
    }


def write_facts(
    path: Path, segmenter: Segmenter, *, model: str, frozen_before: str, base: str
) -> None:
    """Write `training_facts` as JSON, atomically."""
    facts = training_facts(segmenter, model=model, frozen_before=frozen_before, base=base)
    write_json(path, facts)
