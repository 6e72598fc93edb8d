"""One model in training: its step, its optimiser, its noise, its place, and its saved state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from pasam.config.schema import PaSamParams, TrainParams, VariantParams
from pasam.errors import ParamsError
from pasam.models.pa_mask_decoder import ADAPTER
from pasam.models.segmenter import Segmenter
from pasam.training.objectives import TrainingStep
from pasam.training.resume import Checkpointer, JsonlSink
from pasam.training.samples import Batch

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricModule, _FabricOptimizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Trainee:
    """A model, and what its training keeps."""

    segmenter: Segmenter
    """Changed in place."""
    variant: VariantParams
    """Its own choices: epochs, schedule, prompts, mining."""
    sink: JsonlSink
    """Receives the mean terms and the learning rate of every epoch."""
    checkpointer: Checkpointer
    """Keeps the state every few minutes; the caller clears it in the end."""


class Learner:
    """A model in training: its step, its optimiser, and how far it has come."""

    def __init__(self, trainee: Trainee, params: TrainParams, fabric: Fabric) -> None:
        self.variant, self.params, self.fabric = trainee.variant, params, fabric
        self.step = TrainingStep(
            trainee.segmenter, self.variant, cross_entropy=params.cross_entropy,
            outline=params.outline,
        )  # fmt: skip
        if params.compile:
            trainee.segmenter.compile_decoder()
        self.state = _start(trainee, params.learning_rate)
        # Set up before restoring: Adam's moments go where the parameters are, which setup moves.
        self.runner: _FabricModule
        self.driver: _FabricOptimizer
        self.runner, self.driver = fabric.setup(self.step, self.state.optimizer)
        self.place = self.state.restore(fabric)
        self.runner.train()
        self._noise: _Noise | None = None
        self._sums = _Sums() if params.compile else None

    @property
    def is_done(self) -> bool:
        """Whether all its epochs are over."""
        return self.place.epoch >= self.variant.epochs

    def wants(self, epoch: int, number: int) -> bool:
        """Say whether a batch is the next one that this model learns from."""
        here = (epoch, number) == (self.place.epoch, self.place.batches)
        return here and not self.is_done

    def learn(self, batch: Batch, window: range) -> Tensor:
        """Learn from the next batch; return its loss, on the device.

        Args:
            batch: The batch.
            window: Numbers of the batches whose gradients are averaged before a step.
        """
        number = self.place.batches
        if self._noise is None:
            self._noise = _Noise(
                self.params.seed, self.place, self.fabric, accumulate=self.params.accumulate
            )
        if number == window[0]:
            self.driver.zero_grad()
        with self.fabric.no_backward_sync(self.runner, enabled=number < window[-1]):
            mining = self.step.mining_in(self.place.epoch)
            try:
                terms = self.runner(batch, mining=mining, generator=self._noise(number))
            except RuntimeError as error:
                if "between 0 and 1" in str(error):  # so torch refuses probabilities that are NaN
                    raise self._diverged("the uncertainty map holds NaN") from None
                raise
            self.fabric.backward(terms["loss"] / len(window))
        if self._sums is not None and number < window[-1]:
            self._sums.keep(self.state.learning.values())
        sums = self.place.sums
        terms = {name: value.detach() for name, value in terms.items()}
        for name, value in terms.items():
            sums[name] = sums[name] + value if name in sums else value
        self.place.batches = number + 1
        if number == window[-1]:
            self.driver.step()
        return cast(Tensor, terms["loss"])

    def save(self) -> None:
        """Keep the state within an epoch, between two steps of the optimiser.

        Raises:
            ParamsError: The training has diverged.
        """
        self._expect_numbers()
        self.place.noise = None if self._noise is None else self._noise.state()
        sums = self.fabric.all_gather(self.place.sums)
        if self.fabric.is_global_zero:
            self.state.save(self.place, cast(dict[str, Tensor], sums))

    def end_epoch(self, steps: int) -> None:
        """Write the means of an epoch of so many batches, and keep the state after it.

        Raises:
            ParamsError: The training has diverged.
        """
        self._expect_numbers()
        rate = _number(self.state.schedule.get_last_lr()[0])
        self.state.schedule.step()
        means = {
            name: _number(self.fabric.all_reduce(value / steps))
            for name, value in self.place.sums.items()
        }
        epoch, self.place, self._noise = self.place.epoch, _Place(self.place.epoch + 1), None
        if self.fabric.is_global_zero:
            self.state.sink.append({"epoch": epoch, "learning_rate": rate, **means})
            self.state.save(self.place, {})

    def _expect_numbers(self) -> None:
        """Refuse weights of which nothing can be learnt any more, before a state is kept."""
        broken = [n for n, p in self.state.learning.items() if not p.isfinite().all()]
        if broken:
            count = f"{len(broken)} of {len(self.state.learning)} trained tensors"
            raise self._diverged(f"{count}, {broken[0]} among them, hold NaN or infinity")

    def _diverged(self, found: str) -> ParamsError:
        exact = self.params.precision == "32-true"
        return ParamsError(
            f"the training has diverged in epoch {self.place.epoch + 1}: {found}. Lower "
            f"train.learning_rate, which is {self.params.learning_rate:g}"
            f"{'' if exact else ', or set train.precision to 32-true'}."
        )


class _Sums:
    """Gradients of several batches, added up in memory that stays where it is.

    A pass in CUDA graphs leaves gradients in the graphs' memory, which the next batch's pass writes
    over. Gradients of zero from the start would do, too; but Adam would then move what has had no
    gradient in a step, and the training would not be that which is not compiled.
    """

    def __init__(self) -> None:
        self._own: dict[nn.Parameter, Tensor] = {}

    def keep(self, parameters: Iterable[nn.Parameter]) -> None:
        """Copy the gradients there that do not lie there yet; the next batches add to them."""
        for parameter in parameters:
            gradient, own = parameter.grad, self._own.get(parameter)
            if gradient is not None and gradient is not own:
                kept = gradient.clone() if own is None else own.copy_(gradient)
                self._own[parameter] = parameter.grad = kept


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


def _start(trainee: Trainee, rate: float) -> _State:
    """Gather the state of a training that has not begun."""
    learning = {n: p for n, p in trainee.segmenter.named_parameters() if p.requires_grad}
    variant = trainee.variant
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
        sink=trainee.sink,
        checkpointer=trainee.checkpointer,
    )


def _number(value: Any) -> float:
    return float(value.item() if isinstance(value, Tensor) else value)
