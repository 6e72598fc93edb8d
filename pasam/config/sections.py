"""The sections of `params.yaml`, one class each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pasam.config.checks import above_zero, at_least, require, share
from pasam.config.models import VariantParams
from pasam.errors import ParamsError

# --- params: The parameters as frozen dataclasses, one per section of `params.yaml`.
#
# No dataclass has a default: every value stands in `params.yaml` and nowhere else. A value that
# could only fail much later is refused here; `pasam.config.params_file` puts the section before
# its key.

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

    size: Literal["vit_tiny", "vit_b", "vit_l", "vit_h"]
    checkpoint: str
    """SAM's weights: our safetensors or an official `.pth` file."""


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
    ema_decay: float
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

    def __post_init__(self) -> None:
        at_least(self, 1, "prompts_per_image", "warmup_steps", "checkpoint_every")
        at_least(self, 0, "seed", "generated_images", "weight_decay", "coarseness")
        at_least(self, 0, "detail_weight")
        require(bool(self.phases), "phases", [], "one phase or more")
        last = self.phases[-1].shrink
        require(last == 1, "phases[-1].shrink", last, "1, since the base ends at its own side")
        warmup, decay = self.warmup_steps, self.ema_decay
        fewest = min(phase.steps for phase in self.phases)
        require(warmup < fewest, "warmup_steps", warmup, f"fewer than a phase's steps ({fewest})")
        require(0 <= decay < 1, "ema_decay", decay, "0 or more and less than 1")
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
    boundary_fraction: float
    """Width of the boundary band as a share of the image diagonal."""

    def __post_init__(self) -> None:
        require(bool(self.models), "models", list(self.models), "at least one model")
        require(bool(self.benchmarks), "benchmarks", list(self.benchmarks), "at least one")
        at_least(self, 1, "batch_size")
        share(self, "boundary_fraction")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportParams:
    """How results are summarised."""

    n_resamples: int
    """Bootstrap resamples."""
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
        at_least(self, 1, "n_resamples", "figure_rows", "gallery", "bins")
        at_least(self, 16, "picture_side")
        at_least(self, 0, "seed")
        share(self, "confidence")


def _require_jitter(jitter: tuple[float, float]) -> None:
    require(0 < jitter[0] <= jitter[1], "jitter", list(jitter), "two scales, 0 < low <= high")


# --- benchmark_params: The parameters of the benchmarks beyond the four: instances from
# detectors, and robustness.


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratedInstancesParams:
    """How much is drawn of the generated sets with several objects per image."""

    coco_images: int
    """Images of the set in COCO's style; 0 leaves it out."""
    seginw_images: int
    """Images of each set in SegInW's style; 0 leaves them out."""

    def __post_init__(self) -> None:
        at_least(self, 0, "coco_images", "seginw_images")


@dataclass(frozen=True, kw_only=True, slots=True)
class CocoParams:
    """One set of images with COCO annotations, and a detector's boxes."""

    name: str
    """The benchmark's name in the results."""
    images: str
    """Folder of the images."""
    annotations: str
    """COCO annotations with segmentations."""
    detections: str
    """COCO result file: boxes, categories and scores."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeginwParams:
    """Many small sets in SegInW's layout, and a detector's boxes by phrase."""

    name: str
    """The benchmark's name in the results."""
    sets: tuple[str, ...]
    """Names of the sets; each counts alike in the mean."""
    folder: str
    """Holds `<set>/valid/` with the images and `_annotations_min1cat.coco.json`."""
    detections: str
    """Folder of `<set>.json`, one COCO result file each; `phrase` may stand for `category_id`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InstancesParams:
    """Instance segmentation from detectors' boxes."""

    generated: GeneratedInstancesParams
    coco: CocoParams
    seginw: SeginwParams
    resize: Literal["squash", "longest"]
    """Squash images to the input as the other benchmarks do, or keep their aspect as SAM does."""
    boxes_per_image: int
    """Boxes of highest score that are segmented in each image; COCO's metric looks at 100."""

    def __post_init__(self) -> None:
        at_least(self, 1, "boxes_per_image")


@dataclass(frozen=True, kw_only=True, slots=True)
class RobustnessParams:
    """How prompts and images are made worse, and on how many images that is measured."""

    images: int
    """Images of each benchmark, evenly chosen."""
    seed: int
    """Seed of the jitter, the points and the noise."""
    jitter: tuple[float, ...]
    """Noise scales of boxes, as shares of their size; 0 is the tight box of `evaluate`."""
    points: tuple[int, ...]
    """Numbers of foreground points."""
    blur: tuple[float, ...]
    """Deviations of the blur as shares of the image's shorter side, strength 1 first."""
    noise: tuple[float, ...]
    """Deviations of the noise in grey levels of 255, strength 1 first."""
    jpeg: tuple[int, ...]
    """JPEG qualities from 100 down to 1, strength 1 first."""

    def __post_init__(self) -> None:
        at_least(self, 1, "images")
        at_least(self, 0, "seed")
        for key, values in (("jitter", self.jitter), ("blur", self.blur), ("noise", self.noise)):
            require(all(v > 0 for v in values), key, list(values), "values above 0")
        require(all(k >= 1 for k in self.points), "points", list(self.points), "1 or more each")
        qualities = list(self.jpeg)
        require(all(1 <= q <= 100 for q in qualities), "jpeg", qualities, "qualities from 1 to 100")


# --- gate_params: The section `gate` of `params.yaml`: what a new version must show to become
# champion.


@dataclass(frozen=True, kw_only=True, slots=True)
class GateParams:
    """When a candidate replaces the champion. Scores are mean boundary IoU in points, 0 to 100."""

    mode: Literal["off", "dry-run", "on"]
    """`on` judges and promotes, `dry-run` only judges, `off` promotes what a person asks for."""
    model: str
    """Trained model that is registered, by its key in `models`."""
    minimum_gain: float
    """The lower bound of the mean gain over the champion must be above this."""
    margin: float
    """No benchmark may be worse by this or more: the lower bound of its gain is above `-margin`."""
    confidence: float
    """Level of the intervals; wrong promotions are at most 1 - confidence of the judgements."""
    n_resamples: int
    """Bootstrap resamples."""
    seed: int
    floor_mean: float
    """Mean over benchmarks below which nothing is promoted, not even a first version."""
    floor_benchmark: float
    """The same for every single benchmark."""
    latency_ms: float
    """Longest median time of one prediction of an embedded image, on the judging machine."""
    latency_ratio: float
    """How many times the champion's time, on the same machine, a candidate may take."""
    allow_generated: bool
    """Whether a model of generated data or of the small base may become champion."""

    def __post_init__(self) -> None:
        at_least(self, 0, "minimum_gain", "margin", "seed", "floor_mean", "floor_benchmark")
        at_least(self, 100, "n_resamples")
        at_least(self, 1, "latency_ratio")
        above_zero(self, "latency_ms")
        for key in ("floor_mean", "floor_benchmark"):
            require(getattr(self, key) <= 100, key, getattr(self, key), "points, 100 at most")
        require(0.5 < self.confidence < 1, "confidence", self.confidence, "between 0.5 and 1")


# --- validate_params: The section `validate` of `params.yaml`: what data must look like before
# anything is trained.


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidateParams:
    """Limits of the expectations, and which of them only warn."""

    unreviewed_fraction: float
    """Share of a data set's items that may be unfit without being in quarantine, in [0, 1].
    They are left out in any case; above the share the run stops."""
    quarantined_fraction: float
    """Share of a data set's items that may be in quarantine, in [0, 1]; above it the run stops."""
    area: tuple[float, float]
    """Smallest and largest share of the image that a mask should cover."""
    side: tuple[int, int]
    """Shortest and longest side that an image should have, in pixels."""
    contrast: float
    """Least standard deviation of an image's grey values (0..255); below it nothing shows."""
    near_bits: int
    """Bits, of 64, by which both perceptual hashes of two near duplicates differ at most."""
    drift_p: float
    """Chance of a false alarm over all comparisons together when nothing drifted, in (0, 1)."""
    drift_effect: float
    """Largest distance between two distribution functions that still counts as the same, (0, 1)."""
    warnings: tuple[str, ...]
    """Expectations whose failure is only reported; every other failure stops the run."""

    def __post_init__(self) -> None:
        for key in ("unreviewed_fraction", "quarantined_fraction"):
            value: float = getattr(self, key)
            _require(0 <= value <= 1, key, value, "a share, 0 to 1")
        for key in ("drift_p", "drift_effect"):
            value = getattr(self, key)
            _require(0 < value < 1, key, value, "more than 0 and less than 1")
        low, high = self.area
        _require(0 <= low < high <= 1, "area", list(self.area), "two shares, 0 <= low < high <= 1")
        short, long = self.side
        _require(1 <= short <= long, "side", list(self.side), "two sides, 1 <= low <= high")
        _require(self.contrast >= 0, "contrast", self.contrast, "0 or more")
        _require(0 <= self.near_bits <= 16, "near_bits", self.near_bits, "0 to 16 bits")


def _require(holds: bool, key: str, value: object, expected: str) -> None:
    if not holds:
        raise ParamsError(f"{key} is {value!r}, expected {expected}.")
