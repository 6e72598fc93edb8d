"""The adapter's maps at twice the grid: the dense prompt enlarged, with the image's own detail.

Ours, not the reference's: its maps have the grid's cells, which are coarser than what they judge.
Shapes: N prompts, C channels, a grid of g x g image tokens.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from pasam.modeling.channel_norm import ChannelNorm


class FinerMaps(nn.Module):
    """Features of twice the grid, and tokens as narrow as these.

    Args:
        dim: Channels C; a multiple of 4.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(dim, dim // 4, kernel_size=2, stride=2)
        self.norm = ChannelNorm(dim // 4)
        self.shrink = nn.Linear(dim, dim // 4)
        """From a token, (N, C), to its projection, (N, C/4)."""

    def forward(self, consistent: Tensor, detail: Tensor) -> Tensor:
        """Enlarge the dense prompt and add the image's own detail.

        Args:
            consistent: Consistent representation, (N, g*g, C).
            detail: Guiding features at twice the grid, (N, C/4, 2g, 2g).

        Returns:
            Features, row by row, (N, 4*g*g, C/4).
        """
        grid = math.isqrt(consistent.shape[1])
        maps = consistent.transpose(1, 2).reshape(consistent.shape[0], -1, grid, grid)
        features = F.gelu(self.norm(self.enlarge(maps))) + detail
        return features.flatten(2).transpose(1, 2)


def to_grid(maps: Tensor, cells: int) -> Tensor:
    """Average maps, (N, h*h), to as many cells as the grid has; maps of that size stay."""
    if maps.shape[1] == cells:
        return maps
    side, grid = math.isqrt(maps.shape[1]), math.isqrt(cells)
    square = maps.reshape(maps.shape[0], 1, side, side)
    return F.avg_pool2d(square, kernel_size=side // grid).flatten(1)
