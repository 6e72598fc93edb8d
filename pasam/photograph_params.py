"""The parameters of `tiny`'s training on photographs, a part of the section `pretrain`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pasam.param_checks import above_zero, at_least, require, share

TRUNK_STAGES = 8
"""The stem and the seven stages of EfficientNet-Lite0."""
COARSEST = 32
"""Pixels per cell of the encoder's last stage, of which an input side is a multiple."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SidePhase:
    """A part of the training, at one size of the images."""

    side: int
    """Input side in pixels, a multiple of 32."""
    steps: int
    batch_size: int
    """Images per step."""
    frozen_stages: int
    """Stages of the trunk, from the stem on, that keep their weights and statistics: the finest
    are the dearest to train. 0 trains everything, 1 holds the stem, 8 the whole trunk."""

    def __post_init__(self) -> None:
        at_least(self, 1, "steps", "batch_size")
        held = 0 <= self.frozen_stages <= TRUNK_STAGES
        require(held, "frozen_stages", self.frozen_stages, f"0 to {TRUNK_STAGES}")
        fits = self.side >= COARSEST and self.side % COARSEST == 0
        require(fits, "side", self.side, f"a multiple of {COARSEST} pixels")


@dataclass(frozen=True, kw_only=True, slots=True)
class Emphasis:
    """A set that is drawn more often, or less, than its size says."""

    dataset: str
    factor: float

    def __post_init__(self) -> None:
        above_zero(self, "factor")


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotographParams:
    """How `tiny` is trained on photographs and generated scenes."""

    folder: str | None
    """Folder with `manifest.csv` (split, dataset, image, mask), or null for scenes alone."""
    trunk: str | None
    """The file of EfficientNet-Lite0's weights that its package ships, or null to start at random;
    read where `pretrain.initial` is null."""
    decoder: str | None
    """Weights of a `vit_tiny`, of which every tensor of the same name and shape is taken over, or
    null; read where `pretrain.initial` is null."""
    generated_share: float
    """Share of the views that show generated scenes."""
    emphasis: tuple[Emphasis, ...]
    """Sets that are drawn more or less often."""
    whole: float
    """Share of the views that show the whole image."""
    crop: float
    """Share of the views that show a random part; the rest zooms on an object."""
    box_share: float
    """Steps that prompt with boxes; the others prompt with points and correct by clicks."""
    prompts_per_image: int
    phases: tuple[SidePhase, ...]
    """From small images to full size; the learning rate falls over all of them together."""
    learning_rate: float
    trunk_rate: float
    """Learning rate of the pretrained trunk as a share of the others'."""
    warmup_steps: int
    """Steps at the start over which the learning rate rises."""
    weight_decay: float
    average_decay: float
    """Decay of the moving average of the weights, in [0, 1)."""
    coarseness: float
    """Radius of the mask coarsening as a share of the image's longer side."""
    detail_weight: float
    """Weight of the detail head, which makes the features keep what coarse masks forget."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    accelerator: Literal["auto", "cpu", "gpu"]
    workers: int
    """Data-loading processes; 0 loads in the training's own."""
    row_every: int
    """Steps between two rows of the history."""
    save_minutes: float
    """Minutes between two saved states, from which an interrupted training goes on."""

    def __post_init__(self) -> None:
        at_least(self, 1, "prompts_per_image", "warmup_steps", "row_every")
        at_least(self, 0, "weight_decay", "coarseness", "detail_weight", "workers", "save_minutes")
        above_zero(self, "learning_rate", "trunk_rate")
        require(bool(self.phases), "phases", [], "one phase or more")
        for key in ("generated_share", "box_share"):
            share(self, key)
        require(self.whole >= 0, "whole", self.whole, "0 or more")
        require(self.crop >= 0, "crop", self.crop, "0 or more")
        together = self.whole + self.crop
        require(together <= 1, "whole + crop", together, "1 or less; the rest are zooms")
        decay, total = self.average_decay, sum(phase.steps for phase in self.phases)
        require(0 <= decay < 1, "average_decay", decay, "0 or more and less than 1")
        fewer = f"fewer than all phases' steps together ({total})"
        require(self.warmup_steps < total, "warmup_steps", self.warmup_steps, fewer)
