"""The image encoder of `vit_tiny`: a small convolutional pyramid behind SAM's encoder interface.

Plain vision transformers learn slowly from scratch; residual stages with a feature pyramid reach a
useful coarse segmenter within an hour on two cores. Blocks and pyramid are torchvision's.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

import pasam.modeling.torchvision_operators  # noqa: F401  (repairs torchvision first)
from torchvision.models.resnet import BasicBlock
from torchvision.ops import FeaturePyramidNetwork

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
        self.pyramid = FeaturePyramidNetwork(list(widths[1:]), out_chans)
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
        levels: OrderedDict[str, Tensor] = OrderedDict()
        features = fine
        for k, stage in enumerate(list(self.stages)[1:]):
            features = stage(features)
            levels[str(k)] = features
        merged = self.pyramid(levels)["0"] + self.fine(fine) + self.pos_embed
        embedding: Tensor = self.neck(merged)
        return embedding


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
    first = BasicBlock(inputs, outputs, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs) for _ in range(depth - 1)))
