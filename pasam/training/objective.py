"""What a model is trained on: the loss terms of a prediction, chosen by the model's params."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pasam.losses.quality import quality_loss
from pasam.losses.total import BandLoss, hq_sam_loss, mask_loss, pa_sam_loss
from pasam.losses.uncertainty import balanced_uncertainty_loss, uncertainty_loss
from pasam.modeling.segmenter import Prediction
from pasam.params import HqSamParams, PaSamParams, VariantParams

Objective = Callable[[Prediction, Tensor, torch.Generator], dict[str, Tensor]]
"""From a prediction, its labels and a source of noise to scalar terms; `loss` is minimised."""

BAND_LOSSES: dict[str, BandLoss] = {
    "plain": uncertainty_loss,
    "balanced": balanced_uncertainty_loss,
}


def objective_of(variant: VariantParams) -> Objective:
    """Choose what a model is trained on.

    Args:
        variant: The model: HQ-SAM learns at sampled points; PA-SAM learns its masks and, if it
            has them, its adapter's maps and its quality head; the image adapter its masks.
    """
    if isinstance(variant, HqSamParams):
        return _sampled
    if not isinstance(variant, PaSamParams):
        return _masks
    objective = _with_maps(BAND_LOSSES[variant.uncertainty_loss])
    objective = objective if variant.adapter.tokens else _masks
    return _with_quality(objective) if variant.quality_head == "trained" else objective


def _sampled(
    prediction: Prediction, labels: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    return hq_sam_loss(masks=prediction.masks, label=labels, generator=generator)


def _masks(
    prediction: Prediction, labels: Tensor, _generator: torch.Generator
) -> dict[str, Tensor]:
    return mask_loss(masks=prediction.masks, label=labels)


def _with_maps(band_loss: BandLoss) -> Objective:
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
        )

    return objective


def _with_quality(objective: Objective) -> Objective:
    def with_quality(
        prediction: Prediction, labels: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        terms = objective(prediction, labels, generator)
        quality = quality_loss(prediction.iou, prediction.masks, labels)
        return {**terms, "loss_quality": quality, "loss": terms["loss"] + quality}

    return with_quality
