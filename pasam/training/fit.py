"""The training loop of the adapters: frozen base, trained decoder parts, resumable at every epoch.

Adam with a constant rate that falls tenfold every so many epochs, no decay, no clipping, as both
references train (PA-SAM section 7 of its code's recipe, HQ-SAM likewise).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule, _FabricOptimizer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pasam.errors import CheckpointError
from pasam.modeling.freezing import digest, frozen_tensors
from pasam.modeling.point_sampler import MiningMode
from pasam.modeling.segmenter import Segmenter
from pasam.params import PaSamParams, TrainParams, VariantParams
from pasam.progress import bar
from pasam.training.epochs import MakeBatches
from pasam.training.objective import objective_of
from pasam.training.resume import Checkpointer
from pasam.training.samples import Batch
from pasam.training.sink import JsonlSink


class TrainingStep(nn.Module):
    """A segmenter and its losses, from a batch to scalar terms.

    Args:
        segmenter: What is trained.
        variant: Which model it is; decides the losses and the mining.
    """

    def __init__(self, segmenter: Segmenter, variant: VariantParams) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.variant = variant
        self.objective = objective_of(variant)

    def forward(
        self, batch: Batch, *, mining: MiningMode, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the loss terms of a batch; `loss` is what is minimised."""
        prediction = self.segmenter(
            images=batch.images,
            encoded=batch.encoded(),
            image_index=batch.image_index,
            prompts=batch.prompts,
            mining=mining,
            generator=generator,
        )
        return self.objective(prediction, batch.labels, generator)

    def mining_in(self, epoch: int) -> MiningMode:
        """Say how hard points are mined in an epoch of training."""
        if not isinstance(self.variant, PaSamParams):
            return "none"
        mining = self.variant.mining
        return mining.method if epoch >= mining.from_epoch else "none"


def launch(params: TrainParams) -> Fabric:
    """Start the training's processes on the devices that the params name."""
    fabric = Fabric(
        accelerator=params.accelerator,
        devices=params.devices,
        strategy="ddp" if params.devices > 1 else "auto",
        precision=params.precision,
    )
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
        checkpointer: Keeps the state after every epoch; the caller clears it in the end.

    Raises:
        CheckpointError: A frozen tensor has moved.
    """
    step = TrainingStep(segmenter, variant)
    before = digest(frozen_tensors(segmenter))
    state = _start(
        segmenter, rate=params.learning_rate, drop_every=variant.lr_drop_every, sink=sink,
        checkpointer=checkpointer,
    )  # fmt: skip
    first = state.restore()
    runner, driver = fabric.setup(step, state.optimizer)
    runner.train()
    with bar() as progress:
        task = progress.add_task("train", total=None, note="")
        for epoch in range(first, variant.epochs):
            batches = make_batches(epoch)
            steps = len(batches)  # type: ignore[arg-type]  # a data set of batches has a length
            progress.update(task, total=steps * variant.epochs, completed=steps * epoch)
            generator = _generator(params.seed, epoch, fabric.global_rank)
            loader = DataLoader(batches, batch_size=None, num_workers=params.workers)
            rate = _number(state.schedule.get_last_lr()[0])
            sums: dict[str, Tensor] = {}
            for terms in _steps(runner, driver, loader, fabric, step.mining_in(epoch), generator):
                for name, value in terms.items():
                    sums[name] = sums.get(name, torch.zeros(())) + value
                note = f"epoch {epoch + 1}/{variant.epochs}, loss {terms['loss'].item():.3f}"
                progress.update(task, advance=1, note=note)
            state.schedule.step()
            means = {k: _number(fabric.all_reduce(total / steps)) for k, total in sums.items()}
            if fabric.is_global_zero:
                sink.append({"epoch": epoch, "learning_rate": rate, **means})
                state.save(epoch + 1)
    _require_unmoved(segmenter, before)


def _steps(
    runner: _FabricModule,
    driver: _FabricOptimizer,
    loader: DataLoader[Batch],
    fabric: Fabric,
    mining: MiningMode,
    generator: torch.Generator,
) -> Iterator[dict[str, Tensor]]:
    """Train through one epoch and yield the terms of every step, on the CPU."""
    batches = fabric.setup_dataloaders(loader, use_distributed_sampler=False)
    for batch in batches:
        terms = runner(batch, mining=mining, generator=generator)
        driver.zero_grad()
        fabric.backward(terms["loss"])
        driver.step()
        yield {name: value.detach().cpu() for name, value in terms.items()}


def _require_unmoved(segmenter: Segmenter, before: str) -> None:
    if digest(frozen_tensors(segmenter)) != before:
        raise CheckpointError(
            "a frozen tensor has moved in training, so the result would not fit its base. Train "
            "in another train.precision, and check the machine's memory."
        )


def _number(value: Any) -> float:
    return float(value.item() if isinstance(value, Tensor) else value)


def _generator(seed: int, epoch: int, rank: int) -> torch.Generator:
    """Seed the noise of an epoch, so that resuming needs no random state."""
    generator = torch.Generator()
    generator.manual_seed((seed * 10_007 + epoch) * 1_009 + rank)
    return generator


@dataclass(frozen=True, kw_only=True, slots=True)
class _State:
    """All that changes in training and has to outlive an interruption."""

    learning: Mapping[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.StepLR
    sink: JsonlSink
    checkpointer: Checkpointer

    def save(self, epochs_done: int) -> None:
        self.checkpointer.save(
            {
                "weights": {name: p.detach().cpu() for name, p in self.learning.items()},
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "rows": self.sink.rows,
                "epochs_done": epochs_done,
            }
        )

    def restore(self) -> int:
        """Load an interrupted run's state, if there is one, and return its number of epochs."""
        state = self.checkpointer.load()
        if state is None:
            return 0
        with torch.no_grad():
            for name, parameter in self.learning.items():
                parameter.copy_(state["weights"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.sink.restore(state["rows"])
        return int(state["epochs_done"])


def _start(
    segmenter: Segmenter,
    *,
    rate: float,
    drop_every: int,
    sink: JsonlSink,
    checkpointer: Checkpointer,
) -> _State:
    """Gather the state of a training that has not begun."""
    learning = {n: p for n, p in segmenter.named_parameters() if p.requires_grad}
    optimizer = torch.optim.Adam(learning.values(), lr=rate)
    return _State(
        learning=learning,
        optimizer=optimizer,
        schedule=torch.optim.lr_scheduler.StepLR(optimizer, step_size=drop_every),
        sink=sink,
        checkpointer=checkpointer,
    )
