"""The guiding embedding: image and edges as a map on the grid of the image tokens.

Shapes: B images of S x S pixels, C channels, g the grid of image tokens (PA-SAM, section 3.2:
the "image and its gradient" that restore detail lost by the encoder).
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pasam.modeling.base_sam import PIXEL_MEAN, PIXEL_STD
from pasam.modeling.channel_norm import ChannelNorm

EdgeMode = Literal["reference", "image"]

CANNY_THRESHOLDS = (10, 100)


def edge_channel(normalised: Tensor, mode: EdgeMode) -> Tensor:
    """Find Canny edges.

    "reference" casts the normalised values, about -2.1 to 2.7, to uint8 as x86 does: truncated
    toward zero, then modulo 256. Only 254, 255, 0, 1 and 2 remain, so that the edges are a
    silhouette at one grey level. The cast is spelt out, since other processors saturate and
    would give no edge at all. "image" undoes the normalisation first and finds the edges that
    one sees.

    Args:
        normalised: Images less SAM's mean over its deviation, (B, 3, s, s).
        mode: Which uint8 image is given to Canny.

    Returns:
        1 on edges and 0 elsewhere, (B, 1, s, s), of the images' type and device.
    """
    values = normalised.detach().float()
    if mode == "reference":
        pixels = values.trunc().to(torch.int64).remainder(256)
    else:
        mean = values.new_tensor(PIXEL_MEAN)[:, None, None]
        std = values.new_tensor(PIXEL_STD)[:, None, None]
        pixels = (values * std + mean).round().clamp(0, 255)
    batch = pixels.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()  # (B, s, s, 3)
    edges = [cv2.Canny(np.ascontiguousarray(image), *CANNY_THRESHOLDS) > 0 for image in batch]
    return torch.from_numpy(np.stack(edges)).unsqueeze(1).to(normalised)


def guiding_input(images: Tensor, grid: int, mode: EdgeMode) -> Tensor:
    """Resize images to four times the grid and join their edges.

    Args:
        images: Normalised images, (B, 3, S, S).
        grid: Grid g of the image tokens.
        mode: Which edges are found, see `edge_channel`.

    Returns:
        Image and edges, (B, 4, 4g, 4g).
    """
    small = shrunk(images, grid)
    return torch.cat([small, edge_channel(small, mode)], dim=1)


def shrunk(images: Tensor, grid: int) -> Tensor:
    """Resize images (B, 3, S, S) to four times the grid, (B, 3, 4g, 4g)."""
    size = (4 * grid, 4 * grid)
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


def guiding_conv(dim: int) -> nn.Sequential:
    """Build the network that turns image and edges into the map that guides the adapter.

    Args:
        dim: Channels C of the embedding; a multiple of 4.

    Returns:
        A network from (B, 4, 4g, 4g) to (B, C, g, g); its parameters are named 0, 1, 3, 4 and 6
        as the reference's.
    """
    return nn.Sequential(
        nn.Conv2d(4, dim // 4, kernel_size=2, stride=2),
        ChannelNorm(dim // 4),
        nn.GELU(),
        nn.Conv2d(dim // 4, dim, kernel_size=2, stride=2),
        ChannelNorm(dim),
        nn.GELU(),
        nn.Conv2d(dim, dim, kernel_size=1),
    )
