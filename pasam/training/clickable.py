"""The base with its pretraining losses: prompts, then clicks where the answer is most wrong."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pasam.losses.promptable import localised_cross_entropy, promptable_loss
from pasam.modeling.base_sam import BaseSam
from pasam.modeling.input_side import at_side
from pasam.modeling.sam_mask_decoder import SamMaskDecoder
from pasam.training.object_batches import ObjectBatch

# Shapes: B images, N prompts, C channels, k points, m = 4g mask pixels a side.

BLUR_SHARE = 1 / 12
"""Radius, as a share of the masks' side, over which errors are gathered before a click."""


class Clickable(nn.Module):
    """The base and its detail head, from a batch to losses.

    The detail head, thrown away afterwards, makes the features keep what coarse masks would let
    them forget: from every grid cell it must say the cell's pixels and fine masks.

    Args:
        base: The SAM to train.
        detail_weight: Weight of the detail head's loss.
    """

    def __init__(self, base: BaseSam, *, detail_weight: float) -> None:
        super().__init__()
        self.base = base
        self.detail_weight = detail_weight
        self.detail_head = nn.Conv2d(base.dim, 4 * 16, kernel_size=1)

    def forward(self, batch: ObjectBatch) -> dict[str, Tensor]:
        """Return the scalar loss terms of a batch; `loss` is what is minimised."""
        embedding = self.base.encode(batch.images).embedding
        points, boxes = batch.points, batch.boxes
        labels = None if points is None else points.new_ones(points.shape[:2])
        masks = None
        for _ in range(batch.rounds):
            with torch.no_grad():
                logits, _ = self._masks(embedding, batch.image_index, points, labels, boxes, masks)
            answer = logits[:, 0].float()
            click, sign = worst_click(answer, batch.targets, side=self.base.side)
            points = click if points is None else torch.cat([points, click], dim=1)
            labels = sign if labels is None else torch.cat([labels, sign], dim=1)
            masks = answer.unsqueeze(1) if batch.feedback else None
        logits, quality = self._masks(embedding, batch.image_index, points, labels, boxes, masks)
        ambiguous = boxes is None and batch.rounds == 0
        terms = promptable_loss(
            logits.float(),
            quality.float(),
            batch.targets,
            ambiguous=ambiguous,
            cross_entropy=localised_cross_entropy,
        )
        detail = F.pixel_shuffle(self.detail_head(embedding), 4).float()  # (B, 4, m, m)
        colour = F.l1_loss(detail[:, :3], batch.detail[:, :3])
        outline = F.binary_cross_entropy_with_logits(detail[:, 3], batch.detail[:, 3])
        terms["loss_detail"] = colour + outline
        terms["loss"] = terms["loss"] + self.detail_weight * terms["loss_detail"]
        return terms

    def at_side(self, side: int) -> Clickable:
        """Copy the model for another input side in pixels."""
        other = copy.deepcopy(self)
        other.base = at_side(self.base, side)
        return other

    def _masks(
        self,
        embedding: Tensor,
        image_index: Tensor,
        points: Tensor | None,
        labels: Tensor | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        sparse, dense = self.base.embed_prompts(
            points=points, point_labels=labels, boxes=boxes, masks=masks
        )
        decoder: SamMaskDecoder = self.base.sam.mask_decoder
        return decoder.decode(
            image_embeddings=embedding,
            image_pe=self.base.image_pe(),
            sparse=sparse,
            dense=dense,
            image_index=image_index,
        )


def worst_click(logits: Tensor, targets: Tensor, *, side: int) -> tuple[Tensor, Tensor]:
    """Click where errors are thickest, as a user does.

    Args:
        logits: Answers, (N, m, m).
        targets: Masks, 0 or 1, (N, m, m).
        side: Input side in pixels.

    Returns:
        One click per mask in input pixels, (N, 1, 2), and whether it lies on the object, (N, 1).
    """
    wanted = targets > 0.5
    wrong = ((logits > 0) != wanted).float()
    cells = logits.shape[-1]
    radius = max(1, round(BLUR_SHARE * cells))
    kernel = 2 * radius + 1
    # Missed and surplus parts are gathered apart: a click says one or the other.
    around = [
        F.avg_pool2d((wrong * kind)[:, None], kernel, stride=1, padding=radius)[:, 0]
        for kind in (wanted.float(), (~wanted).float())
    ]
    missed, surplus = around
    thick = torch.where(wanted, missed, surplus) + 1e-3
    worst = (wrong * thick).flatten(1).argmax(dim=1)
    place = torch.stack([worst % cells, worst // cells], dim=1).float()
    click = ((place + 0.5) * (side / cells) - 0.5).unsqueeze(1)
    return click, wanted.flatten(1).gather(1, worst[:, None]).float()
