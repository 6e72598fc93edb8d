"""SAM as the frozen base: images and prompts to embeddings, for any grid; and its device.

In which precision its encoder computes (docs/performance.md says what each one costs):

- `32-true`: float32, and torch as it is found. Its own defaults take float32 for matrix products
  and, on a GPU that has it, TF32 for cuDNN's convolutions. `train.precision` holds for the encoder,
  too, where it runs within a step of training (`tf32` there is that of all its products).
- `tf32`: float32 numbers, of which a GPU (Ampere and later) takes 10 bits of the mantissa into its
  products, in matrix products and in convolutions alike, whatever torch's defaults are. A CPU
  computes in float32. The references' code leaves torch's defaults, and PA-SAM's environment
  (envname.yml) has torch 1.10, whose defaults were these.
- `bf16`: weights that are cast once, and all between the normalised image and the outputs, in
  bfloat16; batch norms keep their numbers in float32, as a mixed precision keeps them.

In the last two the encoder computes so wherever it runs, whatever `train.precision` says.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pasam.models.before_segment_anything  # noqa: F401
from pasam.config.schema import EncoderPrecision
from pasam.errors import ParamsError, ShapeError
from segment_anything.modeling import Sam

# Shapes: B images, N prompts, S pixels a side, g grid cells a side, C embedding channels,
# E early channels, k points per prompt, n tokens per prompt.

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
PIXELS_AT_ONCE = 8 * 1024**2
"""Pixels that an encoder without gradients sees in one pass: 8 images of SAM's side, which occupy
a GPU, and 128 of `tiny`'s. Larger batches take no more memory than that."""


def normalised(images: Tensor, mean: Tensor | None = None, std: Tensor | None = None) -> Tensor:
    """Shift and scale pixels as SAM does.

    Args:
        images: Pixels, (B, 3, S, S) in [0, 255].
        mean: Of each channel, (3, 1, 1); SAM's unless given.
        std: Deviation of each channel, (3, 1, 1); SAM's unless given.

    Returns:
        Normalised pixels, float32 (B, 3, S, S).
    """
    pixels = images.float()
    mean = pixels.new_tensor(PIXEL_MEAN)[:, None, None] if mean is None else mean
    std = pixels.new_tensor(PIXEL_STD)[:, None, None] if std is None else std
    return (pixels - mean) / std


def choose_device(
    name: str, *, key: str = "the device", mps: bool = False, local_rank: int = 0
) -> torch.device:
    """Turn a device's name into the device: the one choice for stages, predictor and registry.

    Args:
        name: `cpu`, `gpu` or `cuda`, `cuda:1`, ..., or `auto`: a GPU where there is one.
        key: What was set to it, for the message: a key of `params.yaml`, an option.
        mps: Whether `auto` may be Apple's GPU; training and tables do without it.
        local_rank: Which of the machine's processes asks; each takes a GPU of its own.

    Raises:
        ParamsError: There is no such device here.
    """
    if local_rank and name in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        gpus = torch.cuda.device_count()
        if local_rank >= gpus:
            raise ParamsError(
                f"process {local_rank + 1} of this machine finds {gpus} GPUs ({key}: {name}); "
                f"set devices, beside it, to {gpus} or auto, or set {key} to cpu."
            )
        # What names no GPU, such as pinning memory, would else open the first one in each process.
        torch.cuda.set_device(local_rank)
        return torch.device("cuda", local_rank)
    if name == "auto":
        apple = "mps" if mps and torch.backends.mps.is_available() else "cpu"
        return torch.device("cuda" if torch.cuda.is_available() else apple)
    try:
        device = torch.device("cuda" if name == "gpu" else name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ParamsError(
            f"{key} is {name!r}, which cannot be used here ({reason}); expected cpu, gpu, cuda, "
            "cuda:1, ..., mps or auto."
        ) from None
    return device


def synchronize(device: torch.device) -> None:
    """Wait until a device has done what it was given: a GPU answers before it has, a CPU never."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def to_device(drawn: Tensor, device: torch.device) -> Tensor:
    """Bring what was drawn on the CPU to a device, without waiting until a GPU has taken it."""
    if device.type != "cuda" or drawn.is_cuda:
        return drawn.to(device)
    return drawn.pin_memory().to(device, non_blocking=True)


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the frozen encoder says of a batch of images."""

    embedding: Tensor
    """Image embeddings, (B, C, g, g)."""
    early: Tensor
    """Output of the encoder's first global layer, (B, E, g, g): HQ-SAM's early feature."""


class BaseSam(nn.Module):
    """A SAM with its early features, its sizes by name, and batched prompts.

    Args:
        sam: Image encoder, prompt encoder and mask decoder of the segment-anything package.
        early_layer: Name, within the encoder, of the layer whose output is the early feature.
        early_dim: Channels E of that output.
    """

    def __init__(self, *, sam: Sam, early_layer: str, early_dim: int) -> None:
        super().__init__()
        self.sam = sam
        self.side: int = sam.image_encoder.img_size
        self.grid: int = sam.prompt_encoder.image_embedding_size[0]
        self.dim: int = sam.prompt_encoder.embed_dim
        self.early_dim = early_dim
        self.early_layer = early_layer
        self.encoder_precision: EncoderPrecision = "32-true"

    def encode_in(self, precision: EncoderPrecision) -> BaseSam:
        """Choose how the encoder, frozen from now on, computes; weights in bfloat16 are cast here.

        Args:
            precision: One of those above.

        Returns:
            The base itself.

        Raises:
            ParamsError: There is no such precision.
        """
        known = get_args(EncoderPrecision)
        if precision not in known:
            raise ParamsError(f"encoder_precision is {precision!r}, expected one of {list(known)}.")
        if precision == "bf16":
            _cast(self.sam.image_encoder)
        self.encoder_precision = precision
        return self

    def expect_exact(self, purpose: str) -> None:
        """Refuse what needs the encoder in float32.

        Args:
            purpose: What cannot be done otherwise, to begin a sentence with.

        Raises:
            ParamsError: It computes otherwise.
        """
        if self.encoder_precision != "32-true":
            raise ParamsError(
                f"{purpose} needs base.encoder_precision: 32-true, but it is "
                f"{self.encoder_precision}, which is for a frozen encoder that only looks."
            )

    @property
    def mask_side(self) -> int:
        """Side of the mask logits and of mask prompts: four cells per grid cell."""
        return 4 * self.grid

    def normalise(self, images: Tensor) -> Tensor:
        """Shift and scale pixels as SAM does.

        Args:
            images: Pixels, (B, 3, S, S) in [0, 255].

        Returns:
            Normalised pixels, float32 (B, 3, S, S).
        """
        mean: Tensor = self.sam.pixel_mean.to(images.device)
        std: Tensor = self.sam.pixel_std.to(images.device)
        return normalised(images, mean, std)

    def encode(self, images: Tensor) -> Encoded:
        """Run the image encoder, in its own precision, on `PIXELS_AT_ONCE` at a time.

        Args:
            images: Pixels, uint8 (B, 3, S, S).

        Returns:
            Its outputs, float32 unless a training's mixed precision makes them otherwise.

        Raises:
            ShapeError: The images are not S x S.
        """
        if images.shape[1:] != (3, self.side, self.side):
            raise ShapeError(
                f"the encoder takes images (B, 3, {self.side}, {self.side}), got "
                f"{tuple(images.shape)}; resize them to the model's input side first."
            )
        at_once = max(1, PIXELS_AT_ONCE // self.side**2)
        # What learns keeps the features of all images anyway.
        if images.shape[0] <= at_once or torch.is_grad_enabled():
            return self._encoded(images)
        parts = [self._encoded(part) for part in torch.split(images, at_once)]
        return Encoded(
            embedding=torch.cat([part.embedding for part in parts]),
            early=torch.cat([part.early for part in parts]),
        )

    def _encoded(self, images: Tensor) -> Encoded:
        """Run the image encoder once."""
        seen: list[Tensor] = []
        layer = self.sam.image_encoder.get_submodule(self.early_layer)
        handle = layer.register_forward_hook(lambda _m, _i, output: seen.append(output))
        pixels = self.normalise(images)
        precision = self.encoder_precision
        is_half = precision == "bf16"
        own = nullcontext() if precision == "32-true" else _set_for(precision, images.device)
        try:
            with own:
                embedding = self.sam.image_encoder(pixels.bfloat16() if is_half else pixels)
        finally:
            handle.remove()
        early = seen[0]
        if early.shape[1] != self.early_dim:  # a ViT block keeps channels last: (B, g, g, E)
            early = early.permute(0, 3, 1, 2)
        if is_half:
            embedding, early = embedding.float(), early.float()
        return Encoded(embedding=embedding, early=early)

    def embed_prompts(
        self,
        *,
        points: Tensor | None = None,
        point_labels: Tensor | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Embed N prompts that all have the same parts.

        Args:
            points: Pixel coordinates x, y, (N, k, 2).
            point_labels: 1 foreground, 0 background, -1 padding, (N, k).
            boxes: Corners x0, y0, x1, y1 in pixels, (N, 4).
            masks: Mask prompts, (N, 1, 4g, 4g).

        Returns:
            Sparse embeddings (N, n, C) and dense embeddings (N, C, g, g).
        """
        sparse, dense = self.sam.prompt_encoder(points=None, boxes=boxes, masks=masks)
        if points is None or point_labels is None:
            return sparse, dense
        embedded = self._embed_points(points, point_labels, alone=boxes is None)
        joined = embedded if boxes is None else torch.cat([embedded, sparse], dim=1)
        return joined, dense.expand(len(points), -1, -1, -1)

    def _embed_points(self, points: Tensor, labels: Tensor, *, alone: bool) -> Tensor:
        """Embed points as segment-anything does, to the bit, (N, k, C); alone with one more token.

        There each kind of point is picked out by a mask, for which a GPU has to be waited for.
        """
        encoder = self.sam.prompt_encoder
        centres = points + 0.5
        if alone:  # a padding point stands where a box would
            centres = F.pad(centres, (0, 0, 0, 1))
            labels = F.pad(labels, (0, 1), value=-1)
        kind = labels.unsqueeze(-1)
        code = encoder.pe_layer.forward_with_coords(centres, encoder.input_image_size)
        code = torch.where(kind == -1, torch.zeros_like(code), code)
        background, foreground = (encoder.point_embeddings[row].weight for row in (0, 1))
        learned = torch.where(kind == 1, foreground, torch.zeros_like(foreground))
        learned = torch.where(kind == 0, background, learned)
        embedded: Tensor = code + torch.where(kind == -1, encoder.not_a_point_embed.weight, learned)
        return embedded

    def image_pe(self) -> Tensor:
        """Position code of the grid, (1, C, g, g)."""
        # As segment-anything's `get_dense_pe`, which counts the cells by sums that a GPU takes in
        # any order.
        layer = self.sam.prompt_encoder.pe_layer
        device = layer.positional_encoding_gaussian_matrix.device
        middles = (torch.arange(self.grid, device=device, dtype=torch.float32) + 0.5) / self.grid
        rows, columns = torch.meshgrid(middles, middles, indexing="ij")
        code: Tensor = layer._pe_encoding(torch.stack([columns, rows], dim=-1))
        return code.permute(2, 0, 1)[None]

    def point_embeddings(self) -> Tensor:
        """Learned codes of a background (row 0) and a foreground point (row 1), (2, C)."""
        table = self.sam.prompt_encoder.point_embeddings
        return torch.cat([table[0].weight, table[1].weight])


_SETTING = threading.RLock()


def _cast(encoder: nn.Module) -> None:
    """Bring an encoder's weights to bfloat16, those of batch norms apart; their names stay."""
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            continue
        for own in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            if own.is_floating_point():
                own.data = own.data.to(torch.bfloat16)


@contextmanager
def _set_for(precision: EncoderPrecision, device: torch.device) -> Iterator[None]:
    """Set torch for the pass of an encoder with a precision of its own, and set it back.

    Args:
        precision: That of the encoder, `tf32` or `bf16`.
        device: Where it runs.
    """
    products = tf32_products() if precision == "tf32" else nullcontext()
    with torch.autocast(device.type, enabled=False), products:
        yield


@contextmanager
def tf32_products() -> Iterator[None]:
    """Let GPUs take TF32 for matrix products and for convolutions, and set both back.

    Torch knows one setting for the whole process: passes in several threads take turns, or one
    would take the other's for what was there before. Within one thread they may be nested, as an
    encoder's pass is in a step of training.
    """
    matmul = torch.backends.cuda.matmul
    conv = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    with _SETTING:
        before = matmul.fp32_precision, conv.fp32_precision
        _allow_tf32(on=True)
        conv.fp32_precision = "tf32"
        try:
            yield
        finally:
            if before[0] != "tf32":
                _allow_tf32(on=False)
            matmul.fp32_precision, conv.fp32_precision = before


def _allow_tf32(*, on: bool) -> None:
    """Set TF32 for matrix products as torch's older way has it, which sets the newer one, too.

    Torch's compiler asks in both ways, and is answered by an error where they disagree.
    """
    if (torch.backends.cuda.matmul.fp32_precision == "tf32") is not on:
        torch.backends.cuda.matmul.allow_tf32 = on
