"""A loss of the masks' overlap and of the band round their outlines, which no reference has."""

# Shapes: N masks, g the grid of image tokens, labels of H x W pixels in 0..255 with soft edges.

from __future__ import annotations

import math

import torch
from torch import Tensor

from pasam.models.losses import at_label, band, dice_loss, require_fit, selected_bce_loss

OUTLINE_FRACTION = 0.017
"""Half width of the band round the outline that `outline_loss` counts once more, as a share of the
image diagonal; boundary IoU is measured in one of 0.02."""


def outline_loss(masks: Tensor, label: Tensor) -> Tensor:
    """Count once more how far masks overlap their objects, as a whole and round the outline.

    A cross entropy says little of either: a few pixels decide about an outline, and of a large
    object's or a thin one's overlap it knows nothing.

    Args:
        masks: Logits of the predicted masks, (N, 1, 4g, 4g).
        label: Labels in 0..255 with soft edges, (N, H, W).

    Returns:
        The loss, (): dice, dice within the band, and half the cross entropy within the band.

    Raises:
        ShapeError: Masks and labels do not belong together.
    """
    require_fit("masks", masks, label)
    with torch.autocast(masks.device.type, enabled=False):
        mask, target = at_label(masks, label), label.float() / 255
        near = band(label, max(1, round(OUTLINE_FRACTION * math.hypot(*label.shape[-2:]))))
        within = dice_loss(mask, target, near) + 0.5 * selected_bce_loss(mask, target, near)
        return dice_loss(mask, target) + within
