"""What a run will take, said before it starts: hours by stage.

A model with measured constants, which stand here and nowhere else. Another machine differs
by its speed; what a person wants to know is whether the run takes minutes, hours or days.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pasam.cli.resources import Boxes, Check, Content, Detected, noted, passed
from pasam.cli.space_costs import SHAPES

if TYPE_CHECKING:
    from pasam.config.schema import (
        BaseParams,
        EmbedParams,
        EvaluateParams,
        RepeatsParams,
        RobustnessParams,
        TrainParams,
        VariantParams,
    )

ENCODER_WORK = {
    "tiny": 1.33e9, "vit_tiny": 2.41e9, "vit_t": 77.5e9,
    "vit_b": 0.97e12, "vit_l": 2.98e12, "vit_h": 5.96e12,
}  # fmt: skip
"""Floating-point operations of the encoder for one image, counted (torch's FlopCounterMode)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """How fast one kind of device is."""

    device: str
    """What was measured."""
    encoder: float
    """Operations a second of the encoder in float32."""
    encoder_mixed: float
    """The same in a mixed precision."""
    step: float
    """Seconds of a training step per mask, encoder apart, on a grid of 64 x 64 cells."""
    small_step: float
    """The same on a small base's grid of 32 x 32 cells and half the channels."""
    mask: float
    """Seconds to predict and score a benchmark's mask, encoder apart, at 1500 x 2000 pixels."""
    small_mask: float
    """The same on a small base, at 256 x 256 pixels; a detector's box there takes as long."""
    box: float
    """Seconds to segment and score a detector's box, encoder apart, at 480 x 640 pixels."""


CPU = Rates(
    device="a core of 2 GHz class", encoder=54e9, encoder_mixed=50e9,
    step=0.6, small_step=0.031, mask=0.21, small_mask=0.02, box=0.12,
)  # fmt: skip
"""One thread: vit_b 17.8 s an image; steps of 4 masks 2.25 s (PA-SAM) and 2.67 s (HQ-SAM). The
decoder takes 0.1 s a box. The default run's stage `instances`: 31 to 38 s, 271 boxes, 6 models."""
GPU = Rates(
    device="an H100", encoder=20e12, encoder_mixed=32e12,
    step=0.023, small_step=0.023, mask=0.06, small_mask=0.02, box=0.02,
)  # fmt: skip
"""vit_b 43 to 54 ms an image in float32, 28 to 32 in bf16; a step of 4 masks 92 ms. A box is
estimated: a pass of the decoder, 16 ms, and its score."""

CORE_GAIN = 0.8
"""What each further core adds to the speed of one process."""
START = 3.0
"""Seconds until a stage's process begins its work."""
REST = 55.0
"""Seconds of the default run's other stages: data, validation, report, and DVC."""
SEEN = 404
"""Seconds that `make reproduce` took with the default preset on two quiet cores with AVX-512, the
installation apart: what README, docs/performance.md and the preset say, and `run_seconds` estimates
within a tenth."""
DAY = 24 * 3600
UNASKED = Detected()
"""No boxes at all."""
CONDITIONS = ("jitter", "points", "blur", "noise", "jpeg")
"""Lists of `robustness`; the last three need images encoded anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPlan:
    """What of a params file decides how long its run takes."""

    base: BaseParams
    embed: EmbedParams
    train: TrainParams
    evaluate: EvaluateParams
    robustness: RobustnessParams
    repeats: RepeatsParams
    models: Mapping[str, VariantParams]
    """The evaluated models."""
    ablations: Mapping[str, VariantParams]
    """The variants, resolved."""


def run_seconds(
    plan: RunPlan, content: Content, *, on_gpu: bool, cores: int, detected: Detected = UNASKED
) -> dict[str, float]:
    """Estimate the seconds of each part of a run; what a part leaves out is not in it.

    Args:
        plan: The params.
        content: Images and masks of every set.
        on_gpu: Whether training runs on GPUs; embedding and evaluation then do, too, on as many as
            their own `devices` says.
        cores: Cores of this machine, for what runs on the CPU.
        detected: Boxes to segment.

    Returns:
        Seconds by part: `embed`, `train`, `repeats`, `ablations`, `evaluate`, `instances`,
        `robustness`, and the `rest`.
    """
    rates, single = _speed(on_gpu=on_gpu, cores=cores)
    processes = plan.train.devices * plan.train.nodes if on_gpu else 1
    embedders, measurers = (
        _gpus(section.devices, plan, on_gpu=on_gpu) for section in (plan.embed, plan.evaluate)
    )
    small = SHAPES[plan.base.size].grid < 64
    precision = plan.base.encoder_precision
    rate = rates.encoder_mixed if precision == "bf16" else rates.encoder
    encode = ENCODER_WORK[plan.base.size] / rate / single
    step = (rates.small_step if small else rates.step) / single
    score = (rates.small_mask if small else rates.mask) / single
    measured = _benchmarks(content, plan.evaluate.benchmarks)
    compared = _benchmarks(content, plan.evaluate.compared_on)
    images, masks = sum(c[0] for c in measured), sum(c[1] for c in measured)
    train_images, train_masks = content.count("train")
    mixed = plan.train.precision.endswith("mixed")
    if mixed and precision == "32-true":  # which then is the encoder's
        rate = rates.encoder_mixed
    on_the_fly = 0.0 if plan.embed.views else ENCODER_WORK[plan.base.size] / rate / single

    def trained(variant: VariantParams) -> float:
        encoded = on_the_fly
        if getattr(variant, "trains", "") == "everything":
            encoded = 3 * encode  # forward, and twice that backward
        return variant.epochs * train_masks * (encoded + step) / processes

    # Models that are trained together share the passes of the one that trains longest.
    shared_by = [plan.models[name].epochs for name in plan.train.together if name in plan.models]
    spared = sum(shared_by) - max(shared_by, default=0)
    looked = [(min(i, plan.robustness.images), min(m, plan.robustness.images)) for i, m in measured]
    listed = {name: len(getattr(plan.robustness, name)) for name in CONDITIONS}
    anew = sum(listed[name] for name in CONDITIONS[2:])
    shown = len(plan.models) + ("sam" in plan.evaluate.baselines)
    again = [plan.models[name] for name in plan.repeats.models if name in plan.models]
    # One process for each model, whatever its seeds and its benchmarks.
    once_more = sum(trained(variant) + masks * score / processes for variant in again)
    shared = sum(c[1] for c in compared) * score
    return {
        "embed": START * 2 + encode * (images + plan.embed.views * train_images) / embedders,
        "train": sum(START + trained(variant) for variant in plan.models.values())
        - spared * train_masks * on_the_fly / processes,
        "repeats": START * len(again) + len(plan.repeats.seeds) * once_more,
        "ablations": sum(START + trained(v) + shared / processes for v in plan.ablations.values()),
        "evaluate": (len(plan.models) + len(plan.evaluate.baselines))
        * (START + masks * score / measurers)
        + (START + shown * shared / measurers if plan.evaluate.development else 0.0),
        "instances": START
        + instance_seconds(plan, detected.counted + detected.drawn, on_gpu=on_gpu, cores=cores),
        "robustness": sum(i for i, _ in looked) * anew * encode / measurers
        + sum(m for _, m in looked) * sum(listed.values()) * shown * score / measurers,
        "rest": REST,
    }


def instance_seconds(plan: RunPlan, boxes: Boxes, *, on_gpu: bool, cores: int) -> float:
    """Estimate what all models take to segment so many boxes."""
    rates, single = _speed(on_gpu=on_gpu, cores=cores)
    size = plan.base.size
    each = rates.small_mask if SHAPES[size].grid < 64 else rates.box
    models = len(plan.models) + 1  # and SAM
    work = boxes.images * ENCODER_WORK[size] / rates.encoder + boxes.boxes * models * each
    return work / single / _gpus(plan.evaluate.devices, plan, on_gpu=on_gpu)


def _gpus(devices: int | Literal["auto"], plan: RunPlan, *, on_gpu: bool) -> int:
    """Say how many GPUs share a stage; `auto` is taken for those that train on a machine."""
    if not on_gpu:
        return 1  # one process takes all cores
    return plan.train.devices if devices == "auto" else devices


def _speed(*, on_gpu: bool, cores: int) -> tuple[Rates, float]:
    """Return how fast one device is, and how many times as fast a process is on all cores."""
    return (GPU, 1.0) if on_gpu else (CPU, 1 + CORE_GAIN * (cores - 1))


def _benchmarks(content: Content, names: Sequence[str]) -> list[tuple[int, int]]:
    """Return the images and the masks of each of some benchmarks that there are data for."""
    return [c for (split, name), c in content.counts.items() if split == "val" and name in names]


def check_time(
    plan: RunPlan,
    content: Content,
    *,
    on_gpu: bool,
    cores: int | None = None,
    detected: Detected = UNASKED,
) -> Check:
    """Say how long the run will take; a run of more than a day is worth a note."""
    cores = cores or os.cpu_count() or 1
    parts = run_seconds(plan, content, on_gpu=on_gpu, cores=cores, detected=detected)
    total = sum(parts.values())
    shown = ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts.items() if seconds)
    count = plan.train.devices * plan.train.nodes
    gpus, cpus = f"{count} GPUs (as {GPU.device})", f"{cores} cores (each as {CPU.device})"
    device = gpus if on_gpu else cpus
    found = f"about {duration(total)} on {device}: {shown}"
    sources = (
        ("counted in files", detected.counted),
        ("drawn, as typical", detected.drawn),
    )
    if told := [f"{boxes.boxes:,} boxes ({word})" for word, boxes in sources if boxes.boxes]:
        found += f"; instances: {' and '.join(told)}"
    if detected.absent.boxes:
        more = instance_seconds(plan, detected.absent, on_gpu=on_gpu, cores=cores)
        found += (
            f"; with the detections that are not here, typically {detected.absent.boxes:,} boxes, "
            f"about {duration(more)} more"
        )
    if total < DAY:
        return passed("time", found)
    apart = parts["ablations"] + parts["repeats"]
    remedy = f"without ablations and repeats about {duration(total - apart)}" if apart else ""
    return noted("time", found, remedy)


def duration(seconds: float) -> str:
    """Write a length of time for people: seconds, minutes or hours."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            digits = 1 if seconds < 10 * size else 0
            return f"{seconds / size:,.{digits}f} {unit}"
    return f"{seconds:.0f} s"
