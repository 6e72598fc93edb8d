"""Training of the small base on photographs: phases of growing images, one falling rate.

Everything is a function of the seed and the step: a training that was interrupted goes on from its
saved state as if nothing had happened, and ends with the same bytes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import AdamW
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from pasam.config.schema import PhotographParams, SidePhase
from pasam.errors import ParamsError
from pasam.models.base_sam import BaseSam
from pasam.training.annotated import Annotated
from pasam.training.clickable import Clickable
from pasam.training.fit import flushed_denormals, launch, products_of
from pasam.training.object_batches import ObjectBatch, ObjectBatches, ObjectSampler, ViewMix
from pasam.training.resume import Checkpointer, JsonlSink
from pasam.workers import loading_processes, progress_bar

LEAST_RATE = 0.01
"""Where the cosine ends, as a fraction of the learning rate."""
TRUNK = "base.sam.image_encoder.trunk."
"""Prefix of what was pretrained, and learns more slowly."""

Report = Callable[[dict[str, Tensor]], None]
"""Receives the averaged weights of the SAM whenever the state is saved."""


def train_on_photographs(
    base: BaseSam,
    pictures: Sequence[Annotated],
    params: PhotographParams,
    *,
    seed: int,
    sink: JsonlSink,
    checkpointer: Checkpointer,
    report: Report | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Tensor] | None:
    """Train the base phase by phase; go on where an interrupted run stopped.

    Args:
        base: The SAM to train, at the side at which it will be used.
        pictures: What it sees.
        params: How.
        seed: Seed of objects, views and prompts.
        sink: Receives the mean loss terms of every `row_every` steps.
        checkpointer: Keeps the state; cleared by the caller when the weights are written.
        report: Receives the averaged weights at every save.
        clock: Seconds, by which it is time to save.

    Returns:
        The moving average of the SAM's weights, by name, for the base's own side; None in all
        processes but the first.
    """
    state = checkpointer.load()
    model = Clickable(base, detail_weight=params.detail_weight)
    training = _PhotographTraining(model, params, 0 if state is None else int(state["phase"]))
    if state is not None:
        training.load_state_dict(state)
    if training.fabric.is_global_zero:  # of several that go on together one writes the history
        sink.restore([] if state is None else state["rows"])
    sampler = ObjectSampler(
        pictures,
        generated_fraction=params.generated_fraction,
        emphasis={entry.dataset: entry.factor for entry in params.emphasis},
    )

    def save() -> None:
        if not training.fabric.is_global_zero:
            return
        checkpointer.save({**training.state_dict(), "rows": sink.rows})
        if report is not None:
            report(training.averaged_weights())

    saved = clock()
    with loading_processes(params.workers), flushed_denormals(), products_of(params.precision):
        for number in range(training.phase, len(params.phases)):
            training.enter(number)
            for batch in _loader(pictures, sampler, training, params, seed=seed):
                row = training.step(batch)
                if row is not None and training.fabric.is_global_zero:
                    sink.append(row)
                if clock() - saved >= 60 * params.save_minutes:
                    save()
                    saved = clock()
    save()
    return training.averaged_weights() if training.fabric.is_global_zero else None


class _PhotographTraining:
    """Everything that changes as a training goes, saved and restored together.

    Args:
        model: The base with its losses, at full side.
        params: How it is trained.
        phase: Number of the phase to begin with.
    """

    def __init__(self, model: Clickable, params: PhotographParams, phase: int) -> None:
        self.params = params
        self.side = model.base.side
        self.fabric = launch(params, section="pretrain.photographs")
        self.total = sum(phase.steps for phase in params.phases)
        self.done = 0
        self.sums: dict[str, Tensor] = {}
        self.counted = 0
        self._set_up(model, phase)

    def _set_up(self, model: Clickable, phase: int) -> None:
        self.phase = phase
        moved = model.at_side(self.current.side).to(self.fabric.device)
        self.model = moved.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        held = frozen_part(self.model, self.current.frozen_stages)
        for part in self.model.base.sam.image_encoder.trunk.modules():
            part.requires_grad_(True)
        for part in held:
            part.requires_grad_(False)
        decayed = get_ema_multi_avg_fn(self.params.ema_decay)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(self.model, multi_avg_fn=decayed, use_buffers=True)
        self.optimizer = AdamW(
            _groups(self.model, self.params),
            lr=self.params.learning_rate,
            weight_decay=self.params.weight_decay,
        )
        self.rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.runner, self.driver = self.fabric.setup(self.model, self.optimizer)
        self.runner.train()
        for part in held:
            part.eval()

    def enter(self, phase: int) -> None:
        """Bring model, average and optimiser to a phase's input side; moments are kept."""
        if phase == self.phase:
            return
        average, moments = self.average, self._moments()
        self._set_up(self.model, phase)
        resized = cast(Clickable, average.module).at_side(self.current.side)
        self.average.module.load_state_dict(resized.state_dict())
        self.average.n_averaged.copy_(average.n_averaged)
        for name, parameter in self.model.named_parameters():
            kept = moments.get(name)
            if kept is None or not parameter.requires_grad:
                continue
            # The code of place has another shape at another side, and begins anew.
            if kept["exp_avg"].shape == parameter.shape:
                self.optimizer.state[parameter] = kept

    def _moments(self) -> dict[str, dict[str, Any]]:
        """Return the optimiser's state of every parameter, by name."""
        state = self.optimizer.state
        return {name: state[p] for name, p in self.model.named_parameters() if p in state}

    @property
    def current(self) -> SidePhase:
        """The phase that is being trained."""
        return self.params.phases[self.phase]

    @property
    def steps_left(self) -> range:
        """Numbers of the phase's steps that are still to be taken."""
        end = sum(phase.steps for phase in self.params.phases[: self.phase + 1])
        return range(min(self.done, end), end)

    def step(self, batch: ObjectBatch) -> dict[str, float] | None:
        """Take one step, the gradient clipped to length 1.

        Returns:
            A row of mean loss terms whenever one is due.

        Raises:
            ParamsError: The training has diverged.
        """
        fraction = rate_factor(self.done, warmup=self.params.warmup_steps, total=self.total)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * fraction
        terms = self.runner(self.fabric.to_device(batch))
        self.fabric.backward(terms["loss"])
        self._clip()
        self.driver.step()
        self.driver.zero_grad()
        self.average.update_parameters(self.model)
        self.done += 1
        self.counted += 1
        for name, value in terms.items():  # reading one would wait for the device
            term = value.detach()
            self.sums[name] = self.sums[name] + term if name in self.sums else term
        if self.done % self.params.row_every and self.done != self.total:
            return None
        means = {name: value.item() / self.counted for name, value in self.sums.items()}
        self.sums, self.counted = {}, 0
        return {"step": self.done, "side": self.current.side, **means}

    def _clip(self) -> None:
        """Clip the gradient to length 1.

        In `16-mixed` one that is too large for 16 bits is none to end at: its step is left out, and
        the next one's loss is scaled less.
        """
        has_to_be_finite = self.params.precision != "16-mixed"
        try:
            self.fabric.clip_gradients(
                self.runner, self.driver, max_norm=1.0, error_if_nonfinite=has_to_be_finite
            )
        except RuntimeError as error:
            if "non-finite" not in str(error):
                raise
            raise ParamsError(
                f"the training has diverged in step {self.done + 1}: its gradient holds NaN or "
                "infinity. Lower pretrain.photographs.learning_rate, which is "
                f"{self.params.learning_rate:g}."
            ) from None

    def averaged_weights(self) -> dict[str, Tensor]:
        """Return the moving average of the SAM's weights on the CPU, for its own side."""
        base = cast(Clickable, self.average.module).at_side(self.side).base
        return {name: tensor.cpu() for name, tensor in base.sam.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to go on."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "phase": self.phase,
            "done": self.done,
            "sums": {name: value.cpu() for name, value in self.sums.items()},
            "counted": self.counted,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state, whose phase has been entered."""
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.done, self.counted = int(state["done"]), int(state["counted"])
        self.sums = {
            name: torch.as_tensor(value, dtype=torch.float32, device=self.fabric.device)
            for name, value in state["sums"].items()  # plain numbers in states of former versions
        }


def rate_factor(step: int, *, warmup: int, total: int) -> float:
    """Give a step's fraction of the learning rate: a linear rise, then a cosine to the end."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / (total - warmup)
    return LEAST_RATE + (1 - LEAST_RATE) * (1 + math.cos(math.pi * done)) / 2


def _groups(model: Clickable, params: PhotographParams) -> list[dict[str, Any]]:
    """Group parameters: the trunk learns more slowly, norms and biases do not decay."""
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = name.startswith(TRUNK), parameter.ndim > 1
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": params.learning_rate * (params.trunk_rate if pretrained else 1.0),
            "weight_decay": params.weight_decay if decays else 0.0,
        }
        for (pretrained, decays), parameters in groups.items()
    ]


def frozen_part(model: Clickable, stages: int) -> list[torch.nn.Module]:
    """Return the stem and the first stages of the trunk, as many as are held still."""
    trunk = model.base.sam.image_encoder.trunk
    return [trunk.stem, *trunk.stages][:stages]


def _loader(
    pictures: Sequence[Annotated],
    sampler: ObjectSampler,
    training: _PhotographTraining,
    params: PhotographParams,
    *,
    seed: int,
) -> Iterator[ObjectBatch]:
    """Load the batches that are left of a phase, under a progress bar."""
    phase, steps = training.current, training.steps_left
    batches = ObjectBatches(
        pictures,
        sampler=sampler,
        views=ViewMix(whole=params.whole, crop=params.crop),
        side=phase.side,
        full_side=training.side,
        batch_size=phase.batch_size,
        prompts_per_image=params.prompts_per_image,
        box_fraction=params.box_fraction,
        seed=seed,
    )
    world, rank = training.fabric.world_size, training.fabric.global_rank
    numbers = range(steps.start * world + rank, steps.stop * world, world)
    loader: DataLoader[ObjectBatch] = DataLoader(
        batches, batch_size=None, sampler=numbers, num_workers=params.workers,
        pin_memory=training.fabric.device.type == "cuda",
    )  # fmt: skip
    return progress_bar(loader, total=len(steps), label=f"pretraining at {phase.side} px")
