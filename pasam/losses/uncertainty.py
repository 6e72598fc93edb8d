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

    The band is a few per cent of the pixels, so that most of the loss is the certain rest's. The
    reference computes weights against that and does not use them.

    Args:
        uncertainty: Probabilities, (N, 1, h, h) in [0, 1].
        label: Labels in 0..255, (N, H, W).

    Returns:
        The loss, ().
    """
    return F.binary_cross_entropy(_at_label(uncertainty, label), uncertainty_target(label))


def balanced_uncertainty_loss(uncertainty: Tensor, label: Tensor) -> Tensor:
    """Average the cross entropy such that the band and the rest count alike in every mask.

    Args:
        uncertainty: Probabilities, (N, 1, h, h) in [0, 1].
        label: Labels in 0..255, (N, H, W).

    Returns:
        The loss, (): half the mean over the band plus half the mean over the rest.
    """
    target = uncertainty_target(label)
    each = F.binary_cross_entropy(_at_label(uncertainty, label), target, reduction="none")
    band = (each * target).flatten(1).sum(1) / target.flatten(1).sum(1).clamp(min=1)
    rest = (each * (1 - target)).flatten(1).sum(1) / (1 - target).flatten(1).sum(1).clamp(min=1)
    return 0.5 * (band + rest).mean()


def _at_label(uncertainty: Tensor, label: Tensor) -> Tensor:
    """Resize the map to the label's size.

    Reference: this resize alone puts the corners on the corners (align_corners), half a cell
    off the other maps at the border; kept because results are compared with it.
    """
    resized = F.interpolate(
        uncertainty, size=label.shape[-2:], mode="bilinear", align_corners=True
    ).squeeze(1)
    # Interpolation may leave [0, 1] by a rounding error, which the cross entropy refuses.
    return torch.clamp(resized, 0.0, 1.0)
