"""What the adapters learn from: the losses of each model, chosen by its params, and one step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pasam.config.schema import CrossEntropyMean, HqSamParams, PaSamParams, VariantParams
from pasam.models.losses import (
    BandLoss,
    PixelLoss,
    balanced_uncertainty_loss,
    bce_loss,
    hq_sam_loss,
    iou_head_loss,
    keep_loss,
    mask_loss,
    object_bce_loss,
    outline_loss,
    pa_sam_loss,
    uncertainty_loss,
)
from pasam.models.prompt_adapter import MiningMode
from pasam.models.segmenter import Prediction, Segmenter
from pasam.training.samples import Batch

Objective = Callable[[Prediction, Tensor, torch.Generator], dict[str, Tensor]]
"""From a prediction, its labels and a source of noise to scalar terms; `loss` is minimised."""

BAND_LOSSES: dict[str, BandLoss] = {
    "plain": uncertainty_loss,
    "balanced": balanced_uncertainty_loss,
}


PIXEL_LOSSES: dict[CrossEntropyMean, PixelLoss] = {"image": bce_loss, "object": object_bce_loss}


def objective_of(variant: VariantParams, *, cross_entropy: CrossEntropyMean = "image") -> Objective:
    """Choose what a model is trained on.

    Args:
        variant: The model: HQ-SAM learns at sampled points; PA-SAM learns its masks and, if it
            has them, its adapter's maps and its IoU head; the image adapter its masks.
        cross_entropy: What the masks' cross entropy is averaged over.
    """
    if isinstance(variant, HqSamParams):
        return _sampled
    pixel_loss = PIXEL_LOSSES[cross_entropy]
    if not isinstance(variant, PaSamParams):
        return _masks(pixel_loss)
    objective = _with_maps(BAND_LOSSES[variant.uncertainty_loss], pixel_loss)
    objective = objective if variant.adapter.tokens else _masks(pixel_loss)
    return _with_quality(objective) if variant.iou_head == "trained" else objective


def _sampled(
    prediction: Prediction, labels: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    return hq_sam_loss(masks=prediction.masks, label=labels, generator=generator)


def _masks(pixel_loss: PixelLoss) -> Objective:
    def objective(
        prediction: Prediction, labels: Tensor, _generator: torch.Generator
    ) -> dict[str, Tensor]:
        return mask_loss(masks=prediction.masks, label=labels, pixel_loss=pixel_loss)

    return objective


def _with_maps(band_loss: BandLoss, pixel_loss: PixelLoss) -> Objective:
    def objective(
        prediction: Prediction, labels: Tensor, _generator: torch.Generator
    ) -> dict[str, Tensor]:
        details = prediction.details
        assert details is not None, "a model with both tokens predicts their maps"
        return pa_sam_loss(
            masks=prediction.masks,
            coarse=details.coarse,
            refined=details.refined,
            uncertainty=details.uncertainty,
            label=labels,
            band_loss=band_loss,
            pixel_loss=pixel_loss,
        )

    return objective


def _with_quality(objective: Objective) -> Objective:
    def with_quality(
        prediction: Prediction, labels: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        terms = objective(prediction, labels, generator)
        quality = iou_head_loss(prediction.iou, prediction.masks, labels)
        return {**terms, "loss_quality": quality, "loss": terms["loss"] + quality}

    return with_quality


class TrainingStep(nn.Module):
    """A segmenter and its losses, from a batch to scalar terms.

    Args:
        segmenter: What is trained.
        variant: Which model it is; decides the losses and the mining.
        cross_entropy: What the masks' cross entropy is averaged over.
        outline: Weight of `outline_loss`; 0 computes none.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        variant: VariantParams,
        *,
        cross_entropy: CrossEntropyMean = "image",
        outline: float = 0.0,
    ) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.variant = variant
        self.objective = objective_of(variant, cross_entropy=cross_entropy)
        self.outline = outline
        self.keeps = variant.keep_sam if isinstance(variant, PaSamParams) else 0.0

    def forward(
        self, batch: Batch, *, mining: MiningMode, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the loss terms of a batch; `loss` is what is minimised."""
        encoded = batch.encoded()
        if encoded is None and self.keeps:  # once, for both decoders
            with torch.no_grad():
                encoded = self.segmenter.base.encode(batch.images)
        asked = {"images": batch.images, "encoded": encoded, "image_index": batch.image_index}
        prediction = self.segmenter(
            **asked, prompts=batch.prompts, edges=batch.edges, mining=mining, generator=generator
        )
        terms = self.objective(prediction, batch.labels, generator)
        if self.outline:
            near = self.outline * outline_loss(prediction.masks, batch.labels)
            terms = {**terms, "loss_outline": near, "loss": terms["loss"] + near}
        if not self.keeps:
            return terms
        base = self.segmenter.base
        with torch.no_grad():
            plain = Segmenter(base=base, decoder=base.sam.mask_decoder)
            sam = plain(**asked, prompts=batch.prompts).masks
        kept = self.keeps * keep_loss(prediction.masks, sam, batch.labels)
        return {**terms, "loss_keep": kept, "loss": terms["loss"] + kept}

    def mining_in(self, epoch: int) -> MiningMode:
        """Say how hard points are mined in an epoch of training."""
        if not isinstance(self.variant, PaSamParams):
            return "none"
        mining = self.variant.mining
        return mining.method if epoch >= mining.from_epoch else "none"
