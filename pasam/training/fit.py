"""The training loop of the adapters: frozen base, trained decoder parts, resumable at any time.

Adam with a constant rate that falls tenfold every so many epochs, no decay, no clipping, as both
references train (PA-SAM section 7 of its code's recipe, HQ-SAM likewise). What a model learns from
is chosen by its params.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from pasam.config.schema import (
    BaseParams,
    EmbedParams,
    HqSamParams,
    PaSamParams,
    PhotographParams,
    Precision,
    TrainParams,
    VariantParams,
)
from pasam.data.manifest import read_manifest
from pasam.errors import CheckpointError, DataError, ParamsError
from pasam.models.base_sam import tf32_products
from pasam.models.build import build_trainable, digest, frozen_tensors, load_base
from pasam.models.checkpoint import file_digest
from pasam.models.segmenter import Segmenter
from pasam.training.learner import Learner, Trainee
from pasam.training.resume import Checkpointer, Echo, JsonlSink, state_key
from pasam.training.samples import Batch, MakeBatches, Sampling, batches_by_epoch
from pasam.workers import (
    ProcessGroup,
    adopt_srun,
    count_progress,
    loading_processes,
    require_devices,
    require_fitting_launch,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric

ORDERED_PRODUCTS = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
"""By this variable of the environment cuBLAS multiplies to the same bits each time."""


def launch(params: TrainParams | PhotographParams, *, section: str = "train") -> Fabric:
    """Start the training's processes on the devices that the params name.

    Args:
        params: Device, processes on each machine, machines, precision. On each of several machines
            the same command is started, by `torchrun` or `srun`.
        section: Where the params stand, for the message.

    Raises:
        ParamsError: More or fewer processes were started than the params speak of: each of two
            machines would train everything, into the same files. Or there are fewer GPUs.
    """
    adopt_srun()
    require_fitting_launch(section, params.devices, params.nodes)
    require_devices(section, params.accelerator, params.devices)
    # With it comes torch's compiler, which takes a second and more: what is refused, and whoever
    # only starts other processes, needs neither.
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    world = params.devices * params.nodes
    if isinstance(params, TrainParams) and params.deterministic:  # before anything multiplies
        os.environ.setdefault(*ORDERED_PRODUCTS)
    # Fabric would take the number of a job's tasks for processes that are there.
    is_shell = "SLURM_NTASKS" in os.environ and not TorchElasticEnvironment.detect()
    with warnings.catch_warnings():
        # Wherever `srun` is installed Fabric advises to use it, in every training's output.
        warnings.filterwarnings("ignore", message="The `srun` command is available")
        # Parts of a decoder have no loss in some steps or in all. And without it DDP packs the
        # gradients anew after the first step, of each start: four processes would add them in
        # another order where they go on after an interruption, and end with other weights.
        fabric = Fabric(
            accelerator=params.accelerator,
            devices=params.devices,
            num_nodes=params.nodes,
            strategy="ddp_find_unused_parameters_true" if world > 1 else "auto",
            precision="32-true" if params.precision == "tf32" else params.precision,
            plugins=LightningEnvironment() if is_shell else None,
        )
    warnings.filterwarnings("ignore", message="find_unused_parameters=True was specified")
    fabric.launch()
    return fabric


def fit(
    trainee: Trainee,
    params: TrainParams,
    make_batches: MakeBatches,
    *,
    fabric: Fabric,
    companions: Sequence[Trainee] = (),
) -> None:
    """Train a segmenter's unfrozen parameters; go on where an interrupted run stopped.

    Args:
        trainee: The model.
        params: What all models share.
        make_batches: Batches of an epoch; with companions, of all models on the same images.
        fabric: Launched; knows device, precision and processes.
        companions: Models that learn on the way, from the same images encoded once, as far as the
            first one goes; their saved states say how far that was, and whoever trains them
            goes on there. Their bases are the first one's.

    Raises:
        CheckpointError: A frozen tensor has moved.
        DataError: An epoch has too few masks for one step.
        ParamsError: The training has diverged.
    """
    segmenter = trainee.segmenter
    before = digest(frozen_tensors(segmenter))
    began = {n: p.detach().clone() for n, p in segmenter.named_parameters() if p.requires_grad}
    learners = [Learner(each, params, fabric) for each in (trainee, *companions)]
    fabric.barrier()  # the first process may have nothing left to train, and then clears the state
    epochs = trainee.variant.epochs
    batches = _Epochs(make_batches, epochs)
    with (
        loading_processes(params.workers),
        reproducible(on=params.deterministic, device=fabric.device),
        flushed_denormals(), products_of(params.precision), count_progress() as progress,
    ):  # fmt: skip
        task = progress.add_task("train", total=len(batches), note="")
        for number, (place, loss) in enumerate(_losses(learners, batches, params, fabric)):
            if number % _READ_EVERY == 0:  # reading a loss waits for the device
                epoch, _ = batches.place(place)
                note = f"epoch {epoch + 1}/{epochs}, loss {loss.item():.3f}"
            progress.update(task, completed=place + 1, note=note)
    if isinstance(trainee.variant, PaSamParams):
        _interpolate(segmenter, began, trainee.variant.interpolation)
    _require_unmoved(segmenter, before)


_log = logging.getLogger(__name__)
_READ_EVERY = 10
"""Batches between two losses that the progress shows."""
_LOOK_EVERY = 10
"""Steps of the optimiser between two looks at the clock, which all processes take together."""
_SAVE_EVERY = 180.0
"""Seconds between two states that are saved within an epoch."""


def products_of(precision: Precision) -> AbstractContextManager[None]:
    """Let a GPU take TF32 for all products of a training, forward and back, if that is asked for.

    Args:
        precision: That of the training. In all but `tf32` torch's settings are left alone.
    """
    return tf32_products() if precision == "tf32" else nullcontext()


@contextmanager
def reproducible(*, on: bool, device: torch.device | str = "cpu") -> Iterator[None]:
    """Let torch use only operations that give the same bits each time, on a GPU too.

    An operation that has no such kernel is an error there; tests hold that no model has one.
    `launch` has asked cuBLAS for the same.

    Args:
        on: Whether it does so.
        device: Where it multiplies.

    Raises:
        ParamsError: The process has multiplied on the GPU before, and not in order.
    """
    if not on:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        _require_ordered_products(device)
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


def _require_ordered_products(device: torch.device | str) -> None:
    """Multiply once: torch reads the variable at a process's first product, and never again."""
    name, value = ORDERED_PRODUCTS
    try:
        torch.ones(1, 1, device=device).mm(torch.ones(1, 1, device=device))
    except RuntimeError as error:
        if name not in str(error):
            raise
        raise ParamsError(
            f"train.deterministic: this process has multiplied on {device} without {name}={value}, "
            "which cuBLAS reads at its first product only. Set it in the environment before the "
            "process starts, or train in a process of its own."
        ) from error


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


class _Epochs(Dataset[list[Batch]]):
    """The batches of all epochs in a row, so that loading processes start once for all of them.

    Args:
        make: Batches of an epoch.
        epochs: How many epochs there are.

    Raises:
        DataError: An epoch has not one step.
    """

    def __init__(self, make: MakeBatches, epochs: int) -> None:
        self.make = make
        # A data set of batches has a length.
        self.steps = [len(make(epoch)) for epoch in range(epochs)]  # type: ignore[arg-type]
        if 0 in self.steps:
            raise DataError(
                f"too few training masks are to be seen in the view of epoch "
                f"{self.steps.index(0) + 1} for one step. Lower train.batch_size, raise the lower "
                "end of embed.jitter, or add training data."
            )
        self.firsts = [0, *accumulate(self.steps)]
        self._made: tuple[int, Dataset[Batch] | Dataset[list[Batch]]] | None = None

    def __len__(self) -> int:
        """Return the number of batches of all epochs."""
        return self.firsts[-1]

    def place(self, index: int) -> tuple[int, int]:
        """Return the epoch of a batch, and its number there."""
        epoch = bisect_right(self.firsts, index) - 1
        return epoch, index - self.firsts[epoch]

    def left_for(self, learner: Learner) -> range:
        """Return the batches that a model has still to learn from."""
        done, ends = learner.place, min(learner.variant.epochs, len(self.steps))
        if done.epoch >= ends:
            return range(0)
        return range(self.firsts[done.epoch] + done.batches, self.firsts[ends])

    def __getitem__(self, index: int) -> list[Batch]:
        """Make a batch for each model."""
        epoch, number = self.place(index)
        if self._made is None or self._made[0] != epoch:
            self._made = epoch, self.make(epoch)
        found = self._made[1][number]
        return found if isinstance(found, list) else [found]


def _losses(
    learners: Sequence[Learner], batches: _Epochs, params: TrainParams, fabric: Fabric
) -> Iterator[tuple[int, Tensor]]:
    """Train to the end of the first model, and yield each batch's place and loss, on the device.

    The gradients of `accumulate` batches, of fewer at the epoch's end, are averaged before a step.
    States are saved now and then. A model that has come further than another waits for it.
    """
    if learners[0].is_done:
        return
    # Where one is ahead of all others, those may end before they have caught up with it.
    wanted = sorted({number for each in learners for number in batches.left_for(each)})
    loader = DataLoader(
        Subset(batches, wanted), batch_size=None, num_workers=params.workers,
        pin_memory=fabric.device.type == "cuda",
    )  # fmt: skip
    saved = time.monotonic()
    loaded = fabric.setup_dataloaders(loader, use_distributed_sampler=False)
    for place, parts in zip(wanted, loaded, strict=True):
        epoch, number = batches.place(place)
        steps = batches.steps[epoch]
        first = number - number % params.accumulate
        window = range(first, min(first + params.accumulate, steps))
        asked = zip(learners, parts, strict=True)
        at_work = [(each, part) for each, part in asked if each.wants(epoch, number)]
        if len(at_work) > 1:
            _encode_once(learners[0].step.segmenter, [part for _, part in at_work], fabric)
        losses = [each.learn(part, window) for each, part in at_work]
        looks = number == window[-1] and (number // params.accumulate + 1) % _LOOK_EVERY == 0
        if number + 1 == steps:
            for each, _ in at_work:
                each.end_epoch(steps)
            saved = time.monotonic()
        elif looks and fabric.broadcast(time.monotonic() - saved >= _SAVE_EVERY):
            for each, _ in at_work:
                each.save()
            saved = time.monotonic()
        yield place, losses[0]


def _encode_once(segmenter: Segmenter, batches: Sequence[Batch], fabric: Fabric) -> None:
    """Encode the images that several batches share, and put the outputs into each of them."""
    if batches[0].encoded() is not None:
        return
    with torch.no_grad(), fabric.autocast():
        encoded = segmenter.base.encode(batches[0].images)
    for batch in batches:
        batch.embedding, batch.early = encoded.embedding, encoded.early


def _require_unmoved(segmenter: Segmenter, before: str) -> None:
    if digest(frozen_tensors(segmenter)) != before:
        raise CheckpointError(
            "a frozen tensor has moved in training, so the result would not fit its base. Train "
            "in another train.precision, and check the machine's memory."
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


def _sampling(trainee: Trainee, train: TrainParams, mask_side: int, fabric: Fabric) -> Sampling:
    """Say how a model's batches are drawn in this process."""
    variant = trainee.variant
    return Sampling(
        batch_size=train.batch_size, mix=variant.prompts, mask_side=mask_side, seed=train.seed,
        rank=fabric.global_rank, world=fabric.world_size, accumulate=train.accumulate,
        prompts_per_mask=variant.prompts_per_mask,
        edges=None if isinstance(variant, HqSamParams) else variant.gradient,
        decode=train.decode,
    )  # fmt: skip


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
    companions: Mapping[str, VariantParams] = MappingProxyType({}),
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
        companions: Models, by name, that learn along where views are encoded as they come: on the
            same images, encoded once for all. Nothing of this one depends on them. As far as this
            one goes their saved states go, and their own trainings begin there; none learns
            along whose training is done.
    """
    frame = read_manifest(manifest)
    checkpoint = Path(base.checkpoint)
    origin = file_digest(checkpoint)

    def kept(name: str, variant: VariantParams) -> Checkpointer:
        # No result depends on what is left out.
        shared = train.model_dump(exclude={"workers", "together"})
        views = embed.model_dump(exclude={"devices"})
        params = [views, shared, variant.model_dump(), base.encoder_precision]
        key = state_key(manifest=manifest, origin=store / "origin.json", params=params, base=origin)
        return Checkpointer(resume, f"{name}-{key}")

    # Cached embeddings were encoded once for all.
    along = {} if embed.views else {n: v for n, v in companions.items() if not kept(n, v).is_done}
    fabric = launch(train)
    torch.manual_seed(train.seed)
    frozen = load_base(base.size, checkpoint, base.encoder_precision)
    drawn = torch.get_rng_state()  # each model starts from what it would start from alone
    # One process writes: of several that resume together each would replace the same file.
    sink = JsonlSink(history, echo=echo) if fabric.is_global_zero else JsonlSink(None)
    trainees = []
    for each, choices in {name: variant, **along}.items():
        torch.set_rng_state(drawn)
        trainees.append(
            Trainee(
                segmenter=build_trainable(frozen, choices),
                variant=choices,
                sink=sink if each == name else JsonlSink(None),
                checkpointer=kept(each, choices),
            )
        )
    samplings = [_sampling(each, train, frozen.mask_side, fabric) for each in trainees]
    batches = batches_by_epoch(
        embed, samplings, base=frozen, checkpoint=checkpoint, store=store, manifest=frame
    )
    own, *others = trainees
    before = digest(frozen_tensors(own.segmenter))
    if others and fabric.is_global_zero:
        _log.info("%s learns on the same passes of the encoder.", " and ".join(along))
    fit(own, train, batches, fabric=fabric, companions=others)
    return Trained(
        segmenter=own.segmenter, base=origin, frozen=before,
        trained_on=tuple(sorted(set(frame.loc[frame["split"] == "train", "dataset"]))),
        history=sink.rows, checkpointer=own.checkpointer,
        group=ProcessGroup(fabric.global_rank, fabric.world_size, fabric.local_rank, train.devices),
    )  # fmt: skip
