"""The base with its pretraining losses: prompts, then clicks where the answer is most wrong."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pasam.models.losses import localised_cross_entropy, promptable_loss
from pasam.training.object_batches import ObjectBatch
from pasam.training.pretrain import WithDetailHead

# Shapes: B images, N prompts, C channels, k points, m = 4g mask pixels a side.

BLUR_FRACTION = 1 / 12
"""Radius, as a fraction of the masks' side, over which errors are gathered before a click."""


class Clickable(WithDetailHead):
    """`tiny` as it is trained, from a batch to losses."""

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
