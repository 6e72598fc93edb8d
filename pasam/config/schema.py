"""The sections of `params.yaml`: one frozen model each, with what its values mean and may be.

No field has a default: every value stands in `params.yaml` and nowhere else. A value that could
only fail much later is refused here. Every switch of PA-SAM has a name; the reference's values are
those of `models.pa_sam`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import model_validator

from pasam.config.section import (
    Count,
    Devices,
    Fraction,
    Level,
    Listed,
    Natural,
    NotNegative,
    Pair,
    Positive,
    Section,
    refused,
    require,
    within,
)

Precision = Literal["32-true", "tf32", "bf16-mixed", "16-mixed"]
"""Fabric's precisions that keep the weights in float32, and `tf32`: that of the numbers which a GPU
multiplies is shortened, as torch did by default when the references were written."""
EncoderPrecision = Literal["32-true", "tf32", "bf16"]
Accelerator = Literal["auto", "cpu", "gpu"]
Decode = Literal["whole", "near"]
"""Every pixel of a photograph, or of a JPEG as few as what is made of it needs."""
CrossEntropyMean = Literal["image", "object"]
Decay = Annotated[float, within(lambda decay: 0 <= decay < 1, "0 or more and less than 1")]
"""Decay of a moving average of weights."""
Jitter = Annotated[
    Pair[float],
    within(lambda jitter: 0 < jitter[0] <= jitter[1], "two scales, 0 < low <= high"),
]
"""Range of the large-scale jitter."""
SUMMARY_ROWS = ("(all)", "mean")
"""Names of rows that tables make of all benchmarks; no benchmark may have one."""
BenchmarkName = Annotated[
    str,
    within(
        lambda name: name not in SUMMARY_ROWS, f"a name that no total has ({list(SUMMARY_ROWS)})"
    ),
]


class GeneratedParams(Section):
    """How much generated data there is."""

    train_images: Natural
    """Images in the mixed training set; 0 leaves it out."""
    benchmark_images: Natural
    """Images in each of the four generated benchmarks, and half as many in each of the four
    development sets; 0 leaves them out."""
    side: Annotated[int, within(lambda side: 64 <= side <= 4096, "64 to 4096 pixels")]
    """Height and width of a training image in pixels; benchmarks vary round it."""
    seed: Natural
    """Seed of every generated image; the development sets are drawn with the next one."""

    @property
    def development_images(self) -> int:
        """Images in each of the four development sets."""
        return self.benchmark_images // 2


class DataParams(Section):
    """Where images and masks come from."""

    generated: GeneratedParams
    catalogue: Listed[str]
    """Public sets, or groups of them, that `pasam data fetch` has brought."""
    own: str
    """Folder of one's own images and masks (see `data/own/README.md`); may be empty."""
    workers: Count
    """Processes that draw and check images, on each machine: those of a stage that runs in several
    processes share them, each has at least one. Has no influence on the results."""


FORMER_BASE = (
    "'tiny', which has seen photographs and takes its place: set base.size to tiny and "
    "base.checkpoint to pasam/packaged/tiny.safetensors, the section pretrain as in "
    "params/default.yaml, and train the adapters again"
)


class BaseParams(Section):
    """Which SAM the adapters are put into."""

    size: Annotated[
        Literal["tiny", "vit_t", "vit_b", "vit_l", "vit_h"], refused({"vit_tiny": FORMER_BASE})
    ]
    """`tiny` is this project's own, `vit_t` is MobileSAM."""
    checkpoint: str
    """SAM's weights: our safetensors, or an official `.pth` or `.pt` file."""
    encoder_precision: EncoderPrecision
    """How the frozen image encoder computes: `pasam/models/base_sam.py`."""


class SidePhase(Section):
    """A part of `tiny`'s training on photographs, at one input side."""

    side: Annotated[
        int, within(lambda side: side >= 32 and side % 32 == 0, "a multiple of 32 pixels")
    ]
    """Input side in pixels."""
    steps: Count
    batch_size: Count
    """Images per step and process."""
    frozen_stages: Annotated[int, within(lambda count: 0 <= count <= 8, "0 to 8")]
    """How many of the trunk's stem and 7 stages, from the finest on, are held still."""


class Emphasis(Section):
    """How often one set of photographs is drawn."""

    dataset: str
    factor: Positive
    """Times as often as its number of photographs says."""


class PhotographParams(Section):
    """How `tiny` is trained on photographs and generated scenes."""

    folder: str | None
    """Folder with `manifest.csv` (split, dataset, image, mask), or null for scenes alone."""
    trunk: str | None
    """The file of EfficientNet-Lite0's weights that its package ships, or null to start at random;
    read where `pretrain.initial` is null."""
    decoder: str | None
    """Weights of another base, of which every tensor of the same name and shape is taken over, or
    null; read where `pretrain.initial` is null."""
    generated_fraction: Level
    """Fraction of the views that show generated scenes."""
    emphasis: Listed[Emphasis]
    """Sets that are drawn more or less often."""
    whole: Fraction
    """Fraction of the views that show the whole image."""
    crop: Fraction
    """Fraction of the views that show a random part; the rest zooms on an object."""
    box_fraction: Level
    """Steps that prompt with boxes; the others prompt with points and correct by clicks."""
    prompts_per_image: Count
    phases: Annotated[Listed[SidePhase], within(bool, "one phase or more")]
    """From small images to full size; the learning rate falls over all of them together."""
    learning_rate: Positive
    trunk_rate: Positive
    """Learning rate of the pretrained trunk as a fraction of the others'."""
    warmup_steps: Count
    """Steps at the start over which the learning rate rises."""
    weight_decay: NotNegative
    ema_decay: Decay
    coarseness: NotNegative
    """Radius of the mask coarsening as a fraction of the image's longer side."""
    detail_weight: NotNegative
    """Weight of the detail head, which makes the features keep what coarse masks forget."""
    precision: Precision
    accelerator: Accelerator
    devices: Count
    """Processes on each machine; more than one trains with DDP."""
    nodes: Count
    """Machines, on each of which the same command is started."""
    workers: Natural
    """Data-loading processes per training process; 0 loads in the training's own."""
    row_every: Count
    """Steps between two rows of the history."""
    save_minutes: NotNegative
    """Minutes between two saved states, from which an interrupted training goes on."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        together = self.whole + self.crop
        require(together <= 1, "whole + crop", together, "1 or less; the rest are zooms")
        total = sum(phase.steps for phase in self.phases)
        fewer = f"fewer than all phases' steps together ({total})"
        require(self.warmup_steps < total, "warmup_steps", self.warmup_steps, fewer)
        return self


class PretrainParams(Section):
    """How `tiny` is trained on coarsened masks."""

    seed: Natural
    generated_images: Natural
    """Generated scenes that are drawn for this stage alone."""
    initial: str | None
    """Weights to start from, or null to start from those of `photographs`, or from scratch."""
    photographs: PhotographParams


class EmbedParams(Section):
    """How the frozen encoder's outputs are computed ahead of training."""

    views: Natural
    """Augmented views per training image; 0 encodes on the fly instead."""
    jitter: Jitter
    """Range of the large-scale jitter (the reference: 0.1 to 2.0)."""
    seed: Natural
    batch_size: Count
    accelerator: Accelerator
    """Where the encoder runs."""
    devices: Devices
    """Processes on each machine, each with a GPU of its own where there are any; `auto` is one for
    each GPU that there is. Has no influence on the results."""


class TrainParams(Section):
    """What all trained models share."""

    seed: Natural
    batch_size: Count
    """Masks per batch and process."""
    accumulate: Count
    """Batches whose gradients are averaged before a step: `batch_size` x `accumulate` x `devices` x
    `nodes` masks a step, whatever one device's memory holds."""
    cross_entropy: CrossEntropyMean
    """What the cross entropy of the predicted masks is averaged over: the `image`, as PA-SAM, or
    the `object`'s neighbourhood, so that small objects count too. HQ-SAM's points stay its own."""
    outline: NotNegative
    """Weight of a loss, for all models, that counts the masks' overlap and the band round the
    outline once more (the references: 0)."""
    learning_rate: Positive
    accelerator: Accelerator
    devices: Count
    """Processes on each machine; more than one trains with DDP."""
    nodes: Count
    """Machines, on each of which the same command is started."""
    precision: Precision
    compile: bool
    """Whether the decoder's pass is compiled, and on a GPU captured in CUDA graphs: the first steps
    take minutes, and sums are rounded otherwise."""
    deterministic: bool
    """Whether a GPU trains to the same bits each time: only kernels that add in a fixed order, none
    chosen by its speed. It takes longer. A CPU does so anyway."""
    workers: Natural
    """Data-loading processes per training process."""
    decode: Decode
    """How images are decoded where `embed.views` is 0: `near` takes a JPEG of at least twice the
    pixels a side that the view needs at a half, a quarter or an eighth. Measuring never does."""
    together: Annotated[
        Listed[str],
        within(lambda names: len(set(names)) == len(names), "each model once"),
    ]
    """Models that are trained on the same passes of the encoder where `embed.views` is 0: whichever
    comes first takes the others along, and they go on from there. No result depends on it."""


class RepeatsParams(Section):
    """Trainings of the main models with further seeds: what chance in training changes."""

    models: Listed[str]
    """Trained models that are repeated; none where `seeds` are none."""
    seeds: Annotated[
        Listed[int],
        within(lambda seeds: len(set(seeds)) == len(seeds), "each seed once"),
        within(lambda seeds: all(seed >= 0 for seed in seeds), "seeds of 0 or more"),
    ]
    """Seeds beside `train.seed`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        both = "as many or as few as seeds: some of both, or none of both"
        require(bool(self.models) == bool(self.seeds), "models", self.models, both)
        return self


Prompts = Literal["effective", "intended", "thirds"]
"""Prompt mix: what PA-SAM's code does, what it means to do, or HQ-SAM's equal thirds."""
Gradient = Literal["reference", "image"]
"""Canny of the normalised image cast to uint8 (as the reference), or of the image itself."""
Trains = Literal["adapter", "mask_head", "decoder", "everything"]
"""What learns: the adapter, SAM's mask head too (as the reference), all of the decoder, or all of
SAM, which is possible in an ablation only."""
MiningMethod = Literal["none", "random", "top", "gumbel"]


class AdapterParams(Section):
    """Which parts the prompt adapter has; the reference has all three, with maps on the grid."""

    dense: bool
    """Dense prompt compensation: the consistent representation is added to the image tokens."""
    sparse: bool
    """Sparse prompt optimisation: token-to-image attention is added to the tokens."""
    tokens: bool
    """The uncertain and the refined token, with their maps and those maps' losses."""
    maps: Literal["grid", "double"]
    """Side of these maps: the grid of the image tokens, or twice that."""
    fine: bool
    """Dense compensation at the masks' resolution (not the reference's): the image at full size,
    its edges and the mask's features correct the mask's logits."""
    start: Literal["random", "sam"]
    """Whether the new parts start at random (as the reference), or such that they add nothing and
    training begins at SAM."""

    def guided(self) -> bool:
        """Say whether there is a part that the guiding embedding is for."""
        return self.dense or self.sparse or self.tokens

    def any(self) -> bool:
        """Say whether there is any part at all."""
        return self.guided() or self.fine


class MiningParams(Section):
    """How hard points are chosen; the reference samples 4 by Gumbel top-k at scale 1."""

    method: MiningMethod
    """How training chooses. Prediction takes the top scores; `random` stays random and `none`
    adds no points there either."""
    points: Count
    """Hard points of each sign."""
    cells: Literal["all", "uncertain"]
    """Whether any cell may be a hard point (the reference), or only those of which the uncertainty
    map is unsure, where the refined mask is trained; others only where these are too few. Not
    where they are chosen at random."""
    from_epoch: Natural
    """First epoch (from 0) that mines in training; prediction always does."""
    score_scale: Positive
    """Factor of the score before Gumbel noise is added; at 1 the noise drowns the score."""
    temperature: Positive
    """Temperature of the relaxation that carries the gradient."""


class TrainedParams(Section):
    """What every entry of `models` has."""

    decoder: str
    epochs: Count
    lr_step_size: Count
    """Epochs after which the learning rate falls tenfold, again and again."""
    prompts: Prompts


class HqSamParams(TrainedParams):
    """HQ-SAM, the baseline that refines by an extra token and early features."""

    decoder: Literal["hq_sam"]
    prompts_per_mask: ClassVar[int] = 1
    """As its reference trains it."""


class PaSamParams(TrainedParams):
    """PA-SAM: the prompt adapter, with each choice of the method by name."""

    decoder: Literal["pa_sam"]
    prompts_per_mask: Count
    """Prompts that are drawn for every mask of a step (the reference: 1)."""
    gradient: Gradient
    adapter: AdapterParams
    mining: MiningParams
    uncertainty_loss: Literal["plain", "balanced"]
    """Plain cross entropy (as the reference), or one that weighs both classes alike."""
    iou_head: Literal["frozen", "trained"]
    """Whether the head that predicts a mask's IoU learns the new masks' (the reference: frozen)."""
    adapter_rate: Positive
    """Factor of the learning rate for the adapter beside what is SAM's (the reference: 1)."""
    interpolation: Annotated[
        float, within(lambda value: 0 < value <= 1, "more than 0 and at most 1")
    ]
    """How far from where training began (0) to where it ended (1) the result lies (the reference:
    1). Less keeps more of what SAM can, so that it asks for an adapter that starts at SAM."""
    keep_sam: NotNegative
    """Weight of a loss that holds the masks to SAM's where SAM is right and the outline is not near
    (the reference: 0, which computes nothing)."""
    trains: Trains

    @model_validator(mode="after")
    def _check(self) -> Self:
        parts, method = self.adapter, self.mining.method
        if not parts.tokens:
            why = "where adapter.tokens is false, since both tokens' maps are needed for it"
            require(method == "none", "mining.method", method, f"'none' {why}")
            maps, loss = parts.maps, self.uncertainty_loss
            require(maps == "grid", "adapter.maps", maps, f"'grid' {why}")
            require(loss == "plain", "uncertainty_loss", loss, f"'plain' {why}")
        if method == "random":
            why = "'all' where mining.method is 'random', which looks at no map"
            require(self.mining.cells == "all", "mining.cells", self.mining.cells, why)
        if parts.guided() and parts.start != "sam":
            why = "1 where adapter.start is not 'sam', since the way begins at random values"
            require(self.interpolation == 1, "interpolation", self.interpolation, why)
        if self.trains == "everything":
            why = "0 where trains is 'everything', since SAM itself then moves"
            require(self.keep_sam == 0, "keep_sam", self.keep_sam, why)
        if self.trains == "adapter":
            some = "one part of the adapter or more where trains is 'adapter'"
            require(parts.any(), "adapter", "without any part", some)
        return self


class ImageAdapterParams(TrainedParams):
    """The rival of the prompt adapter: as many numbers that adapt the image features instead."""

    decoder: Literal["image_adapter"]
    prompts_per_mask: Count
    """Prompts that are drawn for every mask of a step."""
    gradient: Gradient
    trains: Literal["adapter", "mask_head"]


VariantParams = HqSamParams | PaSamParams | ImageAdapterParams
"""An entry of `models`; its `decoder` says which."""

ModelsParams = dict[str, VariantParams]
"""Section `models`: every trained model by its name."""

CompanionsParams = Mapping[str, VariantParams]
"""Of `models` those that are trained together with one of them: `train.together` without it."""

AblationsParams = dict[str, dict[str, Any]]
"""Section `ablations`: by variant, the model that it is `of` and what it is to `change`."""


class EvaluateParams(Section):
    """What is measured."""

    models: Annotated[Listed[str], within(bool, "at least one model")]
    """Trained models, by their key in `models`."""
    baselines: Listed[Literal["sam", "oracle", "packaged"]]
    """Rows without training: `sam`, `oracle` (ground truth at mask resolution), and `packaged`, the
    PA-SAM+ that comes with the package on its own base, `tiny`."""
    benchmarks: Annotated[Listed[BenchmarkName], within(bool, "at least one")]
    """Data sets of the manifest's `val` split."""
    development: Listed[BenchmarkName]
    """Other data sets of the `val` split, on which variants are compared and choices are made; none
    where they are to be compared on the benchmarks themselves."""
    batch_size: Count
    """Prompts per decoder call; has no influence on the results."""
    accelerator: Accelerator
    """Where models run; the last bits of a result are the CPU's or the GPU's own."""
    devices: Devices
    """Processes that share a measurement, as `embed.devices`."""
    boundary_fraction: Level
    """Width of the boundary band as a fraction of the image diagonal."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        both = sorted(set(self.development) & set(self.benchmarks))
        apart = "sets that are no benchmarks: what is chosen on cannot be reported on"
        require(not both, "development", list(self.development), apart)
        return self

    @property
    def compared_on(self) -> tuple[str, ...]:
        """The data sets on which variants are compared."""
        return self.development or self.benchmarks


class ReportParams(Section):
    """How results are summarised."""

    n_resamples: Count
    """Bootstrap resamples."""
    confidence: Level
    """Level of the intervals, in (0, 1)."""
    seed: Natural
    figure_rows: Count
    """Images per benchmark in the figure."""
    gallery: Count
    """Images in each gallery of the page: the worst, the most improved, the most harmed."""
    picture_side: Annotated[int, within(lambda value: value >= 16, "16 or more")]
    """Longest side of the page's images in pixels."""
    bins: Count
    """Equally large groups of images, from coarse to fine, in which the gain is measured."""


class GeneratedInstancesParams(Section):
    """How much is drawn of the generated sets with several objects per image."""

    coco_images: Natural
    """Images of the set in COCO's style; 0 leaves it out."""
    seginw_images: Natural
    """Images of each set in SegInW's style; 0 leaves them out."""


class CocoParams(Section):
    """One set of images with COCO annotations, and a detector's boxes."""

    name: BenchmarkName
    """The benchmark's name in the results."""
    images: str
    """Folder of the images."""
    annotations: str
    """COCO annotations with segmentations."""
    detections: str
    """COCO result file: boxes, categories and scores."""


class SeginwParams(Section):
    """Many small sets in SegInW's layout, and a detector's boxes by phrase."""

    name: BenchmarkName
    """The benchmark's name in the results."""
    sets: Listed[str]
    """Names of the sets; each counts alike in the mean."""
    folder: str
    """Holds `<set>/valid/` with the images and `_annotations_min1cat.coco.json`."""
    detections: str
    """Folder of `<set>.json`, one COCO result file each; `phrase` may stand for `category_id`."""


class InstancesParams(Section):
    """Instance segmentation from detectors' boxes."""

    generated: GeneratedInstancesParams
    coco: CocoParams
    seginw: SeginwParams
    resize: Literal["squash", "longest"]
    """Squash images to the input as the other benchmarks do, or keep their aspect as SAM does."""
    boxes_per_image: Count
    """Boxes of highest score that are segmented in each image; COCO's metric looks at 100."""


Strengths = Annotated[
    Listed[float], within(lambda all_: min(all_, default=1) > 0, "values above 0")
]
Quality = Annotated[int, within(lambda value: 1 <= value <= 100, "a quality from 1 to 100")]


class RobustnessParams(Section):
    """How prompts and images are made worse, and on how many images that is measured."""

    images: Count
    """Images of each benchmark, evenly chosen."""
    seed: Natural
    """Seed of the jitter, the points and the noise."""
    jitter: Strengths
    """Noise scales of boxes, as fractions of their size; 0 is the tight box of `evaluate`."""
    points: Annotated[Listed[int], within(lambda all_: min(all_, default=1) >= 1, "1 or more each")]
    """Numbers of foreground points."""
    blur: Strengths
    """Deviations of the blur as fractions of the image's shorter side, strength 1 first."""
    noise: Strengths
    """Deviations of the noise in grey levels of 255, strength 1 first."""
    jpeg: Listed[Quality]
    """JPEG qualities from 100 down to 1, strength 1 first."""
