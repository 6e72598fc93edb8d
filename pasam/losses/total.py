"""The training losses of PA-SAM and HQ-SAM, term by term and in total.

Shapes: N masks, g the grid of image tokens, h the side of the adapter's maps, labels of H x W
pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from pasam.errors import ShapeError
from pasam.losses.mask import bce_loss, dice_loss, selected_bce_loss
from pasam.losses.point_sampled import Draws, draw, uncertain_points, values_at
from pasam.losses.uncertainty import uncertainty_loss

BandLoss = Callable[[Tensor, Tensor], Tensor]
"""From an uncertainty map and labels to a loss."""


def mask_loss(*, masks: Tensor, label: Tensor) -> dict[str, Tensor]:
    """Compute the two terms of the predicted masks alone, and their plain sum.

    Args:
        masks: Logits of the predicted masks, (N, 1, 4g, 4g).
        label: Labels in 0..255 with soft edges, (N, H, W).

    Returns:
        `loss_mask`, `loss_dice` and their sum `loss`, each ().

    Raises:
        ShapeError: Masks and labels do not belong together.
    """
    _require_fit("masks", masks, label)
    with torch.autocast(masks.device.type, enabled=False):
        mask, target = _at_label(masks, label), label.float() / 255
        return total({"loss_mask": bce_loss(mask, target), "loss_dice": dice_loss(mask, target)})


def total(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add `loss`, the plain sum of the terms."""
    return terms | {"loss": torch.stack(list(terms.values())).sum()}


def pa_sam_loss(
    *,
    masks: Tensor,
    coarse: Tensor,
    refined: Tensor,
    uncertainty: Tensor,
    label: Tensor,
    band_loss: BandLoss = uncertainty_loss,
) -> dict[str, Tensor]:
    """Compute PA-SAM's five terms and their plain sum.

    The adapter's own masks learn by pixel: the refined one where the map is uncertain, the
    coarse one elsewhere; that choice carries no gradient. All terms are taken at the label's
    size, in float32 whatever the precision of the prediction.

    Args:
        masks: Logits of the predicted masks, (N, 1, 4g, 4g).
        coarse: Logits by the mask token, (N, 1, h, h).
        refined: Logits by the refined token, (N, 1, h, h).
        uncertainty: Probabilities, (N, 1, h, h) in [0, 1].
        label: Labels in 0..255 with soft edges, (N, H, W).
        band_loss: Loss of the uncertainty map; the reference's weighs all pixels alike.

    Returns:
        `loss_mask`, `loss_dice`, `loss_mask_final`, `loss_dice_final`, `loss_uncertain_map` and
        their sum `loss`, each ().

    Raises:
        ShapeError: Predictions and labels do not belong together.
    """
    for name, maps in (("masks", masks), ("coarse", coarse), ("refined", refined)):
        _require_fit(name, maps, label)
    _require_fit("uncertainty", uncertainty, label)
    with torch.autocast(masks.device.type, enabled=False):
        target = label.float() / 255
        mask, coarse, refined = (_at_label(maps, label) for maps in (masks, coarse, refined))
        unsure = (_at_label(uncertainty.detach(), label) >= 0.5).float()
        sure = 1 - unsure
        return total(
            {
                "loss_mask": bce_loss(mask, target),
                "loss_dice": dice_loss(mask, target),
                "loss_mask_final": selected_bce_loss(coarse, target, sure)
                + selected_bce_loss(refined, target, unsure),
                "loss_dice_final": dice_loss(coarse, target, sure)
                + dice_loss(refined, target, unsure),
                "loss_uncertain_map": band_loss(uncertainty.float(), label),
            }
        )


def hq_sam_loss(
    *,
    masks: Tensor,
    label: Tensor,
    generator: torch.Generator | None = None,
    draws: Draws | None = None,
) -> dict[str, Tensor]:
    """Compute HQ-SAM's two terms at sampled points and their plain sum.

    Args:
        masks: Logits of the high-quality masks, (N, 1, 4g, 4g).
        label: Labels in 0..255 with soft edges, (N, H, W).
        generator: Source of the points; torch's global one when None.
        draws: Uniform draws that are already made, in place of the generator.

    Returns:
        `loss_mask`, `loss_dice` and their sum `loss`, each ().

    Raises:
        ShapeError: Masks and labels do not belong together.
    """
    _require_fit("masks", masks, label)
    with torch.autocast(masks.device.type, enabled=False):
        masks = masks.float()
        if draws is None:
            draws = draw(len(masks), generator=generator, device=masks.device)
        points = uncertain_points(masks, draws)
        logits = values_at(masks, points)
        target = values_at(label.unsqueeze(1).float() / 255, points)
        return total(
            {"loss_mask": bce_loss(logits, target), "loss_dice": dice_loss(logits, target)}
        )


def _at_label(maps: Tensor, label: Tensor) -> Tensor:
    """Resize (N, 1, h, w) maps to the label's size, (N, H, W)."""
    size = label.shape[-2:]
    resized = F.interpolate(maps.float(), size=size, mode="bilinear", align_corners=False)
    return resized.squeeze(1)


def _require_fit(name: str, maps: Tensor, label: Tensor) -> None:
    if label.dim() != 3 or maps.dim() != 4 or maps.shape[:2] != (len(label), 1):
        raise ShapeError(
            f"{name} must be (N, 1, h, w) and label (N, H, W) with the same N; "
            f"got {tuple(maps.shape)} and {tuple(label.shape)}."
        )
