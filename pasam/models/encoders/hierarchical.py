"""The image encoder of `vit_tiny`, and its weights for images of another side.

Plain vision transformers learn slowly from scratch; residual stages with a feature pyramid reach a
useful coarse segmenter within an hour on two cores. Blocks and pyramid are those of torchvision, to
the last key and bit: importing that package for them would cost every command three seconds.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pasam.errors import ShapeError
from pasam.models.base_sam import BaseSam

# Shapes: B images, S pixels a side, C embedding channels; level k has S / 2**(k + 2) cells a side.


class HierarchicalEncoder(nn.Module):
    """Encode an image into SAM's square grid of embeddings.

    The pyramid's level 1, an eighth of the image's side, is the output grid. Level 0, twice as
    fine, is folded in by a strided convolution, so that the embedding can tell where inside a cell
    an edge lies.

    Args:
        img_size: Side of the input S, in pixels; a multiple of 32.
        widths: Channels of the four residual stages.
        depths: Residual blocks of the four stages.
        out_chans: Channels C of the embedding.
    """

    def __init__(
        self, *, img_size: int, widths: Sequence[int], depths: Sequence[int], out_chans: int
    ) -> None:
        super().__init__()
        self.img_size = img_size
        stem = widths[0] * 2 // 3
        self.stem = nn.Sequential(
            *_convolution(3, stem, stride=2), *_convolution(stem, widths[0], stride=2)
        )
        self.stages = nn.ModuleList(
            _stage(widths[max(k - 1, 0)], widths[k], depths[k], stride=1 if k == 0 else 2)
            for k in range(4)
        )
        self.fine = nn.Conv2d(widths[0], out_chans, kernel_size=2, stride=2)
        self.pyramid = FeaturePyramid(list(widths[1:]), out_chans)
        # Convolutions know no place; SAM's ViT adds a learned code of it to its tokens, and the
        # mask decoder, whose masks are products with the image tokens, relies on that.
        self.pos_embed = nn.Parameter(place_code(out_chans, img_size // 8))
        self.neck = nn.Conv2d(out_chans, out_chans, kernel_size=1)

    EARLY_LAYER = "stages.1"
    """The first layer on the embedding's grid: its output is the early feature."""

    def forward(self, images: Tensor) -> Tensor:
        """Encode normalised images.

        Args:
            images: Normalised pixels, (B, 3, S, S).

        Returns:
            Image embeddings, (B, C, S/8, S/8).
        """
        fine = self.stages[0](self.stem(images))  # (B, widths[0], S/4, S/4)
        levels, features = [], fine
        for stage in list(self.stages)[1:]:
            features = stage(features)
            levels.append(features)
        merged = self.pyramid(levels) + self.fine(fine) + self.pos_embed
        embedding: Tensor = self.neck(merged)
        return embedding


class FeaturePyramid(nn.Module):
    """Merge levels of features, coarse to fine, into the finest one (Lin et al., 2017, figure 3).

    Keys and first weights are those of torchvision's `FeaturePyramidNetwork`, whose coarser
    outputs nobody here reads: their convolutions are kept for the keys and never run.

    Args:
        widths: Channels of the levels, finest first.
        out_chans: Channels C of the result.
    """

    def __init__(self, widths: Sequence[int], out_chans: int) -> None:
        super().__init__()
        self.inner_blocks, self.layer_blocks = nn.ModuleList(), nn.ModuleList()
        for width in widths:
            self.inner_blocks.append(nn.Sequential(nn.Conv2d(width, out_chans, 1)))
            self.layer_blocks.append(nn.Sequential(nn.Conv2d(out_chans, out_chans, 3, padding=1)))
        for part in self.modules():
            if isinstance(part, nn.Conv2d) and part.bias is not None:
                nn.init.kaiming_uniform_(part.weight, a=1)
                nn.init.zeros_(part.bias)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Merge the levels.

        Args:
            levels: Features, finest first, (B, widths[k], S_k, S_k).

        Returns:
            (B, C, S_0, S_0)
        """
        merged: Tensor | None = None
        for lateral, features in reversed(list(zip(self.inner_blocks, levels, strict=True))):
            finer: Tensor = lateral(features)
            if merged is not None:
                finer = finer + F.interpolate(merged, size=finer.shape[-2:], mode="nearest")
            merged = finer
        finest: Tensor = self.layer_blocks[0](merged)
        return finest


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions round which the input is carried (He et al., 2016), as torchvision's.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the result.
        stride: Step of the first convolution.
        downsample: Brings the input to the result's shape where that differs.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = downsample

    def forward(self, features: Tensor) -> Tensor:
        """Transform features (B, inputs, S, S) to (B, outputs, S / stride, S / stride)."""
        carried = features if self.downsample is None else self.downsample(features)
        changed = self.relu(self.bn1(self.conv1(features)))
        result: Tensor = self.relu(self.bn2(self.conv2(changed)) + carried)
        return result


def place_code(channels: int, grid: int) -> Tensor:
    """Sines and cosines of x and y at octaves of half a turn per image, (1, channels, g, g)."""
    octaves = 2.0 ** torch.arange(channels // 4).fmod(4) * math.pi / 2
    line = (torch.arange(grid) + 0.5) / grid * 2 - 1
    angles = octaves[:, None] * line  # (channels / 4, g)
    waves = torch.cat([angles.sin(), angles.cos()])  # (channels / 2, g)
    across = waves[:, None, :].expand(-1, grid, -1)
    down = waves[:, :, None].expand(-1, -1, grid)
    return torch.cat([across, down])[None].contiguous()


def _convolution(inputs: int, outputs: int, *, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


def _stage(inputs: int, outputs: int, depth: int, *, stride: int) -> nn.Sequential:
    """Residual blocks, the first of which changes width and resolution."""
    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False),
            nn.BatchNorm2d(outputs),
        )
    first = ResidualBlock(inputs, outputs, stride, shortcut)
    return nn.Sequential(first, *(ResidualBlock(outputs, outputs) for _ in range(depth - 1)))


STRIDE = 8
"""Pixels per cell of `vit_tiny`'s embedding grid."""
COARSEST = 32
"""Pixels per cell of the encoder's last stage, of which the input side is a multiple."""


def at_side(base: BaseSam, side: int) -> BaseSam:
    """Copy a base of the `vit_tiny` kind for another input side.

    Args:
        base: The base; it stays as it is.
        side: New input side S in pixels; the grid has S / 8 cells a side.

    Raises:
        ShapeError: The side is no multiple of 32.
    """
    if side < COARSEST or side % COARSEST:
        raise ShapeError(f"the input side is {side} pixels, expected a multiple of {COARSEST}.")
    sam = copy.deepcopy(base.sam)
    grid = side // STRIDE
    encoder, prompts = sam.image_encoder, sam.prompt_encoder
    if side != base.side:
        code = F.interpolate(encoder.pos_embed.detach(), (grid, grid), mode="bicubic")
        encoder.pos_embed = nn.Parameter(code)
    encoder.img_size = side
    prompts.input_image_size = (side, side)
    prompts.image_embedding_size = (grid, grid)
    prompts.mask_input_size = (4 * grid, 4 * grid)
    return BaseSam(sam=sam, early_layer=base.early_layer, early_dim=base.early_dim)
