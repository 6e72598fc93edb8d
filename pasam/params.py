"""The parameters as frozen dataclasses, one per section of `params.yaml`.

No dataclass has a default: every value stands in `params.yaml` and nowhere else. A value that
could only fail much later is refused here; `pasam.params_file` puts the section before its key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pasam.param_checks import above_zero, at_least, require, share
from pasam.variant_params import AdapterParams as AdapterParams
from pasam.variant_params import HqSamParams as HqSamParams
from pasam.variant_params import ImageAdapterParams as ImageAdapterParams
from pasam.variant_params import PaSamParams as PaSamParams
from pasam.variant_params import VariantParams as VariantParams

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
"""Fabric's precisions that keep the weights in float32; the references train in `32-true`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratedParams:
    """How much generated data there is."""

    train_images: int
    """Images in the mixed training set; 0 leaves it out."""
    benchmark_images: int
    """Images in each of the four generated benchmarks; 0 leaves them out."""
    side: int
    """Height and width of a training image in pixels; benchmarks vary round it."""
    seed: int
    """Seed of every generated image."""

    def __post_init__(self) -> None:
        at_least(self, 0, "train_images", "benchmark_images", "seed")
        require(64 <= self.side <= 4096, "side", self.side, "64 to 4096 pixels")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataParams:
    """Where images and masks come from."""

    generated: GeneratedParams
    catalogue: tuple[str, ...]
    """Public sets, or groups of them, that `pasam data fetch` has brought."""
    own: str
    """Folder of one's own images and masks (see `data/own/README.md`); may be empty."""
    workers: int
    """Processes that draw and check images."""

    def __post_init__(self) -> None:
        at_least(self, 1, "workers")


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseParams:
    """Which SAM the adapters are put into."""

    size: Literal["tiny", "vit_tiny", "vit_b", "vit_l", "vit_h"]
    checkpoint: str
    """SAM's weights: our safetensors or an official `.pth` file."""


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
    precision: Precision
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


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainPhase:
    """A part of the small base's training, at one size of the images."""

    shrink: int
    """Factor by which the input side is smaller than the base's own; the last phase has 1."""
    steps: int
    batch_size: int
    """Images per step."""
    learning_rate: float

    def __post_init__(self) -> None:
        at_least(self, 1, "shrink", "steps", "batch_size")
        above_zero(self, "learning_rate")


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainParams:
    """How `vit_tiny`, the small base, is trained on coarsened masks."""

    seed: int
    generated_images: int
    """Generated images that are drawn for this stage besides the manifest's training split."""
    initial: str | None
    """Weights to start from, or null to start from scratch."""
    phases: tuple[PretrainPhase, ...]
    """From small images to full size."""
    prompts_per_image: int
    """Objects per image and step."""
    warmup_steps: int
    """Steps at the start of each phase over which the learning rate rises."""
    weight_decay: float
    average_decay: float
    """Decay of the moving average of the weights, in [0, 1)."""
    coarseness: float
    """Radius of the mask coarsening as a share of the image's side."""
    detail_weight: float
    """Weight of the detail head, which makes the features keep what coarse masks forget."""
    jitter: tuple[float, float]
    """Range of the large-scale jitter."""
    precision: Precision
    checkpoint_every: int
    """Steps between two resumable checkpoints."""
    photographs: PhotographParams | None
    """How `tiny` is trained in place of `vit_tiny`, of which this section then gives the seed, the
    number of generated images and the initial weights; or null."""

    def __post_init__(self) -> None:
        at_least(self, 1, "prompts_per_image", "warmup_steps", "checkpoint_every")
        at_least(self, 0, "seed", "generated_images", "weight_decay", "coarseness")
        at_least(self, 0, "detail_weight")
        require(bool(self.phases), "phases", [], "one phase or more")
        last = self.phases[-1].shrink
        require(last == 1, "phases[-1].shrink", last, "1, since the base ends at its own side")
        warmup, decay = self.warmup_steps, self.average_decay
        fewest = min(phase.steps for phase in self.phases)
        require(warmup < fewest, "warmup_steps", warmup, f"fewer than a phase's steps ({fewest})")
        require(0 <= decay < 1, "average_decay", decay, "0 or more and less than 1")
        _require_jitter(self.jitter)


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbedParams:
    """How the frozen encoder's outputs are computed ahead of training."""

    views: int
    """Augmented views per training image; 0 encodes on the fly instead."""
    jitter: tuple[float, float]
    """Range of the large-scale jitter (the reference: 0.1 to 2.0)."""
    seed: int
    batch_size: int

    def __post_init__(self) -> None:
        at_least(self, 0, "views", "seed")
        at_least(self, 1, "batch_size")
        _require_jitter(self.jitter)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainParams:
    """What all trained models share."""

    seed: int
    batch_size: int
    """Masks per optimiser step and process."""
    learning_rate: float
    accelerator: Literal["auto", "cpu", "gpu"]
    devices: int
    """Processes; more than one trains with DDP."""
    precision: Precision
    workers: int
    """Data-loading processes per training process."""

    def __post_init__(self) -> None:
        at_least(self, 0, "seed", "workers")
        at_least(self, 1, "batch_size", "devices")
        above_zero(self, "learning_rate")


@dataclass(frozen=True, kw_only=True, slots=True)
class RepeatsParams:
    """Trainings of the main models with further seeds: what chance in training changes."""

    models: tuple[str, ...]
    """Trained models that are repeated; none where `seeds` are none."""
    seeds: tuple[int, ...]
    """Seeds beside `train.seed`."""

    def __post_init__(self) -> None:
        seeds = self.seeds
        require(len(set(seeds)) == len(seeds), "seeds", list(seeds), "each seed once")
        require(all(seed >= 0 for seed in seeds), "seeds", list(seeds), "seeds of 0 or more")
        both = "as many or as few as seeds: some of both, or none of both"
        require(bool(self.models) == bool(seeds), "models", list(self.models), both)


ModelsParams = dict[str, VariantParams]
"""Section `models`: every trained model by its name."""

AblationsParams = dict[str, dict[str, Any]]
"""Section `ablations`: by variant, the model that it is `of` and what it is to `change`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateParams:
    """What is measured."""

    models: tuple[str, ...]
    """Trained models, by their key in `models`."""
    baselines: tuple[Literal["sam", "oracle"], ...]
    """Rows without training: `sam`, and `oracle` (ground truth at mask resolution)."""
    benchmarks: tuple[str, ...]
    """Data sets of the manifest's `val` split."""
    batch_size: int
    """Prompts per decoder call; has no influence on the results."""
    accelerator: Literal["auto", "cpu", "gpu"]
    """Where models run; the last bits of a result are the CPU's or the GPU's own."""
    boundary_share: float
    """Width of the boundary band as a share of the image diagonal."""

    def __post_init__(self) -> None:
        require(bool(self.models), "models", list(self.models), "at least one model")
        require(bool(self.benchmarks), "benchmarks", list(self.benchmarks), "at least one")
        at_least(self, 1, "batch_size")
        share(self, "boundary_share")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportParams:
    """How results are summarised."""

    draws: int
    """Bootstrap draws."""
    confidence: float
    """Level of the intervals, in (0, 1)."""
    seed: int
    figure_rows: int
    """Images per benchmark in the figure."""
    gallery: int
    """Images in each gallery of the page: the worst, the most improved, the most harmed."""
    picture_side: int
    """Longest side of the page's pictures in pixels."""
    bins: int
    """Equally large groups of images, from coarse to fine, in which the gain is measured."""

    def __post_init__(self) -> None:
        at_least(self, 1, "draws", "figure_rows", "gallery", "bins")
        at_least(self, 16, "picture_side")
        at_least(self, 0, "seed")
        share(self, "confidence")


def _require_jitter(jitter: tuple[float, float]) -> None:
    require(0 < jitter[0] <= jitter[1], "jitter", list(jitter), "two scales, 0 < low <= high")
