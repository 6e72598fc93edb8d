"""The loss SAM itself is trained with: focal and dice on its masks, squared error on its quality.

Segment Anything (arXiv 2304.02643), appendix A: focal to dice 20 : 1, the best of three candidate
masks carries the gradient, the quality head regresses the masks' IoU.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Shapes: N prompts, M masks per prompt, m mask pixels a side.

FOCAL_WEIGHT = 20.0


def focal_loss(logits: Tensor, target: Tensor, *, alpha: float = 0.25) -> Tensor:
    """Focal loss (arXiv 1708.02002, gamma 2) of every mask, averaged over its pixels.

    Args:
        logits: Mask logits, (N, M, m, m).
        target: Masks, 0 or 1, (N, 1, m, m).
        alpha: Weight of the foreground in [0, 1]; the background gets 1 - alpha.

    Returns:
        One loss per mask, (N, M).
    """
    target = target.expand_as(logits)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    wrong = 1 - torch.exp(-cross_entropy)  # probability of the other class
    weight = (1 - alpha) + (2 * alpha - 1) * target
    return (weight * wrong * wrong * cross_entropy).flatten(2).mean(-1)


def soft_dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Dice loss of every mask: 1 - (2 |p t| + 1) / (|p| + |t| + 1), (N, M)."""
    probability = logits.sigmoid().flatten(2)
    target = target.expand_as(logits).flatten(2)
    overlap = 2 * (probability * target).sum(-1) + 1
    return 1 - overlap / (probability.sum(-1) + target.sum(-1) + 1)


def promptable_loss(
    masks: Tensor, quality: Tensor, target: Tensor, *, ambiguous: bool
) -> dict[str, Tensor]:
    """Score SAM's masks of every prompt.

    Mask 0, the answer to a clear prompt, always learns. Masks 1 to 3 are candidate answers to an
    ambiguous one, of which only the best learns.

    Args:
        masks: Mask logits, (N, 4, m, m).
        quality: Predicted IoU of each mask, (N, 4).
        target: Masks, 0 or 1, (N, m, m).
        ambiguous: Whether the prompts leave open what is meant (points do, boxes do not).

    Returns:
        Scalar terms `loss_single`, `loss_candidates`, `loss_quality`, their sum `loss`, and the
        mean `iou` of mask 0.
    """
    judged = slice(0, 4 if ambiguous else 1)
    masks, quality, target = masks[:, judged], quality[:, judged], target.unsqueeze(1)
    per_mask = FOCAL_WEIGHT * focal_loss(masks, target) + soft_dice_loss(masks, target)
    single = per_mask[:, 0].mean()
    candidates = per_mask[:, 1:].min(dim=1).values.mean() if ambiguous else torch.zeros_like(single)
    with torch.no_grad():
        found, wanted = masks > 0, (target > 0.5).expand_as(masks)
        union = (found | wanted).flatten(2).sum(-1)
        iou = (found & wanted).flatten(2).sum(-1) / union.clamp(min=1)
    regression = F.mse_loss(quality, iou)
    return {
        "loss": single + candidates + regression,
        "loss_single": single,
        "loss_candidates": candidates,
        "loss_quality": regression,
        "iou": iou[:, 0].mean(),
    }
