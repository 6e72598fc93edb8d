"""The training loop of the adapters: frozen base, trained decoder parts, resumable at any time.

Adam with a constant rate that falls tenfold every so many epochs, no decay, no clipping, as both
references train (PA-SAM section 7 of its code's recipe, HQ-SAM likewise). What a model learns from
is chosen by its params.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule, _FabricOptimizer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from pasam.config.schema import (
    BaseParams,
    CrossEntropyMean,
    EmbedParams,
    HqSamParams,
    PaSamParams,
    PhotographParams,
    TrainParams,
    VariantParams,
)
from pasam.data.manifest import read_manifest
from pasam.errors import CheckpointError, ParamsError
from pasam.models.build import build_trainable, digest, frozen_tensors, load_base
from pasam.models.checkpoint import file_digest
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
    pa_sam_loss,
    uncertainty_loss,
)
from pasam.models.outline_loss import outline_loss
from pasam.models.pa_mask_decoder import ADAPTER
from pasam.models.prompt_adapter import MiningMode
from pasam.models.segmenter import Prediction, Segmenter
from pasam.training.resume import Checkpointer, Echo, JsonlSink, state_key
from pasam.training.samples import Batch, MakeBatches, Sampling, batches_by_epoch
from pasam.workers import ProcessGroup, count_progress

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


def launch(params: TrainParams | PhotographParams, *, nodes: int = 1) -> Fabric:
    """Start the training's processes on the devices that the params name.

    Args:
        params: Device, number of processes on each machine, precision.
        nodes: Machines; on each of them the same command is started, by `torchrun` or SLURM.

    Raises:
        ParamsError: More or fewer processes were started than the params speak of: each of two
            machines would train everything, into the same files.
    """
    world = params.devices * nodes
    started = int(os.environ.get("WORLD_SIZE", world))
    if started != world:
        raise ParamsError(
            f"{started} processes were started (WORLD_SIZE), but train.devices {params.devices} on "
            f"train.nodes {nodes} are {world}. Set both to what is launched, for example "
            "`torchrun --nnodes <train.nodes> --nproc-per-node <train.devices>`."
        )
    with warnings.catch_warnings():
        # Wherever `srun` is installed Fabric advises to use it, in every training's output.
        warnings.filterwarnings("ignore", message="The `srun` command is available")
        # Parts of a decoder have no loss in some steps or in all. And without it DDP packs the
        # gradients anew after the first step, of each start: four processes would add them in
        # another order where they go on after an interruption, and end with other weights.
        fabric = Fabric(
            accelerator=params.accelerator,
            devices=params.devices,
            num_nodes=nodes,
            strategy="ddp_find_unused_parameters_true" if world > 1 else "auto",
            precision=params.precision,
        )
    warnings.filterwarnings("ignore", message="find_unused_parameters=True was specified")
    fabric.launch()
    return fabric


def fit(
    segmenter: Segmenter,
    variant: VariantParams,
    params: TrainParams,
    make_batches: MakeBatches,
    *,
    fabric: Fabric,
    sink: JsonlSink,
    checkpointer: Checkpointer,
) -> None:
    """Train the segmenter's unfrozen parameters; go on where an interrupted run stopped.

    Args:
        segmenter: Changed in place.
        variant: The model's own choices: epochs, schedule, prompts, mining.
        params: What all models share.
        make_batches: Batches of an epoch.
        fabric: Launched; knows device, precision and processes.
        sink: Receives the mean terms and the learning rate of every epoch.
        checkpointer: Keeps the state every few minutes; the caller clears it in the end.

    Raises:
        CheckpointError: A frozen tensor has moved.
    """
    step = TrainingStep(
        segmenter, variant, cross_entropy=params.cross_entropy, outline=params.outline
    )
    before = digest(frozen_tensors(segmenter))
    began = {n: p.detach().clone() for n, p in segmenter.named_parameters() if p.requires_grad}
    if params.compile:
        segmenter.compile_decoder()
    state = _start(segmenter, variant, params.learning_rate, sink, checkpointer)
    # Set up before restoring: Adam's moments go where the parameters are, which setup moves.
    runner, driver = fabric.setup(step, state.optimizer)
    place = state.restore(fabric)
    fabric.barrier()  # the first process may have nothing left to train, and then clears the state
    runner.train()
    with flushed_denormals(), count_progress() as progress:
        task = progress.add_task("train", total=None, note="")
        for epoch in range(place.epoch, variant.epochs):
            batches = make_batches(epoch)
            steps = len(batches)  # type: ignore[arg-type]  # a data set of batches has a length
            done = steps * epoch + place.batches
            progress.update(task, total=steps * variant.epochs, completed=done)
            rate = _number(state.schedule.get_last_lr()[0])
            trained = _steps(step, runner, driver, batches, params, fabric, state, place)
            for number, terms in enumerate(trained):
                if number % _READ_EVERY == 0:  # reading a loss waits for the device
                    loss = f"loss {terms['loss'].item():.3f}"
                progress.update(task, advance=1, note=f"epoch {epoch + 1}/{variant.epochs}, {loss}")
            state.schedule.step()
            means = {k: _number(fabric.all_reduce(v / steps)) for k, v in place.sums.items()}
            place = _Place(epoch + 1)
            if fabric.is_global_zero:
                sink.append({"epoch": epoch, "learning_rate": rate, **means})
                state.save(place, {})
    if isinstance(variant, PaSamParams):
        _interpolate(segmenter, began, variant.interpolation)
    _require_unmoved(segmenter, before)


_READ_EVERY = 10
"""Batches between two losses that the progress shows."""
_LOOK_EVERY = 10
"""Steps of the optimiser between two looks at the clock, which all processes take together."""
_SAVE_EVERY = 180.0
"""Seconds between two states that are saved within an epoch."""


def _one_thread(_worker: int) -> None:
    """Keep a loading process to one core: OpenCV would take all of them in each."""
    cv2.setNumThreads(1)


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Take numbers below 1e-38 as 0: the attention's are many, and a CPU is slow at each.

    A step of training takes a sixth less so. For the time of a training only, since it changes
    the arithmetic of all that this process does.
    """
    before = torch.tensor(1e-40).mul(1).item() == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@torch.no_grad()
def _interpolate(segmenter: Segmenter, began: Mapping[str, Tensor], fraction: float) -> None:
    """Go only a fraction of the way from where training began (Wortsman et al., 2022)."""
    if fraction == 1:
        return
    for name, parameter in segmenter.named_parameters():
        if name in began:
            parameter.copy_(torch.lerp(began[name].to(parameter), parameter, fraction))


@dataclass(slots=True)
class _Place:
    """How far a training has come."""

    epoch: int
    """Epochs that are done."""
    batches: int = 0
    """Batches of this process that are done in the next one."""
    sums: dict[str, Tensor] = field(default_factory=dict)
    """Terms of these batches, added up."""
    noise: Tensor | None = None
    """Random state of the noise after these batches, where it is drawn on and on."""


def _steps(
    step: TrainingStep,
    runner: _FabricModule,
    driver: _FabricOptimizer,
    batches: Dataset[Batch],
    params: TrainParams,
    fabric: Fabric,
    state: _State,
    place: _Place,
) -> Iterator[dict[str, Tensor]]:
    """Train to the end of an epoch and yield the terms of every batch, on the device.

    The gradients of `accumulate` batches, of fewer at the epoch's end, are averaged before a step.
    `place` is kept up, and saved now and then.
    """
    end = len(batches)  # type: ignore[arg-type]  # a data set of batches has a length
    mining = step.mining_in(place.epoch)
    noise = _Noise(params.seed, place, fabric, accumulate=params.accumulate)
    loader = DataLoader(
        Subset(batches, range(place.batches, end)), batch_size=None, num_workers=params.workers,
        worker_init_fn=_one_thread, pin_memory=fabric.device.type == "cuda",
    )  # fmt: skip
    saved = time.monotonic()
    for number, batch in enumerate(
        fabric.setup_dataloaders(loader, use_distributed_sampler=False), start=place.batches
    ):
        first = number - number % params.accumulate
        last = min(first + params.accumulate, end) - 1
        if number == first:
            driver.zero_grad()
        with fabric.no_backward_sync(runner, enabled=number < last):
            terms = runner(batch, mining=mining, generator=noise(number))
            fabric.backward(terms["loss"] / (last - first + 1))
        terms = {name: value.detach() for name, value in terms.items()}
        for name, value in terms.items():
            place.sums[name] = place.sums[name] + value if name in place.sums else value
        place.batches = number + 1
        if number == last:
            driver.step()
            looks = (last // params.accumulate + 1) % _LOOK_EVERY == 0 and place.batches < end
            if looks and fabric.broadcast(time.monotonic() - saved >= _SAVE_EVERY):
                place.noise = noise.state()
                sums = fabric.all_gather(place.sums)
                if fabric.is_global_zero:
                    state.save(place, cast(dict[str, Tensor], sums))
                saved = time.monotonic()
        yield terms


def _require_unmoved(segmenter: Segmenter, before: str) -> None:
    if digest(frozen_tensors(segmenter)) != before:
        raise CheckpointError(
            "a frozen tensor has moved in training, so the result would not fit its base. Train "
            "in another train.precision, and check the machine's memory."
        )


def _number(value: Any) -> float:
    return float(value.item() if isinstance(value, Tensor) else value)


class _Noise:
    """The noise of an epoch, by the batch.

    Where several batches make a step each has noise of its own, the same whichever process trains
    on it: eight processes then learn what one does that accumulates eight batches. One process that
    steps after every batch draws on and on, as its recorded results were drawn.
    """

    def __init__(self, seed: int, place: _Place, fabric: Fabric, *, accumulate: int) -> None:
        self.seed, self.epoch = seed, place.epoch
        self.rank, self.world = fabric.global_rank, fabric.world_size
        alone = self.world * accumulate == 1
        self.drawn_on = _generator(seed, place.epoch, 0) if alone else None
        if self.drawn_on is not None and place.noise is not None:
            self.drawn_on.set_state(place.noise)

    def __call__(self, batch: int) -> torch.Generator:
        """Return the source of a batch's noise."""
        if self.drawn_on is not None:
            return self.drawn_on
        return _generator(self.seed, self.epoch, batch * self.world + self.rank)

    def state(self) -> Tensor | None:
        """Return the random state that the next batch begins with, if that is no matter of seed."""
        return None if self.drawn_on is None else self.drawn_on.get_state()


def _generator(seed: int, epoch: int, batch: int) -> torch.Generator:
    """Seed the noise of a batch by its place in the training; resuming needs no random state."""
    place = (seed * 10_007 + epoch) * 1_009
    if batch:
        place = int(np.random.SeedSequence([place, batch]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(place)


@dataclass(frozen=True, kw_only=True, slots=True)
class _State:
    """All that changes in training and has to outlive an interruption."""

    learning: Mapping[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.StepLR
    sink: JsonlSink
    checkpointer: Checkpointer

    def save(self, place: _Place, sums: Mapping[str, Tensor]) -> None:
        """Keep everything; `sums` are the terms of all processes, () or (processes,) each."""
        self.checkpointer.save(
            {
                "weights": {name: p.detach().cpu() for name, p in self.learning.items()},
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "rows": self.sink.rows,
                "epochs_done": place.epoch,
                "batches_done": place.batches,
                "sums": {name: value.reshape(-1).cpu() for name, value in sums.items()},
                "noise": place.noise,
            }
        )

    def restore(self, fabric: Fabric) -> _Place:
        """Load an interrupted run's state, if there is one, and return how far it came."""
        state = self.checkpointer.load()
        if state is None:
            return _Place(0)
        with torch.no_grad():
            for name, parameter in self.learning.items():
                parameter.copy_(state["weights"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.sink.restore(state["rows"])
        sums = {
            name: value[fabric.global_rank].to(fabric.device)
            for name, value in state.get("sums", {}).items()  # none in states of former versions
        }
        return _Place(
            int(state["epochs_done"]), int(state.get("batches_done", 0)), sums, state.get("noise")
        )


def _start(
    segmenter: Segmenter,
    variant: VariantParams,
    rate: float,
    sink: JsonlSink,
    checkpointer: Checkpointer,
) -> _State:
    """Gather the state of a training that has not begun."""
    learning = {n: p for n, p in segmenter.named_parameters() if p.requires_grad}
    factor = variant.adapter_rate if isinstance(variant, PaSamParams) else 1.0
    new = tuple(f"decoder.{part}" for part in ADAPTER)
    groups = [  # SAM's own first: it is their rate that the history tells
        {"params": [p for n, p in learning.items() if not n.startswith(new)], "lr": rate},
        {"params": [p for n, p in learning.items() if n.startswith(new)], "lr": rate * factor},
    ]
    optimizer = torch.optim.Adam([group for group in groups if group["params"]], lr=rate)
    return _State(
        learning=learning,
        optimizer=optimizer,
        schedule=torch.optim.lr_scheduler.StepLR(optimizer, step_size=variant.lr_step_size),
        sink=sink,
        checkpointer=checkpointer,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A trained model, and what its stage needs to write results."""

    segmenter: Segmenter
    base: str
    """Digest of the base's checkpoint file."""
    frozen: str
    """Digest of all frozen tensors before training."""
    trained_on: tuple[str, ...]
    """Names of the data sets of the split `train`."""
    history: list[dict[str, float]]
    """Means of every epoch."""
    checkpointer: Checkpointer
    """Holds the training's last state; to be cleared once the results are written."""
    group: ProcessGroup
    """The processes that have trained it."""

    @property
    def writes(self) -> bool:
        """Whether this is the process that writes results."""
        return not self.group.rank


def train_variant(
    base: BaseParams,
    embed: EmbedParams,
    train: TrainParams,
    variant: VariantParams,
    *,
    name: str,
    manifest: Path,
    store: Path,
    resume: Path,
    history: Path | None,
    echo: Echo | None = None,
) -> Trained:
    """Train one model; go on where an interrupted run of the same training stopped.

    Args:
        base: Which SAM.
        embed: Where the encoder's outputs come from.
        train: What all models share.
        variant: The model's own choices.
        name: Its name among the interrupted trainings.
        manifest: The data.
        store: Cached embeddings of the `train` split.
        resume: Folder of interrupted trainings.
        history: JSON lines that receive the means of every epoch; None for no file.
        echo: Hears these means too, as they come.
    """
    frame = read_manifest(manifest)
    params = [part.model_dump() for part in (embed, train, variant)]
    checkpoint = Path(base.checkpoint)
    origin = file_digest(checkpoint)
    key = state_key(manifest=manifest, origin=store / "origin.json", params=params, base=origin)
    checkpointer = Checkpointer(resume, f"{name}-{key}")
    fabric = launch(train, nodes=train.nodes)
    torch.manual_seed(train.seed)
    frozen = load_base(base.size, checkpoint)
    segmenter = build_trainable(frozen, variant)
    sampling = Sampling(
        batch_size=train.batch_size, mix=variant.prompts, mask_side=frozen.mask_side,
        seed=train.seed, rank=fabric.global_rank, world=fabric.world_size,
        prompts_per_mask=variant.prompts_per_mask, accumulate=train.accumulate,
        edges=None if isinstance(variant, HqSamParams) else variant.gradient,
    )  # fmt: skip
    batches = batches_by_epoch(
        embed, sampling, base=frozen, checkpoint=checkpoint, store=store, manifest=frame
    )
    before = digest(frozen_tensors(segmenter))
    # One process writes: of several that resume together each would replace the same file.
    sink = JsonlSink(history, echo=echo) if fabric.is_global_zero else JsonlSink(None)
    fit(segmenter, variant, train, batches, fabric=fabric, sink=sink, checkpointer=checkpointer)
    return Trained(
        segmenter=segmenter, base=origin, frozen=before,
        trained_on=tuple(sorted(set(frame.loc[frame["split"] == "train", "dataset"]))),
        history=sink.rows,
        checkpointer=checkpointer,
        group=ProcessGroup(fabric.global_rank, fabric.world_size, fabric.local_rank),
    )  # fmt: skip
