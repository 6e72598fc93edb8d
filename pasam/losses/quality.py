"""The quality head's loss: how far the predicted IoU is from the mask's own.

Shapes: N masks, g the grid of image tokens, labels of H x W pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FOREGROUND = 128
"""Label value above which a pixel is foreground, as the metrics have it."""


def quality_loss(iou: Tensor, masks: Tensor, label: Tensor) -> Tensor:
    """Average the squared error of predicted IoUs.

    SAM trains its head so (Segment Anything, appendix A). The masks receive no gradient.

    Args:
        iou: Predicted IoU of each mask, (N, 1).
        masks: Logits of the masks, (N, 1, 4g, 4g).
        label: Labels in 0..255, (N, H, W).

    Returns:
        The loss, ().
    """
    with torch.no_grad():
        size = label.shape[-2:]
        found = F.interpolate(masks.float(), size=size, mode="bilinear", align_corners=False) > 0
        found, wanted = found.squeeze(1), label > FOREGROUND
        union = (found | wanted).flatten(1).sum(1)
        actual = (found & wanted).flatten(1).sum(1) / union.clamp(min=1)
    return F.mse_loss(iou.float().squeeze(1), actual)
