"""The uncertainty map's target, a band round the object's contour, and its loss.

Shapes: N labels of H x W pixels, g the grid of the uncertainty map.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

BAND_SHARE = 0.005
"""Half width of the band as a share of the image diagonal."""
FOREGROUND = 128
"""Label value from which a pixel is foreground here; boxes and metrics ask for more than 128."""


def band_radius(height: int, width: int) -> int:
    """Return the half width of the band in pixels, at least 1."""
    return max(1, round(BAND_SHARE * math.hypot(height, width)))


def uncertainty_target(label: Tensor) -> Tensor:
    """Mark the pixels near the other class.

    A foreground pixel is uncertain when a background pixel, or the outside of the image, lies
    within the band's half width in rows and columns; a background pixel when a foreground pixel
    does. Equal to class minus its erosion by 3 x 3 ones, repeated; foreground is eroded from
    the image border, background is not.

    Args:
        label: Labels in 0..255, (N, H, W).

    Returns:
        1 in the band and 0 elsewhere, (N, H, W) float32.
    """
    radius = band_radius(*label.shape[-2:])
    foreground = (label >= FOREGROUND).float()
    background = 1 - foreground
    uncertain_foreground = foreground * _spread(background, radius, outside=1.0)
    return uncertain_foreground + background * _spread(foreground, radius, outside=0.0)


def _spread(maps: Tensor, radius: int, *, outside: float) -> Tensor:
    """Take the maximum over a square of 2 * radius + 1 pixels, first by rows, then by columns."""
    padded = F.pad(maps, (radius,) * 4, value=outside)
    size = 2 * radius + 1
    rows = F.max_pool2d(padded, kernel_size=(1, size), stride=1)
    return F.max_pool2d(rows, kernel_size=(size, 1), stride=1)


def uncertainty_loss(uncertainty: Tensor, label: Tensor) -> Tensor:
    """Average the cross entropy between the uncertainty map and the band.

    Reference: this resize alone puts the corners on the corners (align_corners), half a cell
    off the other maps at the border; kept because results are compared with it.

    Args:
        uncertainty: Probabilities, (N, 1, g, g) in [0, 1].
        label: Labels in 0..255, (N, H, W).

    Returns:
        The loss, ().
    """
    resized = F.interpolate(
        uncertainty, size=label.shape[-2:], mode="bilinear", align_corners=True
    ).squeeze(1)
    # Interpolation may leave [0, 1] by a rounding error, which the cross entropy refuses.
    return F.binary_cross_entropy(torch.clamp(resized, 0.0, 1.0), uncertainty_target(label))
