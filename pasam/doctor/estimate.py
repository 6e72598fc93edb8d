"""Memory and disk that a size needs: simple sums over the shapes of its largest arrays."""

# Shapes: S pixels a side of the encoder's input, g grid cells a side, C channels of an embedding,
# E channels of the early features.

from __future__ import annotations

from dataclasses import dataclass

from pasam.params import EmbedParams, GeneratedParams, TrainParams


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
    heads: int
    """Heads of the encoder's global attention; 0 if it has none."""
    parameters: int


_OFFICIAL = {"side": 1024, "grid": 64, "dim": 256}
SHAPES = {
    "tiny": BaseShape(side=256, grid=32, dim=128, early_dim=40, heads=0, parameters=4_645_184),
    "vit_tiny": BaseShape(side=256, grid=32, dim=128, early_dim=96, heads=0, parameters=5_505_344),
    "vit_b": BaseShape(**_OFFICIAL, early_dim=768, heads=12, parameters=93_735_472),
    "vit_l": BaseShape(**_OFFICIAL, early_dim=1024, heads=16, parameters=312_342_832),
    "vit_h": BaseShape(**_OFFICIAL, early_dim=1280, heads=16, parameters=641_090_608),
}

ATTENTION_COPIES = 3
"""Attention maps alive at once in SAM's encoder: the products, and the sums with either table of
relative positions. One block of 1024 x 1024 pixels took 2.47 (vit_b) and 3.29 GB (vit_l) on a CPU;
three copies are 2.42 and 3.22."""

DECODER_BYTES = 105_000
"""Bytes per grid cell and mask that a training step of the decoder keeps: 208 MB for HQ-SAM and
186 MB for PA-SAM at 64 x 64 cells; twice that, for the gradients on their way."""

CONTEXT = 1_000_000_000
"""Bytes that CUDA and its libraries take."""

_PNG_BYTES = 2.1  # per pixel of a generated image, its masks included
_MASKS_PER_SCENE = 2  # generated training images hold one to three objects


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """GPU memory of one training process, by what takes it."""

    weights: int
    encoder: int
    decoder: int
    context: int = CONTEXT

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.encoder + self.decoder + self.context


def training_memory(size: str, train: TrainParams, embed: EmbedParams) -> Memory:
    """Estimate the GPU memory of a training process.

    Args:
        size: A SAM of `SHAPES`.
        train: Its `batch_size` is what counts, and half the bytes if the precision is mixed.
        embed: With packed views the encoder does not run.

    Returns:
        The parts. Encoder: the batch's attention maps of one global block, g^4 numbers per image
        and head. Decoder: what one step keeps for its gradients.
    """
    shape = SHAPES[size]
    width = 4 if train.precision == "32-true" else 2
    maps = ATTENTION_COPIES * shape.heads * shape.grid**4 * width
    return Memory(
        weights=shape.parameters * 4,
        encoder=train.batch_size * maps if embed.views == 0 else 0,
        decoder=train.batch_size * DECODER_BYTES * shape.grid**2,
    )


def fitting_batch(size: str, train: TrainParams, embed: EmbedParams, memory: int) -> int:
    """Find the largest batch that fits into so many bytes; 0 if not even one mask does."""
    whole = training_memory(size, train, embed)
    fixed = whole.weights + whole.context
    each = (whole.encoder + whole.decoder) / train.batch_size
    return max(0, int((memory - fixed) // each))


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


def generated_bytes(generated: GeneratedParams, benchmarks: int) -> int:
    """Estimate the generated pictures on disk.

    Args:
        generated: How many, and how large.
        benchmarks: Number of generated benchmarks.
    """
    images = generated.train_images + benchmarks * generated.benchmark_images
    return round(images * generated.side**2 * _PNG_BYTES)


def generated_masks(generated: GeneratedParams) -> int:
    """Estimate the masks of the generated training set."""
    return _MASKS_PER_SCENE * generated.train_images
