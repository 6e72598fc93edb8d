"""Rows of training: PA-SAM's step, HQ-SAM and PA-SAM together, `tiny`'s pretraining."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from device_times import (
    ENCODERS,
    TRAININGS,
    Line,
    Precision,
    Setting,
    compared,
    held_against,
    operations_of,
)
from torch.utils.data import Dataset
from whole_networks import (
    PARAMS,
    SEED,
    base_of,
    images_for,
    plain_copy,
    predicted_memory,
)

from pasam.config.params_file import load_section, load_variant
from pasam.config.schema import PretrainParams, SidePhase, TrainParams, VariantParams
from pasam.files import temporary_folder
from pasam.models.base_sam import BaseSam, normalised, synchronize
from pasam.models.build import build_base, build_lite, build_trainable
from pasam.models.pa_mask_decoder import edge_channel, shrunk
from pasam.models.segmenter import Prompts
from pasam.training.annotated import draw_scenes
from pasam.training.clickable import Clickable
from pasam.training.fit import Trainee, fit, launch, products_of
from pasam.training.object_batches import ObjectBatches, ObjectSampler, ViewMix
from pasam.training.objectives import TrainingStep
from pasam.training.photograph_training import _PhotographTraining
from pasam.training.resume import Checkpointer, JsonlSink
from pasam.training.samples import Batch

MASKS = 4
"""Masks of a step of training, each on an image of its own."""
RECORDED_STEP = 471.0
"""Milliseconds of the same step of PA-SAM's own code on one H100 in float32, encoder included:
the middle of 447 and 495."""
WARM, TIMED = 4, 12
"""Steps of the training loop before, and until the end of, those whose time is taken."""


def batch_for(base: BaseSam, variant: VariantParams) -> Batch:
    """Make a batch of four images with a mask and its box each, as the loader does."""
    images, side = images_for(base, MASKS), base.side
    labels = torch.zeros(MASKS, side, side, dtype=torch.uint8)
    labels[:, side // 4 : side * 2 // 3, side // 5 : side * 3 // 4] = 255
    box = torch.tensor([side / 5, side / 4, side * 3 / 4, side * 2 / 3])
    gradient = getattr(variant, "gradient", None)
    edges = gradient and edge_channel(shrunk(normalised(images), base.grid), gradient)
    return Batch(
        images=images, embedding=None, early=None, image_index=torch.arange(MASKS), labels=labels,
        prompts=[Prompts(torch.arange(MASKS), box.repeat(MASKS, 1), None, None, None)],
        edges=edges if edges is None else edges.to(torch.uint8),
    )  # fmt: skip


def on_device(batch: Batch, setting: Setting, params: TrainParams) -> Batch:
    """Bring a batch to the device as training does."""
    moved: Batch = launch(params).to_device(copied(batch))
    return moved


def copied(batch: Batch) -> Batch:
    """Copy a batch but for its tensors: Fabric moves them in place."""
    return replace(batch, prompts=[copy.copy(prompt) for prompt in batch.prompts])


def params_for(setting: Setting, **changes: Any) -> TrainParams:
    """Take the parameters of training on the device at hand, in float32 unless told otherwise."""
    train = load_section(TrainParams, "train", PARAMS)
    accelerator = "gpu" if setting.on_gpu else "cpu"
    fixed = {"batch_size": MASKS, "precision": "32-true", "workers": 0, "together": []}
    return train.replaced(accelerator=accelerator, **{**fixed, **changes})


class Stepping:
    """PA-SAM in training on one batch, over and over."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self.params = setting, params_for(setting)
        self.variant = load_variant("pa_sam", PARAMS)
        self.base = base_of("vit_b", setting)
        self.segmenter = build_trainable(self.base, self.variant).to(setting.device)
        self.step = TrainingStep(
            self.segmenter, self.variant, cross_entropy=self.params.cross_entropy,
            outline=self.params.outline,
        ).train()  # fmt: skip
        learning = [each for each in self.segmenter.parameters() if each.requires_grad]
        self.optimizer = torch.optim.Adam(learning, lr=self.params.learning_rate)
        self.batch = on_device(batch_for(self.base, self.variant), setting, self.params)
        self.noise = torch.Generator().manual_seed(SEED)
        encoded = self.base.encode(self.batch.images)
        self.given = replace(self.batch, embedding=encoded.embedding, early=encoded.early)

    def __call__(self, *, encodes: bool) -> None:
        """Take a step, the embeddings given or not; points are mined."""
        batch = self.batch if encodes else self.given
        mining = self.step.mining_in(self.variant.epochs)
        with torch.enable_grad():
            self.optimizer.zero_grad()
            self.step(batch, mining=mining, generator=self.noise)["loss"].backward()
            self.optimizer.step()


def step_lines(setting: Setting, *, compiles: bool) -> Iterator[Line]:
    """Time PA-SAM's step of four masks, with embeddings given and with the encoder included.

    Args:
        setting: Where.
        compiles: Whether the decoder is compiled: in TF32 alone, for it takes a minute or more.
    """
    stepping = Stepping(setting)
    given = operations_of(lambda: stepping(encodes=False))
    plain = plain_copy(stepping.base)  # folded positions are no work that anybody wants
    encoding = MASKS * operations_of(lambda: plain.encode(stepping.batch.images[:1]))
    if compiles:  # at toy size by a compiler that only traces, which takes seconds
        stepping.segmenter.compile_decoder("eager" if setting.toy else "inductor")
    for precision in setting.precisions:
        if compiles and precision == "float32":
            continue
        half = precision == "bfloat16"
        stepping.base.encode_in(ENCODERS[precision])
        for encodes in (True,) if half else (False, True):
            with products_of(TRAININGS[precision]):
                times = compared(
                    lambda encodes=encodes: stepping(encodes=encodes), None, setting,
                    rounds=20 if setting.on_gpu else 2,
                )  # fmt: skip
            if encodes and setting.on_gpu and not setting.toy:
                times = held_against(times, RECORDED_STEP, "recorded, H100")
            encoder = f"encoder included, {precision}" if encodes else f"given, {precision}"
            yield Line(
                name=f"PA-SAM, step of {MASKS}, {encoder}{', compiled' if compiles else ''}",
                precision=precision, images=MASKS, operations=given + encodes * encoding,
                predicted=predicted_memory(
                    "vit_b", setting, batch=MASKS, half=half, encodes=encodes, trains=True
                ),
                **times,
            )  # fmt: skip


class _Repeated(Dataset[list[Batch]]):
    """The same batches, one for each model, which note when some of them are asked for."""

    def __init__(self, batches: Sequence[Batch], device: torch.device) -> None:
        self.batches, self.device = batches, device
        self.times: list[float] = []

    def __len__(self) -> int:
        return TIMED + 1

    def __getitem__(self, number: int) -> list[Batch]:
        if number in (WARM, TIMED):
            synchronize(self.device)
            self.times.append(time.perf_counter())
        return [copied(each) for each in self.batches]


def training_time(names: Sequence[str], precision: Precision, setting: Setting) -> float:
    """Time a step of the training loop for models on the same images, in milliseconds."""
    base = base_of("vit_b", setting).encode_in(ENCODERS[precision])
    variants = [load_variant(name, PARAMS).replaced(epochs=1, lr_step_size=1) for name in names]
    batches = _Repeated([batch_for(base, each) for each in variants], setting.device)
    params = params_for(setting, precision=TRAININGS[precision])
    with temporary_folder() as folder:
        trainees = [
            Trainee(
                segmenter=build_trainable(base, each), variant=each, sink=JsonlSink(None),
                checkpointer=Checkpointer(Path(folder), name),
            )
            for name, each in zip(names, variants, strict=True)
        ]  # fmt: skip
        with torch.enable_grad():
            fit(
                trainees[0], params, lambda _: batches, fabric=launch(params),
                companions=trainees[1:],
            )  # fmt: skip
    began, ended = batches.times
    return 1000 * (ended - began) / (TIMED - WARM)


def together_lines(setting: Setting) -> Iterator[Line]:
    """Time HQ-SAM and PA-SAM on one pass of the encoder, against each alone after the other."""
    for precision in setting.precisions:
        if precision == "float32" and setting.on_gpu:
            continue
        alone = [training_time([name], precision, setting) for name in ("pa_sam", "hq_sam")]
        both = training_time(["pa_sam", "hq_sam"], precision, setting)
        yield Line(
            name=f"HQ-SAM and PA-SAM together, {MASKS} images, {precision}", ours=both,
            reference=sum(alone), source="each alone", precision=precision, images=MASKS,
        )  # fmt: skip


def pretraining_lines(setting: Setting) -> Iterator[Line]:
    """Time `tiny`'s step on photographs, whose clicks differ from step to step: a mean of eight."""
    pretrain = load_section(PretrainParams, "pretrain", PARAMS)
    accelerator = "gpu" if setting.on_gpu else "cpu"
    torch.manual_seed(SEED)
    base = build_lite(side=64, dim=32) if setting.toy else build_base("tiny")
    phase = pretrain.photographs.phases[-1]
    phase = SidePhase(
        side=base.side, steps=10**6, batch_size=2 if setting.toy else phase.batch_size,
        frozen_stages=phase.frozen_stages,
    )  # fmt: skip
    params = pretrain.photographs.replaced(
        phases=(phase,), accelerator=accelerator, workers=0, row_every=10**6
    )
    scenes = draw_scenes(
        phase.batch_size, seed=SEED, side=base.side, coarseness=params.coarseness, workers=1
    )
    made = ObjectBatches(
        scenes, sampler=ObjectSampler(scenes, generated_fraction=params.generated_fraction),
        views=ViewMix(whole=params.whole, crop=params.crop), side=base.side, full_side=base.side,
        batch_size=phase.batch_size, prompts_per_image=params.prompts_per_image,
        box_fraction=params.box_fraction, seed=SEED,
    )  # fmt: skip
    batches = [made[number] for number in range(1 if setting.toy else 8)]
    for precision in setting.precisions:
        own = "bf16-mixed" if precision == "bfloat16" else TRAININGS[precision]
        mixed = params.replaced(precision=own)
        model = Clickable(copy.deepcopy(base), detail_weight=params.detail_weight)
        with torch.enable_grad(), products_of(mixed.precision):
            training = _PhotographTraining(model, mixed, 0)

            def steps(training: _PhotographTraining = training) -> None:
                for batch in batches:
                    training.step(batch)

            work = operations_of(steps) / len(batches)
            times = compared(
                steps, None, setting, rounds=5 if setting.on_gpu else 1, of=len(batches)
            )
        yield Line(
            name=f"tiny, pretraining step of {phase.batch_size} images, {precision}",
            precision=precision, images=phase.batch_size, operations=work, **times,
        )  # fmt: skip
