"""The base with its pretraining losses: prompts, then clicks where the answer is most wrong."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pasam.models.base_sam import BaseSam
from pasam.models.encoders.lite import at_side
from pasam.models.losses import localised_cross_entropy, promptable_loss
from pasam.models.sam_mask_decoder import SamMaskDecoder
from pasam.training.object_batches import ObjectBatch

# Shapes: B images, N prompts, C channels, g grid cells, k points, m = 4g mask pixels a side.

BLUR_FRACTION = 1 / 12
"""Radius, as a fraction of the masks' side, over which errors are gathered before a click."""


class Clickable(nn.Module):
    """`tiny` as it is trained, from a batch to losses, with a head that is thrown away afterwards.

    The detail head makes the features keep what the coarse masks would let them forget: from every
    grid cell it must say the cell's pixels and fine masks.

    Args:
        base: The SAM to train.
        detail_weight: Weight of the detail head's loss.

    Raises:
        ParamsError: Its encoder computes in a precision in which it cannot learn.
    """

    def __init__(self, base: BaseSam, *, detail_weight: float) -> None:
        super().__init__()
        base.expect_exact("training the base itself")
        self.base = base
        self.detail_weight = detail_weight
        self.detail_head = nn.Conv2d(base.dim, 4 * 16, kernel_size=1)

    def at_side(self, side: int) -> Self:
        """Copy the model for another input side in pixels."""
        other = copy.deepcopy(self)
        other.base = at_side(self.base, side)
        return other

    def with_detail(
        self, terms: dict[str, Tensor], embedding: Tensor, wanted: Tensor
    ) -> dict[str, Tensor]:
        """Add the detail head's loss to a batch's terms.

        Args:
            terms: Scalar terms, with their sum `loss`.
            embedding: Image embeddings, (B, C, g, g).
            wanted: RGB and the union of the fine masks in [0, 1], (B, 4, m, m).
        """
        detail = F.pixel_shuffle(self.detail_head(embedding), 4).float()  # (B, 4, m, m)
        colour = F.l1_loss(detail[:, :3], wanted[:, :3])
        outline = F.binary_cross_entropy_with_logits(detail[:, 3], wanted[:, 3])
        loss = colour + outline
        return {**terms, "loss_detail": loss, "loss": terms["loss"] + self.detail_weight * loss}

    def predict(
        self, embedding: Tensor, image_index: Tensor, prompt: Mapping[str, Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        """Predict SAM's four masks, (N, 4, m, m) logits, and their qualities, (N, 4)."""
        sparse, dense = self.base.embed_prompts(**prompt)
        decoder: SamMaskDecoder = self.base.sam.mask_decoder
        return decoder.decode(
            image_embeddings=embedding,
            image_pe=self.base.image_pe(),
            sparse=sparse,
            dense=dense,
            image_index=image_index,
        )

    def forward(self, batch: ObjectBatch) -> dict[str, Tensor]:
        """Return the scalar loss terms of a batch; `loss` is what is minimised."""
        embedding = self.base.encode(batch.images).embedding
        points, boxes = batch.points, batch.boxes
        labels = None if points is None else points.new_ones(points.shape[:2])
        prompt = {"points": points, "point_labels": labels, "boxes": boxes}
        for _ in range(batch.rounds):
            with torch.no_grad():
                logits, _ = self.predict(embedding, batch.image_index, prompt)
            answer = logits[:, 0].float()
            click, sign = worst_click(answer, batch.targets, side=self.base.side)
            points = click if points is None else torch.cat([points, click], dim=1)
            labels = sign if labels is None else torch.cat([labels, sign], dim=1)
            prompt |= {"points": points, "point_labels": labels}
            prompt |= {"masks": answer.unsqueeze(1)} if batch.feedback else {}
        logits, quality = self.predict(embedding, batch.image_index, prompt)
        terms = promptable_loss(
            logits.float(),
            quality.float(),
            batch.targets,
            ambiguous=boxes is None and batch.rounds == 0,
            cross_entropy=localised_cross_entropy,
        )
        return self.with_detail(terms, embedding, batch.detail)


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
    radius = max(1, round(BLUR_FRACTION * cells))
    # Missed and surplus parts are gathered apart: a click says one or the other.
    missed, surplus = (_around(wrong * kind.float(), radius) for kind in (wanted, ~wanted))
    thick = torch.where(wanted, missed, surplus) + 1e-3
    worst = (wrong * thick).flatten(1).argmax(dim=1)
    place = torch.stack([worst % cells, worst // cells], dim=1).float()
    click = ((place + 0.5) * (side / cells) - 0.5).unsqueeze(1)
    return click, wanted.flatten(1).gather(1, worst[:, None]).float()


def _around(values: Tensor, radius: int) -> Tensor:
    """Average the square round every cell, (N, m, m), along one side after the other."""
    kernel = 2 * radius + 1
    lines = F.avg_pool2d(values[:, None], (kernel, 1), stride=1, padding=(radius, 0))
    return F.avg_pool2d(lines, (1, kernel), stride=1, padding=(0, radius))[:, 0]
