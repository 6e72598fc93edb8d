"""The training losses of PA-SAM, HQ-SAM and the small base, term by term and in total."""

# Shapes: N masks, M candidates of each, g the grid of image tokens, h the side of the adapter's
# maps, labels of H x W pixels in 0..255 with soft edges, P points x, y in [0, 1]; "..." is any
# shape of pixels, the same for all arguments.

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pasam.errors import ShapeError
from pasam.masks.images import FOREGROUND
from pasam.models.map_values import (
    PointDraws,
    at_label,
    draw,
    resized_to,
    uncertain_points,
    values_at,
)
from pasam.models.prompt_adapter import UNSURE


def bce_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Average the binary cross entropy over all pixels and masks.

    Args:
        logits: Mask logits, (N, ...).
        target: Label in [0, 1], soft edges allowed, (N, ...).

    Returns:
        The loss, ().
    """
    return F.binary_cross_entropy_with_logits(logits, target)


def object_bce_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Average the binary cross entropy over each object's neighbourhood, then over masks.

    A mean over the image forgets small objects: all of them together are a few of its pixels.

    Args:
        logits: Mask logits, (N, H, W).
        target: Label in [0, 1], soft edges allowed, (N, H, W).

    Returns:
        The loss, (); see `localised_cross_entropy`.
    """
    return localised_cross_entropy(logits.unsqueeze(1), target.unsqueeze(1)).mean()


PixelLoss = Callable[[Tensor, Tensor], Tensor]
"""From mask logits and labels in [0, 1], (N, H, W) each, to a loss, ()."""


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


def iou_head_loss(iou: Tensor, masks: Tensor, label: Tensor) -> Tensor:
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


def keep_loss(masks: Tensor, sam: Tensor, label: Tensor) -> Tensor:
    """Hold masks to SAM's where SAM is right, away from the outline.

    There is nothing to be won at such a pixel, so that whatever a decoder changes there it has
    learnt about the training images and not about the object.

    Args:
        masks: Logits of the masks that learn, (N, 1, 4g, 4g).
        sam: Logits of SAM's own for the same prompts, (N, 1, 4g, 4g); no gradient reaches them.
        label: Labels in 0..255 with soft edges, (N, H, W).

    Returns:
        The loss, (): the cross entropy against SAM's probabilities less their entropy, averaged
        over such pixels of each mask, then over masks; 0 where the masks are SAM's.

    Raises:
        ShapeError: Masks and labels do not belong together.
    """
    require_fit("masks", masks, label)
    with torch.autocast(masks.device.type, enabled=False):
        logits, before = masks.float().squeeze(1), sam.detach().float().squeeze(1)
        size = (logits.shape[-2], logits.shape[-1])
        near = F.adaptive_max_pool2d(uncertainty_target(label), size)
        truth = F.adaptive_avg_pool2d((label >= BAND_FOREGROUND).float(), size) > 0.5
        kept = (1 - near) * ((before > 0) == truth)
        aim = before.sigmoid()
        least = selected_bce_loss(before, aim, kept)
        return selected_bce_loss(logits, aim, kept) - least


# The uncertainty map's target, a band round the object's contour, and its loss.

BAND_FRACTION = 0.005
"""Half width of the band as a share of the image diagonal."""
BAND_FOREGROUND = FOREGROUND
"""Label value from which a pixel is foreground here; boxes and metrics ask for more than 128."""


def band_radius(height: int, width: int, fraction: float = BAND_FRACTION) -> int:
    """Return the half width of a band in pixels, at least 1."""
    return max(1, round(fraction * math.hypot(height, width)))


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
    return band(label, band_radius(*label.shape[-2:]))


def band(label: Tensor, radius: int) -> Tensor:
    """Mark the pixels that have the other class within a radius, (N, H, W)."""
    if label.device.type == "cpu":
        return torch.stack([_eroded_band(one, radius) for one in label])
    return pooled_band(label, radius)


def pooled_band(label: Tensor, radius: int) -> Tensor:
    """Do on any device what `uncertainty_target` asks of OpenCV on a CPU, (N, H, W)."""
    foreground = (label >= BAND_FOREGROUND).float()
    background = 1 - foreground
    uncertain_foreground = foreground * _spread(background, radius, outside=1.0)
    return uncertain_foreground + background * _spread(foreground, radius, outside=0.0)


def _eroded_band(label: Tensor, radius: int) -> Tensor:
    """Mark one label's band, (H, W), by OpenCV: on a CPU fifty times as fast as by pooling."""
    foreground = (label >= BAND_FOREGROUND).numpy().astype(np.uint8)
    square = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    # Outside the image there is background to the foreground, and no foreground to the background.
    inner = cv2.erode(foreground, square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    outer = cv2.dilate(foreground, square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return torch.from_numpy((outer - inner).astype(np.float32))


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
    return F.binary_cross_entropy(_map_at_label(uncertainty, label), uncertainty_target(label))


def balanced_uncertainty_loss(uncertainty: Tensor, label: Tensor) -> Tensor:
    """Average the cross entropy such that the band and the rest count alike in every mask.

    Args:
        uncertainty: Probabilities, (N, 1, h, h) in [0, 1].
        label: Labels in 0..255, (N, H, W).

    Returns:
        The loss, (): half the mean over the band plus half the mean over the rest.
    """
    target = uncertainty_target(label)
    each = F.binary_cross_entropy(_map_at_label(uncertainty, label), target, reduction="none")
    band = (each * target).flatten(1).sum(1) / target.flatten(1).sum(1).clamp(min=1)
    rest = (each * (1 - target)).flatten(1).sum(1) / (1 - target).flatten(1).sum(1).clamp(min=1)
    return 0.5 * (band + rest).mean()


def _map_at_label(uncertainty: Tensor, label: Tensor) -> Tensor:
    """Resize the map to the label's size.

    Reference: this resize alone puts the corners on the corners (align_corners), half a cell
    off the other maps at the border; kept because results are compared with it.
    """
    resized = resized_to(uncertainty, label, align_corners=True)
    # Interpolation may leave [0, 1] by a rounding error, which the cross entropy refuses.
    return torch.clamp(resized, 0.0, 1.0)


BandLoss = Callable[[Tensor, Tensor], Tensor]
"""From an uncertainty map and labels to a loss."""


def mask_loss(
    *, masks: Tensor, label: Tensor, pixel_loss: PixelLoss = bce_loss
) -> dict[str, Tensor]:
    """Compute the two terms of the predicted masks alone, and their plain sum.

    Args:
        masks: Logits of the predicted masks, (N, 1, 4g, 4g).
        label: Labels in 0..255 with soft edges, (N, H, W).
        pixel_loss: The cross entropy `loss_mask`.

    Returns:
        `loss_mask`, `loss_dice` and their sum `loss`, each ().

    Raises:
        ShapeError: Masks and labels do not belong together.
    """
    require_fit("masks", masks, label)
    with torch.autocast(masks.device.type, enabled=False):
        mask, target = at_label(masks, label), label.float() / 255
        return total({"loss_mask": pixel_loss(mask, target), "loss_dice": dice_loss(mask, target)})


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
    pixel_loss: PixelLoss = bce_loss,
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
        pixel_loss: The cross entropy `loss_mask`; the reference's is a mean over the image.

    Returns:
        `loss_mask`, `loss_dice`, `loss_mask_final`, `loss_dice_final`, `loss_uncertain_map` and
        their sum `loss`, each ().

    Raises:
        ShapeError: Predictions and labels do not belong together.
    """
    for name, maps in (("masks", masks), ("coarse", coarse), ("refined", refined)):
        require_fit(name, maps, label)
    require_fit("uncertainty", uncertainty, label)
    with torch.autocast(masks.device.type, enabled=False):
        target = label.float() / 255
        mask, coarse, refined = (at_label(maps, label) for maps in (masks, coarse, refined))
        unsure = (at_label(uncertainty.detach(), label) >= UNSURE).float()
        sure = 1 - unsure
        return total(
            {
                "loss_mask": pixel_loss(mask, target),
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
    draws: PointDraws | None = None,
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
    require_fit("masks", masks, label)
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


def require_fit(name: str, maps: Tensor, label: Tensor) -> None:
    """Require that maps, (N, 1, h, w), and labels, (N, H, W), belong together.

    Raises:
        ShapeError: They do not.
    """
    if label.dim() != 3 or maps.dim() != 4 or maps.shape[:2] != (len(label), 1):
        raise ShapeError(
            f"{name} must be (N, 1, h, w) and label (N, H, W) with the same N; "
            f"got {tuple(maps.shape)} and {tuple(label.shape)}."
        )


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
        height, width = label.shape[-2:]
        near = band(label, band_radius(height, width, OUTLINE_FRACTION))
        within = dice_loss(mask, target, near) + 0.5 * selected_bce_loss(mask, target, near)
        return dice_loss(mask, target) + within


# The small base is pretrained by SAM's scheme (arXiv 2304.02643, appendix A): the best of three
# candidate masks carries the gradient and the IoU head regresses the masks' IoU. SAM's focal term,
# at a batch of a few images, drives an untrained decoder to empty masks and holds it there
# (measured: IoU 0.00 after 250 steps); a cross entropy in which object and ground count alike does
# not (0.20 after 60).

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
    nothing. The neighbourhood is four times the rows by the columns that hold some of the object,
    its box unless gaps part it: a mean over the whole image would forget small objects instead.

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
