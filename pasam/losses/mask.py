"""Cross entropy and dice between mask logits and a soft label, on all pixels or on chosen ones.

Shapes: N masks; "..." is any shape of pixels, the same for all arguments.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def bce_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Average the binary cross entropy over all pixels and masks.

    Args:
        logits: Mask logits, (N, ...).
        target: Label in [0, 1], soft edges allowed, (N, ...).

    Returns:
        The loss, ().
    """
    return F.binary_cross_entropy_with_logits(logits, target)


def selected_bce_loss(logits: Tensor, target: Tensor, selected: Tensor) -> Tensor:
    """Average the binary cross entropy over the selected pixels of each mask, then over masks.

    Args:
        logits: Mask logits, (N, ...).
        target: Label in [0, 1], (N, ...).
        selected: 1 on pixels that count and 0 on the others, (N, ...).

    Returns:
        The loss, (); a mask without selected pixels counts as 0.
    """
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none") * selected
    return (loss.flatten(1).sum(1) / (selected.flatten(1).sum(1) + 1e-8)).mean()


def dice_loss(logits: Tensor, target: Tensor, selected: Tensor | None = None) -> Tensor:
    """Average 1 - dice over masks, smoothed by one pixel.

    Args:
        logits: Mask logits, (N, ...).
        target: Label in [0, 1], (N, ...).
        selected: 1 on pixels that count and 0 on the others, (N, ...); None counts all.

    Returns:
        The loss, (), in [0, 1); a mask without selected pixels counts as 0.
    """
    probability = logits.sigmoid()
    if selected is not None:
        probability, target = probability * selected, target * selected
    overlap = (probability * target).flatten(1).sum(1)
    total = probability.flatten(1).sum(1) + target.flatten(1).sum(1)
    return (1 - (2 * overlap + 1) / (total + 1)).mean()
