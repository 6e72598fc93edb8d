"""What a run will take of memory and of the disk.

Models with measured constants, which stand here and nowhere else.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pasam.cli.resources import Content
    from pasam.config.schema import (
        EmbedParams,
        EncoderPrecision,
        EvaluateParams,
        GeneratedParams,
        TrainParams,
    )

# Shapes: S pixels a side of the encoder's input, g grid cells a side, C channels of an embedding,
# E channels of the early features.


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseShape:
    """What memory and disk depend on, of a SAM."""

    side: int
    """S."""
    grid: int
    """g."""
    dim: int
    """C."""
    early_dim: int
    """E."""
    width: int
    """Channels of the blocks of a ViT of segment-anything; 0 if the encoder is another."""
    parameters: int


_OFFICIAL = {"side": 1024, "grid": 64, "dim": 256}
SHAPES = {
    "tiny": BaseShape(side=256, grid=32, dim=128, early_dim=40, width=0, parameters=4_645_184),
    "vit_t": BaseShape(**_OFFICIAL, early_dim=160, width=0, parameters=10_130_092),
    "vit_b": BaseShape(**_OFFICIAL, early_dim=768, width=768, parameters=93_735_472),
    "vit_l": BaseShape(**_OFFICIAL, early_dim=1024, width=1024, parameters=312_342_832),
    "vit_h": BaseShape(**_OFFICIAL, early_dim=1280, width=1280, parameters=641_090_608),
}

ENCODER_BYTES: dict[str, dict[str, float]] = {
    "tiny": {"float32": 16.1e6, "mixed": 18.7e6, "bf16": 8.8e6},
    "vit_t": {"float32": 260.0e6, "mixed": 142.6e6, "bf16": 142.6e6},
    "vit_b": {"float32": 328.4e6, "mixed": 189.5e6, "bf16": 176.9e6},
    "vit_l": {"float32": 433.3e6, "mixed": 248.3e6, "bf16": 229.4e6},
    "vit_h": {"float32": 487.8e6, "mixed": 281.8e6, "bf16": 256.6e6},
}
"""Bytes for each of four images at the peak of an encoder that keeps no gradients, its outputs
included. `mixed`: under the autocast of a training; `bf16`: of weights that are cast for good."""
STEP_BYTES: dict[int, dict[str, float]] = {
    32: {"float32": 30.3e6, "mixed": 25.6e6},
    64: {"float32": 239.3e6, "mixed": 194.1e6},
}
"""By the grid: bytes for each of four masks at the peak of a training step, of the decoder that
takes most: HQ-SAM's, but PA-SAM's where 64 x 64 cells are in mixed precision (HQ-SAM's: 190 MB; in
float32 PA-SAM's takes 214 MB).

Both tables were counted, tensor by tensor, of the networks themselves and as a GPU computes them,
but on a CPU: no GPU was asked. tests/models/test_cheaper_operations.py counts again."""
LEARNER_BYTES = {32: 9_000_000, 64: 36_000_000}
"""By the grid: weights of a model's own decoder, gradients of what learns, and Adam's moments, as
counted of PA-SAM+ and HQ-SAM."""
CPU_ENCODER_NUMBERS = 15.5
"""Numbers per grid cell and channel that a global block of SAM's encoder holds for one image on a
CPU, where one head's positions are made at a time: 199 (vit_b) and 244 MB (vit_l)."""

CONTEXT = 1_000_000_000
"""Bytes that CUDA and its libraries take."""

_PNG_BYTES = 2.1  # per pixel of a generated image, its masks included


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Memory of one process, by what takes it."""

    weights: int
    batch: int = 0
    """Pixels, labels and encoder outputs of a batch."""
    encoder: int
    decoder: int
    context: int = CONTEXT
    files: int = 0
    """Embeddings, mapped from their files: they count in a process's peak, and leave the memory
    when something else needs it."""

    @property
    def needed(self) -> int:
        """What has to be there: what the encoder has held the decoder's step takes after it."""
        return self.weights + self.batch + max(self.encoder, self.decoder) + self.context

    @property
    def total(self) -> int:
        """What the process shows at its peak, where there is room for it."""
        return self.needed + self.files


def training_memory(
    size: str, train: TrainParams, embed: EmbedParams, encoder: EncoderPrecision = "32-true"
) -> Memory:
    """Estimate the GPU memory of a training process.

    Args:
        size: A SAM of `SHAPES`.
        train: Its `batch_size` is what counts, its precision, and how many models are trained
            `together`: one after the other, so that their steps do not add up.
        embed: With packed views the encoder does not run, and each model is trained alone.
        encoder: How the encoder computes; its weights are nearly all of the base's.

    Returns:
        The parts, for a prompt a mask and an encoder that does not learn. Encoder: of as many
        images of the batch as it sees at once. Decoder: what one step keeps for its gradients.
    """
    shape = SHAPES[size]
    step = "mixed" if train.precision.endswith("mixed") else "float32"
    learners = 1 if embed.views else max(len(train.together), 1)
    return Memory(
        weights=_base_bytes(size, encoder) + learners * LEARNER_BYTES[shape.grid],
        batch=train.batch_size * _seen_bytes(size),
        encoder=0 if embed.views else _encoder_bytes(size, train.batch_size, step, encoder),
        decoder=round(train.batch_size * STEP_BYTES[shape.grid][step]),
    )


def evaluation_memory(
    size: str, evaluate: EvaluateParams, encoder: EncoderPrecision = "32-true"
) -> Memory:
    """Estimate the GPU memory of a process that measures.

    Args:
        size: A SAM of `SHAPES`.
        evaluate: Its `batch_size` is what counts: so many masks are predicted at a time.
        encoder: How the encoder computes.

    Returns:
        The parts. Encoder: of the images that robustness makes worse. Decoder: as measured on a
        CPU; no GPU was asked.
    """
    shape, masks = SHAPES[size], evaluate.batch_size
    return Memory(
        weights=_base_bytes(size, encoder),
        batch=masks * _seen_bytes(size),
        encoder=_encoder_bytes(size, masks, "float32", encoder),
        decoder=masks * CPU_MASK_BYTES * shape.dim * shape.grid**2,
    )


def embedding_memory(
    size: str, embed: EmbedParams, encoder: EncoderPrecision = "32-true"
) -> Memory:
    """Estimate the GPU memory of a process that embeds.

    Args:
        size: A SAM of `SHAPES`.
        embed: Its `batch_size` is what counts: so many images are encoded at a time.
        encoder: How the encoder computes.
    """
    return Memory(
        weights=_base_bytes(size, encoder),
        batch=embed.batch_size * _seen_bytes(size),
        encoder=_encoder_bytes(size, embed.batch_size, "float32", encoder),
        decoder=0,
    )


def _base_bytes(size: str, encoder: EncoderPrecision) -> int:
    return SHAPES[size].parameters * (2 if encoder == "bf16" else 4)


def _seen_bytes(size: str) -> int:
    """Give the bytes of a view, its label and its encoder outputs in float32."""
    shape = SHAPES[size]
    return 4 * shape.side**2 + 4 * (shape.dim + shape.early_dim) * shape.grid**2


def _encoder_bytes(size: str, images: int, step: str, encoder: EncoderPrecision) -> int:
    """Give the encoder's bytes at its peak, of as many images as it sees at once.

    Args:
        size: A SAM of `SHAPES`.
        images: Images of a batch.
        step: The precision, `float32` or `mixed`, that an encoder without one of its own takes.
        encoder: How the encoder computes; TF32 is float32 in memory.
    """
    from pasam.models.base_sam import PIXELS_AT_ONCE  # with torch

    column = {"32-true": step, "tf32": "float32", "bf16": "bf16"}[encoder]
    return round(
        min(images, PIXELS_AT_ONCE // SHAPES[size].side ** 2) * ENCODER_BYTES[size][column]
    )


CPU_PROCESS = 490_000_000
"""Bytes of a stage's process on the CPU before its first batch: Python, torch and the tables."""
CPU_STEP_BYTES = 350
"""Bytes per grid cell, embedding channel and mask of a training step: the largest of HQ-SAM's and
PA-SAM's on `tiny`."""
CPU_VIEW_BYTES = 290
"""Bytes per input pixel and image that `tiny`'s encoder takes where no gradient is kept."""
CPU_MASK_BYTES = 107
"""Bytes per grid cell, embedding channel and mask that is measured. At the official sizes a mask
took 84 (HQ-SAM), 101 (PA-SAM) and 119 MB (PA-SAM+) so, of 112."""


def cpu_memories(
    size: str, train: TrainParams, embed: EmbedParams, evaluate: EvaluateParams, content: Content
) -> dict[str, Memory]:
    """Estimate the peak memory on the CPU of the stages that take most, by what they do.

    The constants were fitted to the peaks that tests/cli/test_doctor.py lists.

    Args:
        size: A SAM of `SHAPES`.
        train: Its `batch_size` is what counts, as that of the others.
        embed: With packed views the encoder does not run in training.
        evaluate: How many masks are predicted at a time, and of which benchmarks.
        content: How much there is to embed.
    """
    shape = SHAPES[size]
    cells = shape.dim * shape.grid**2
    block = round(CPU_ENCODER_NUMBERS * shape.width * shape.grid**2 * 4)
    view = block or CPU_VIEW_BYTES * shape.side**2
    counts = [content.counts.get(("val", name), (0, 0)) for name in evaluate.benchmarks]
    stores = [
        store_bytes(size, images=images, masks=masks, views=views)
        for (images, masks), views in (
            (content.count("train"), embed.views),
            (content.count("val"), 1),
            ((sum(c[0] for c in counts), sum(c[1] for c in counts)), 1),
        )
    ]
    whole = {"weights": shape.parameters * 4, "context": CPU_PROCESS}
    return {
        "training": Memory(
            **whole,
            encoder=train.batch_size * view if embed.views == 0 else 0,
            decoder=train.batch_size * CPU_STEP_BYTES * cells,
            files=stores[0],
        ),
        "embedding": Memory(
            **whole, encoder=embed.batch_size * view, decoder=0, files=max(stores[:2])
        ),
        "evaluation": Memory(
            **whole,
            encoder=0,
            decoder=evaluate.batch_size * CPU_MASK_BYTES * cells,
            files=stores[2],
        ),
    }


def fitting_batch(
    size: str,
    train: TrainParams,
    embed: EmbedParams,
    memory: int,
    encoder: EncoderPrecision = "32-true",
) -> int:
    """Find the largest batch that fits into so many bytes; 0 if not even one mask does."""
    for batch in itertools.count(1):
        larger = train.replaced(batch_size=batch)
        if training_memory(size, larger, embed, encoder).total > memory:
            break
    return batch - 1


def store_bytes(size: str, *, images: int, masks: int, views: int) -> int:
    """Estimate the packed embeddings of a split.

    Args:
        size: A SAM of `SHAPES`.
        images: Images of the split.
        masks: Their masks.
        views: Views of every image.

    Returns:
        Bytes: embedding and early features in half precision, the view's pixels, and a label per
        mask.
    """
    shape = SHAPES[size]
    view = 2 * (shape.dim + shape.early_dim) * shape.grid**2 + 3 * shape.side**2
    return views * (images * view + masks * shape.side**2)


def generated_bytes(generated: GeneratedParams) -> int:
    """Estimate the synthetic images on disk, however many and however large they are."""
    from pasam.data.catalogue import GENERATED, generated_images

    images = sum(generated_images(generated, name) for name in GENERATED)
    return round(images * generated.side**2 * _PNG_BYTES)
