"""Pretraining of `vit_tiny`: promptable segmentation, as SAM was trained, on coarse masks.

SAM starts from an encoder that has learned to reconstruct images; ours starts from nothing, so a
detail head, thrown away afterwards, makes the features keep what the coarse masks would let them
forget: from every grid cell it must say the cell's pixels and fine masks. It first sees small
images, at which a step costs a quarter, and last images of full size (progressive resizing).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from pasam.config.schema import PretrainParams, PretrainPhase
from pasam.models.base_sam import BaseSam
from pasam.models.encoders.hierarchical import at_side
from pasam.models.losses import promptable_loss
from pasam.models.sam_mask_decoder import SamMaskDecoder
from pasam.training.optimizer import MuonWithAdamW
from pasam.training.promptable_batches import PoolImage, PromptableBatch, PromptableBatches
from pasam.training.resume import Checkpointer, JsonlSink
from pasam.workers import count_progress

# Shapes: B images, N prompts, C channels, g grid cells, m = 4g mask pixels a side.


class WithDetailHead(nn.Module):
    """A base and its detail head, thrown away afterwards, as they are trained.

    Args:
        base: The SAM to train.
        detail_weight: Weight of the detail head's loss.
    """

    def __init__(self, base: BaseSam, *, detail_weight: float) -> None:
        super().__init__()
        self.base = base
        self.detail_weight = detail_weight
        self.detail_head = nn.Conv2d(base.dim, 4 * 16, kernel_size=1)

    def at_side(self, side: int) -> Self:
        """Copy the model for another input side in pixels."""
        other = copy.deepcopy(self)
        other.base = at_side(self.base, side)
        return other

    def with_detail(
        self, terms: dict[str, Tensor], embedding: Tensor, wanted: Tensor
    ) -> dict[str, Tensor]:
        """Add the detail head's loss to a batch's terms.

        Args:
            terms: Scalar terms, with their sum `loss`.
            embedding: Image embeddings, (B, C, g, g).
            wanted: RGB and the union of the fine masks in [0, 1], (B, 4, m, m).
        """
        detail = F.pixel_shuffle(self.detail_head(embedding), 4).float()  # (B, 4, m, m)
        colour = F.l1_loss(detail[:, :3], wanted[:, :3])
        outline = F.binary_cross_entropy_with_logits(detail[:, 3], wanted[:, 3])
        loss = colour + outline
        return {**terms, "loss_detail": loss, "loss": terms["loss"] + self.detail_weight * loss}

    def predict(
        self, embedding: Tensor, image_index: Tensor, prompt: Mapping[str, Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        """Predict SAM's four masks, (N, 4, m, m) logits, and their qualities, (N, 4)."""
        sparse, dense = self.base.embed_prompts(**prompt)
        decoder: SamMaskDecoder = self.base.sam.mask_decoder
        return decoder.decode(
            image_embeddings=embedding,
            image_pe=self.base.image_pe(),
            sparse=sparse,
            dense=dense,
            image_index=image_index,
        )


class Promptable(WithDetailHead):
    """`vit_tiny` as it is trained, from a batch to losses."""

    def forward(self, batch: PromptableBatch) -> dict[str, Tensor]:
        """Return the scalar loss terms of a batch; `loss` is what is minimised."""
        embedding = self.base.encode(batch.images).embedding
        labels = None if batch.points is None else batch.points.new_ones(batch.points.shape[:2])
        prompt: dict[str, Tensor | None] = {
            "points": batch.points, "point_labels": labels, "boxes": batch.boxes
        }  # fmt: skip
        if batch.iterate:
            with torch.no_grad():
                first, _ = self.predict(embedding, batch.image_index, prompt)
            prompt |= _correction(first[:, 0].float(), batch.targets, prompt, self.base.side)
        masks, quality = self.predict(embedding, batch.image_index, prompt)
        terms = promptable_loss(
            masks.float(), quality.float(), batch.targets, ambiguous=batch.boxes is None
        )
        return self.with_detail(terms, embedding, batch.detail)


def _correction(
    logits: Tensor, targets: Tensor, prompt: Mapping[str, Tensor | None], side: int
) -> dict[str, Tensor | None]:
    """Add the first answer as mask prompt, and a click where it is most surely wrong.

    Args:
        logits: First answers, (N, m, m).
        targets: Coarse masks in [0, 1], (N, m, m).
        prompt: The first prompt.
        side: Input side in pixels.
    """
    wanted = targets > 0.5
    wrongness = torch.where(wanted, -logits, logits).flatten(1)  # > 0 where the answer is wrong
    worst = wrongness.argmax(dim=1)
    cells = logits.shape[-1]
    place = torch.stack([worst % cells, worst // cells], dim=1).float()
    click = ((place + 0.5) * (side / cells) - 0.5).unsqueeze(1)
    sign = wanted.flatten(1).gather(1, worst[:, None]).float()
    points, labels = prompt["points"], prompt["point_labels"]
    return {
        "points": click if points is None else torch.cat([points, click], dim=1),
        "point_labels": sign if labels is None else torch.cat([labels, sign], dim=1),
        "masks": logits.unsqueeze(1),
    }


def pretrain(
    base: BaseSam,
    pool: Sequence[PoolImage],
    params: PretrainParams,
    *,
    sink: JsonlSink,
    checkpointer: Checkpointer,
    workers: int,
) -> dict[str, Tensor]:
    """Train the base phase by phase; go on where an interrupted run stopped.

    Args:
        base: The SAM to train.
        pool: What it sees.
        params: How.
        sink: Receives the mean loss terms of every `checkpoint_every` steps.
        checkpointer: Keeps the state; cleared by the caller when the weights are written.
        workers: Data-loading processes.

    Returns:
        The moving average of the SAM's weights, by name.
    """
    state = checkpointer.load()
    done = 0 if state is None else int(state["step"])
    sink.restore([] if state is None else state["rows"])
    side, end = base.side, 0
    model = Promptable(base, detail_weight=params.detail_weight)
    for phase in params.phases:
        start, end = end, end + phase.steps
        if done > end:
            continue
        training = _Training(model.at_side(side // phase.shrink), phase, params)
        if state is not None and done > start:
            training.load_state_dict(state)
        steps = range(max(start, done), end)
        loader = _loader(training.model.base, pool, params, phase, steps=steps, workers=workers)
        _train(training, loader, steps, params, sink=sink, checkpointer=checkpointer)
        model = training.averaged_model()
    return dict(model.base.sam.state_dict())


class _Training:
    """Everything that one phase changes as it goes, saved and restored together."""

    def __init__(self, model: Promptable, phase: PretrainPhase, params: PretrainParams) -> None:
        self.fabric = Fabric(accelerator="cpu", devices=1, precision=params.precision)
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        decayed = get_ema_multi_avg_fn(params.ema_decay)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(self.model, multi_avg_fn=decayed, use_buffers=True)
        self.optimizer = MuonWithAdamW(
            self.model, learning_rate=phase.learning_rate, weight_decay=params.weight_decay
        )
        self.schedule = _schedule(self.optimizer, phase, params)
        self.runner, self.driver = self.fabric.setup(self.model, self.optimizer)
        self.runner.train()

    def step(self, batch: PromptableBatch) -> dict[str, float]:
        """Take one step, the gradient clipped to length 1, and return the loss terms."""
        terms = self.runner(batch)
        self.fabric.backward(terms["loss"])
        self.fabric.clip_gradients(self.runner, self.driver, max_norm=1.0)
        self.driver.step()
        self.driver.zero_grad()
        self.schedule.step()
        self.average.update_parameters(self.model)
        return {name: value.item() for name, value in terms.items()}

    def averaged_model(self) -> Promptable:
        """Return the model with the moving average of its weights."""
        return cast(Promptable, self.average.module)

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to go on."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "average": self.average,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
        }


def _train(
    training: _Training,
    loader: DataLoader[PromptableBatch],
    steps: range,
    params: PretrainParams,
    *,
    sink: JsonlSink,
    checkpointer: Checkpointer,
) -> None:
    """Take the steps that are left of a phase."""
    sums: dict[str, float] = {}
    counted = 0
    with count_progress() as progress:
        label = f"pretrain at {training.model.base.side} px"
        task = progress.add_task(label, total=steps.stop, completed=steps.start, note="")
        for step, batch in zip((n + 1 for n in steps), loader, strict=True):
            terms = training.step(batch)
            counted += 1
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value
            progress.update(task, advance=1, note=f"loss {terms['loss']:.2f}")
            if step % params.checkpoint_every == 0 or step == steps.stop:
                sink.append({"step": step, **{k: v / counted for k, v in sums.items()}})
                sums, counted = {}, 0
                checkpointer.save({**training.state_dict(), "step": step, "rows": sink.rows})


def _loader(
    base: BaseSam,
    pool: Sequence[PoolImage],
    params: PretrainParams,
    phase: PretrainPhase,
    *,
    steps: range,
    workers: int,
) -> DataLoader[PromptableBatch]:
    """Load the batches of the given steps."""
    batches = PromptableBatches(
        pool, side=base.side, batch_size=phase.batch_size, jitter=params.jitter,
        prompts_per_image=params.prompts_per_image, seed=params.seed, steps=steps.stop,
    )  # fmt: skip
    return DataLoader(batches, batch_size=None, sampler=steps, num_workers=workers)


def _schedule(
    optimizer: torch.optim.Optimizer, phase: PretrainPhase, params: PretrainParams
) -> torch.optim.lr_scheduler.LambdaLR:
    """Warm up linearly, then fall along a cosine to a hundredth."""
    rest = phase.steps - params.warmup_steps

    def factor(step: int) -> float:
        if step < params.warmup_steps:
            return (step + 1) / params.warmup_steps
        return 0.01 + 0.99 * (1 + math.cos(math.pi * (step - params.warmup_steps) / rest)) / 2

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
