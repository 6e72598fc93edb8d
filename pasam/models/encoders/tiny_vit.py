"""The image encoder of `vit_t`: MobileSAM's TinyViT, its keys those of `mobile_sam.pt`.

The network is TinyViT-5M (Wu et al., ECCV 2022) as MobileSAM distils it from SAM (Zhang et al.,
arXiv 2306.14289): the last merging keeps the resolution, so that the grid is SAM's, and SAM's neck
takes the classifier's place. The classifier's tensors are kept for the keys and never run.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pasam.models.before_segment_anything  # noqa: F401
from segment_anything.modeling.common import LayerNorm2d

# Shapes: B images, S pixels a side, D channels of a stage, h cells a side of its grid, W windows,
# N = w * w cells of a window.

WIDTHS = (64, 128, 160, 320)
"""Channels of the four stages, at strides 4, 8, 16 and 16."""
DEPTHS = (2, 2, 6, 2)
"""Blocks of the stages: convolutions in the first, attention in the others."""
HEADS = (2, 4, 5, 10)
WINDOWS = (7, 7, 14, 7)
"""Cells a side of the windows that attention looks into."""
EXPANSION = 4
"""Widening of the inverted bottlenecks and of the attention blocks' MLP."""
STRIDES = (2, 2, 1)
"""Steps of the mergings after the first three stages."""
CLASSES = 1000


class TinyVit(nn.Module):
    """Encode an image into SAM's grid of embeddings.

    Args:
        img_size: Side of the input S, in pixels; a multiple of 16.
        out_chans: Channels of the embedding.
    """

    EARLY_LAYER = "layers.1"
    """The first stage whose output lies on the embedding's grid: Light HQ-SAM's early feature."""
    EARLY_DIM = WIDTHS[2]

    def __init__(self, *, img_size: int, out_chans: int) -> None:
        super().__init__()
        self.img_size = img_size
        stem = [
            ConvNorm(3, WIDTHS[0] // 2, kernel=3, stride=2),
            nn.GELU(),
            ConvNorm(WIDTHS[0] // 2, WIDTHS[0], kernel=3, stride=2),
        ]
        self.patch_embed = nn.Sequential(OrderedDict(seq=nn.Sequential(*stem)))
        self.layers = nn.Sequential(*(_stage(number) for number in range(len(WIDTHS))))
        self.norm_head = nn.LayerNorm(WIDTHS[-1])
        self.head = nn.Linear(WIDTHS[-1], CLASSES)
        self.neck = nn.Sequential(
            nn.Conv2d(WIDTHS[-1], out_chans, kernel_size=1, bias=False),
            LayerNorm2d(out_chans),
            nn.Conv2d(out_chans, out_chans, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(out_chans),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Encode normalised images.

        Args:
            images: Normalised pixels, (B, 3, S, S).

        Returns:
            Image embeddings, (B, out_chans, S/16, S/16).
        """
        # Channels last in memory: the attention blocks then look at (B, h, h, D) without a copy.
        pixels = images.contiguous(memory_format=torch.channels_last)
        embedding: Tensor = self.neck(self.layers(self.patch_embed(pixels)))
        return embedding


class ConvNorm(nn.Sequential):
    """Convolution without bias, and batch norm, by the names that TinyViT gives them.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the result.
        kernel: Side of the kernel, odd; the input is padded so that only the stride shrinks it.
        stride: Step of the convolution.
        groups: Groups of channels that do not mix.
    """

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        conv = nn.Conv2d(
            inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False
        )
        super().__init__(OrderedDict(c=conv, bn=nn.BatchNorm2d(outputs)))


class InvertedBottleneck(nn.Module):
    """Widen, filter each channel, narrow, and add to the input: the first stage's block.

    Args:
        width: Channels D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        wide = width * EXPANSION
        self.conv1 = ConvNorm(width, wide)
        self.conv2 = ConvNorm(wide, wide, kernel=3, groups=wide)
        self.conv3 = ConvNorm(wide, width)

    def forward(self, features: Tensor) -> Tensor:
        """Transform features, (B, D, h, h) to the same."""
        filtered = F.gelu(self.conv2(F.gelu(self.conv1(features))))
        return F.gelu(self.conv3(filtered) + features)


class Merging(nn.Module):
    """Change the width, and the resolution by the stride, between two stages.

    Args:
        inputs: Channels of the stage before.
        outputs: Channels of the stage after.
        stride: 2 halves the resolution, 1 keeps it.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(inputs, outputs)
        self.conv2 = ConvNorm(outputs, outputs, kernel=3, stride=stride, groups=outputs)
        self.conv3 = ConvNorm(outputs, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Merge features (B, inputs, h, h) to (B, outputs, h / stride, h / stride)."""
        merged: Tensor = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(features)))))
        return merged


class WindowBlock(nn.Module):
    """Attention within windows, a convolution across them, and an MLP.

    Args:
        width: Channels D.
        heads: Heads of the attention.
        window: Cells a side of a window w.
    """

    def __init__(self, width: int, *, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = WindowAttention(width, heads=heads, window=window)
        self.local_conv = ConvNorm(width, width, kernel=3, groups=width)
        self.mlp = nn.Sequential(
            OrderedDict(
                norm=nn.LayerNorm(width),
                fc1=nn.Linear(width, width * EXPANSION),
                act=nn.GELU(),
                fc2=nn.Linear(width * EXPANSION, width),
            )
        )

    def forward(self, features: Tensor) -> Tensor:
        """Transform features, (B, D, h, h) to the same."""
        cells = features.permute(0, 2, 3, 1)  # (B, h, h, D)
        attended = cells + self._attended(cells)
        mixed = self.local_conv(attended.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        result: Tensor = mixed + self.mlp(mixed)
        return result.permute(0, 3, 1, 2)

    def _attended(self, cells: Tensor) -> Tensor:
        """Attend in every window, (B, h, h, D) to the same."""
        batch, height, width, channels = cells.shape
        side = self.window
        down, across = -height % side, -width % side
        # Cells of padding are not masked: they answer with the norm's and the projection's biases.
        padded = F.pad(cells, (0, 0, 0, across, 0, down))
        rows, columns = (height + down) // side, (width + across) // side
        split = padded.view(batch, rows, side, columns, side, channels).transpose(2, 3)
        attended: Tensor = self.attn(split.reshape(-1, side * side, channels))  # (B * W, N, D)
        joined = attended.view(batch, rows, columns, side, side, channels).transpose(2, 3)
        return joined.reshape(padded.shape)[:, :height, :width]


class WindowAttention(nn.Module):
    """Attention with a learned bias for every distance between two cells of a window.

    Args:
        width: Channels D.
        heads: Heads of the attention.
        window: Cells a side of a window w.
    """

    distances: Tensor

    def __init__(self, width: int, *, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        self.register_buffer("distances", window_distances(window), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Attend within each window.

        Args:
            tokens: Cells of the windows, (W, N, D).
        """
        windows, cells, width = tokens.shape
        mixed = self.qkv(self.norm(tokens))
        # Each head has its query, key and value side by side: (W, heads, N, 3 * D / heads).
        by_head = mixed.view(windows, cells, self.heads, -1).transpose(1, 2)
        query, key, value = by_head.chunk(3, dim=-1)
        bias = self.attention_biases[:, self.distances].to(query.dtype)  # (heads, N, N)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        result: Tensor = self.proj(seen.transpose(1, 2).reshape(windows, cells, width))
        return result


def window_distances(window: int) -> Tensor:
    """Number the distances (|dy|, |dx|) between any two cells of a window, (N, N) int64."""
    place = torch.cartesian_prod(torch.arange(window), torch.arange(window))  # (N, 2)
    apart = (place[:, None] - place[None]).abs()
    return apart[..., 0] * window + apart[..., 1]


def _stage(number: int) -> nn.Sequential:
    width = WIDTHS[number]
    blocks: list[nn.Module] = [
        WindowBlock(width, heads=HEADS[number], window=WINDOWS[number])
        if number
        else InvertedBottleneck(width)
        for _ in range(DEPTHS[number])
    ]
    parts: OrderedDict[str, nn.Module] = OrderedDict(blocks=nn.Sequential(*blocks))
    if number < len(STRIDES):
        parts["downsample"] = Merging(width, WIDTHS[number + 1], stride=STRIDES[number])
    return nn.Sequential(parts)
