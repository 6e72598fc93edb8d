"""The trained models as frozen dataclasses: one per kind of entry in `models`.

Every switch of PA-SAM has a name here; the reference's values are those of `models.pa_sam`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pasam.config.checks import above_zero, at_least, require

Prompts = Literal["effective", "intended", "thirds"]
"""Prompt mix: what PA-SAM's code does, what it means to do, or HQ-SAM's equal thirds."""
Gradient = Literal["reference", "image"]
"""Canny of the normalised image cast to uint8 (as the reference), or of the image itself."""
Trains = Literal["adapter", "mask_head", "decoder", "everything"]
"""What learns: the adapter, SAM's mask head too (as the reference), all of the decoder, or all of
SAM, which is possible in an ablation only."""
MiningMethod = Literal["none", "random", "top", "gumbel"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterParams:
    """Which parts the prompt adapter has; the reference has all three, with maps on the grid."""

    dense: bool
    """Dense prompt compensation: the consistent representation is added to the image tokens."""
    sparse: bool
    """Sparse prompt optimisation: token-to-image attention is added to the tokens."""
    tokens: bool
    """The uncertain and the refined token, with their maps and those maps' losses."""
    maps: Literal["grid", "double"]
    """Side of these maps: the grid of the image tokens, or twice that."""
    start: Literal["random", "sam"]
    """Whether the new parts start at random (as the reference), or such that they add nothing and
    training begins at SAM."""

    def any(self) -> bool:
        """Say whether there is any part at all."""
        return self.dense or self.sparse or self.tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class MiningParams:
    """How hard points are chosen; the reference samples 4 by Gumbel top-k at scale 1."""

    method: MiningMethod
    """How training chooses. Prediction takes the top scores; `random` stays random and `none`
    adds no points there either."""
    points: int
    """Hard points of each sign."""
    from_epoch: int
    """First epoch (from 0) that mines in training; prediction always does."""
    score_scale: float
    """Factor of the score before Gumbel noise is added; at 1 the noise drowns the score."""
    temperature: float
    """Temperature of the relaxation that carries the gradient."""

    def __post_init__(self) -> None:
        at_least(self, 1, "points")
        at_least(self, 0, "from_epoch")
        above_zero(self, "score_scale", "temperature")


@dataclass(frozen=True, kw_only=True, slots=True)
class HqSamParams:
    """HQ-SAM, the baseline that refines by an extra token and early features."""

    decoder: Literal["hq_sam"]
    epochs: int
    lr_step_size: int
    """Epochs after which the learning rate falls tenfold, again and again."""
    prompts: Prompts

    prompts_per_mask: ClassVar[int] = 1
    """As its reference trains it."""

    def __post_init__(self) -> None:
        at_least(self, 1, "epochs", "lr_step_size")


@dataclass(frozen=True, kw_only=True, slots=True)
class PaSamParams:
    """PA-SAM: the prompt adapter, with each choice of the method by name."""

    decoder: Literal["pa_sam"]
    epochs: int
    lr_step_size: int
    """Epochs after which the learning rate falls tenfold, again and again."""
    prompts: Prompts
    prompts_per_mask: int
    """Prompts that are drawn for every mask of a step (the reference: 1)."""
    gradient: Gradient
    adapter: AdapterParams
    mining: MiningParams
    uncertainty_loss: Literal["plain", "balanced"]
    """Plain cross entropy (as the reference), or one that weighs both classes alike."""
    iou_head: Literal["frozen", "trained"]
    """Whether the head that predicts a mask's IoU learns the new masks' (the reference: frozen)."""
    trains: Trains

    def __post_init__(self) -> None:
        at_least(self, 1, "epochs", "lr_step_size", "prompts_per_mask")
        parts, method = self.adapter, self.mining.method
        if not parts.tokens:
            why = "where adapter.tokens is false, since both tokens' maps are needed for it"
            require(method == "none", "mining.method", method, f"'none' {why}")
            maps, loss = parts.maps, self.uncertainty_loss
            require(maps == "grid", "adapter.maps", maps, f"'grid' {why}")
            require(loss == "plain", "uncertainty_loss", loss, f"'plain' {why}")
        if self.trains == "adapter":
            some = "one part of the adapter or more where trains is 'adapter'"
            require(parts.any(), "adapter", "without any part", some)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageAdapterParams:
    """The rival of the prompt adapter: as many numbers that adapt the image features instead."""

    decoder: Literal["image_adapter"]
    epochs: int
    lr_step_size: int
    """Epochs after which the learning rate falls tenfold, again and again."""
    prompts: Prompts
    prompts_per_mask: int
    """Prompts that are drawn for every mask of a step."""
    gradient: Gradient
    trains: Literal["adapter", "mask_head"]

    def __post_init__(self) -> None:
        at_least(self, 1, "epochs", "lr_step_size", "prompts_per_mask")


VariantParams = HqSamParams | PaSamParams | ImageAdapterParams
