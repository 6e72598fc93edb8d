"""The loss the small base is pretrained with: SAM's scheme, made to learn from scratch.

As in Segment Anything (arXiv 2304.02643, appendix A) the best of three candidate masks carries the
gradient and the quality head regresses the masks' IoU. SAM's focal term, at a batch of a few
images, drives an untrained decoder to empty masks and holds it there (measured: IoU 0.00 after 250
steps); a cross entropy in which object and ground count alike does not (0.20 after 60).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

# Shapes: N prompts, M masks per prompt, m mask pixels a side.

DICE_WEIGHT = 2.0
"""Dice sets the threshold right that a balanced cross entropy alone would set too low."""

NEIGHBOURHOOD = 4.0
"""Area of an object's neighbourhood in the localised cross entropy, in areas of its box."""
LARGEST_RATIO = 32.0
"""Most that the neighbourhood may be smaller than the image."""

CrossEntropy = Callable[[Tensor, Tensor], Tensor]
"""From mask logits (N, M, m, m) and masks (N, 1, m, m) to one loss per mask, (N, M)."""


def balanced_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy of every mask, its mean over the object plus its mean over the ground.

    Args:
        logits: Mask logits, (N, M, m, m).
        target: Masks, 0 or 1, (N, 1, m, m).

    Returns:
        One loss per mask, (N, M).
    """
    each = F.binary_cross_entropy_with_logits(logits, target.expand_as(logits), reduction="none")
    size = target.flatten(2).sum(-1)
    inside = (each * target).flatten(2).sum(-1)
    outside = each.flatten(2).sum(-1) - inside
    rest = target.shape[-1] * target.shape[-2] - size
    return inside / size.clamp(min=1) + outside / rest.clamp(min=1)


def localised_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy of every mask, its sum over all pixels per pixel of the object's neighbourhood.

    Object and ground count alike pixel by pixel, so that no mask gains by growing: balanced as
    above, a ground of 16,000 pixels lets the mask of a small object leak a few times its size for
    nothing. The neighbourhood is four times the object's box: a mean over the whole image would
    forget small objects instead.

    Args:
        logits: Mask logits, (N, M, m, m).
        target: Masks, 0 or 1, (N, 1, m, m).

    Returns:
        One loss per mask, (N, M).
    """
    each = F.binary_cross_entropy_with_logits(logits, target.expand_as(logits), reduction="none")
    rows, columns = target.amax(dim=3).sum(-1), target.amax(dim=2).sum(-1)  # (N, 1)
    pixels = target.shape[-1] * target.shape[-2]
    around = (NEIGHBOURHOOD * rows * columns).clamp(pixels / LARGEST_RATIO, pixels)
    return each.flatten(2).sum(-1) / around


def soft_dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Dice loss of every mask: 1 - (2 |p t| + 1) / (|p| + |t| + 1), (N, M)."""
    probability = logits.sigmoid().flatten(2)
    target = target.expand_as(logits).flatten(2)
    overlap = 2 * (probability * target).sum(-1) + 1
    return 1 - overlap / (probability.sum(-1) + target.sum(-1) + 1)


def promptable_loss(
    masks: Tensor,
    quality: Tensor,
    target: Tensor,
    *,
    ambiguous: bool,
    cross_entropy: CrossEntropy = balanced_cross_entropy,
) -> dict[str, Tensor]:
    """Score SAM's masks of every prompt.

    Mask 0, the answer to a clear prompt, always learns. Masks 1 to 3 are candidate answers to an
    ambiguous one, of which only the best learns.

    Args:
        masks: Mask logits, (N, 4, m, m).
        quality: Predicted IoU of each mask, (N, 4).
        target: Masks, 0 or 1, (N, m, m).
        ambiguous: Whether the prompts leave open what is meant (points do, boxes do not).
        cross_entropy: Which one.

    Returns:
        Scalar terms `loss_single`, `loss_candidates`, `loss_quality`, their sum `loss`, and the
        mean `iou` of mask 0.
    """
    judged = slice(0, 4 if ambiguous else 1)
    masks, quality, target = masks[:, judged], quality[:, judged], target.unsqueeze(1)
    per_mask = cross_entropy(masks, target) + DICE_WEIGHT * soft_dice_loss(masks, target)
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
