"""Pretraining of `vit_tiny`: promptable segmentation, as SAM was trained, on coarse masks.

SAM starts from an encoder that has learned to reconstruct images; ours starts from nothing, so a
detail head, thrown away afterwards, makes the features keep what the coarse masks would let them
forget: from every grid cell it must say the cell's pixels and fine masks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule, _FabricOptimizer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from pasam.losses.promptable import promptable_loss
from pasam.modeling.base_sam import BaseSam
from pasam.modeling.sam_mask_decoder import SamMaskDecoder
from pasam.params import PretrainParams
from pasam.progress import bar
from pasam.training.pool import Picture
from pasam.training.promptable_batches import PromptableBatch, PromptableBatches
from pasam.training.resume import Checkpointer
from pasam.training.sink import JsonlSink

# Shapes: B images, N prompts, C channels, g grid cells, m = 4g mask pixels a side.


class Promptable(nn.Module):
    """The base and its detail head, from a batch to losses.

    Args:
        base: The SAM to train.
        detail_weight: Weight of the detail head's loss.
    """

    def __init__(self, base: BaseSam, *, detail_weight: float) -> None:
        super().__init__()
        self.base = base
        self.detail_weight = detail_weight
        self.detail_head = nn.Conv2d(base.dim, 4 * 16, kernel_size=1)

    def forward(self, batch: PromptableBatch) -> dict[str, Tensor]:
        """Return the scalar loss terms of a batch; `loss` is what is minimised."""
        embedding = self.base.encode(batch.images).embedding
        labels = None if batch.points is None else batch.points.new_ones(batch.points.shape[:2])
        prompt: dict[str, Tensor | None] = {
            "points": batch.points, "point_labels": labels, "boxes": batch.boxes
        }  # fmt: skip
        if batch.iterate:
            with torch.no_grad():
                first, _ = self._masks(embedding, batch.image_index, prompt)
            prompt |= _correction(first[:, 0].float(), batch.targets, prompt, self.base.side)
        masks, quality = self._masks(embedding, batch.image_index, prompt)
        terms = promptable_loss(
            masks.float(), quality.float(), batch.targets, ambiguous=batch.boxes is None
        )
        detail = F.pixel_shuffle(self.detail_head(embedding), 4).float()  # (B, 4, m, m)
        colour = F.l1_loss(detail[:, :3], batch.detail[:, :3])
        outline = F.binary_cross_entropy_with_logits(detail[:, 3], batch.detail[:, 3])
        terms["loss_detail"] = colour + outline
        terms["loss"] = terms["loss"] + self.detail_weight * terms["loss_detail"]
        return terms

    def _masks(
        self, embedding: Tensor, image_index: Tensor, prompt: Mapping[str, Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        sparse, dense = self.base.embed_prompts(**prompt)
        decoder: SamMaskDecoder = self.base.sam.mask_decoder
        return decoder.decode(
            image_embeddings=embedding,
            image_pe=self.base.image_pe(),
            sparse=sparse,
            dense=dense,
            image_index=image_index,
        )


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
    pictures: Sequence[Picture],
    params: PretrainParams,
    *,
    sink: JsonlSink,
    checkpointer: Checkpointer,
    workers: int,
) -> dict[str, Tensor]:
    """Train the base; go on where an interrupted run stopped.

    Args:
        base: The SAM to train; changed in place.
        pictures: What it sees.
        params: How.
        sink: Receives the mean loss terms of every `checkpoint_every` steps.
        checkpointer: Keeps the state; cleared by the caller when the weights are written.
        workers: Data-loading processes.

    Returns:
        The moving average of the SAM's weights, by name.
    """
    fabric = Fabric(accelerator="cpu", devices=1, precision=params.precision)
    model = Promptable(base, detail_weight=params.detail_weight)
    decayed = get_ema_multi_avg_fn(params.average_decay)  # type: ignore[no-untyped-call]
    average = AveragedModel(model, multi_avg_fn=decayed, use_buffers=True)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay
    )
    schedule = _schedule(optimizer, params)
    parts = {"model": model, "average": average, "optimizer": optimizer, "schedule": schedule}
    first = _restore(parts, checkpointer, sink)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    runner, driver = fabric.setup(model, optimizer)
    loader = _loader(base, pictures, params, first=first, workers=workers)
    sums: dict[str, float] = {}
    runner.train()
    with bar() as progress:
        task = progress.add_task("pretrain", total=params.steps, completed=first, note="")
        for step, batch in enumerate(loader, start=first + 1):
            terms = _step(fabric, runner, driver, batch)
            schedule.step()
            average.update_parameters(model)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value
            progress.update(task, advance=1, note=f"loss {terms['loss']:.2f}")
            if step % params.checkpoint_every == 0 or step == params.steps:
                count = (step - 1) % params.checkpoint_every + 1
                sink.append({"step": step, **{k: v / count for k, v in sums.items()}})
                sums = {}
                _save(parts, checkpointer, sink, step)
    trained = cast(Promptable, average.module)
    return dict(trained.base.sam.state_dict())


def _loader(
    base: BaseSam, pictures: Sequence[Picture], params: PretrainParams, *, first: int, workers: int
) -> DataLoader[PromptableBatch]:
    """Load the batches from number `first` on."""
    batches = PromptableBatches(
        pictures, side=base.side, batch_size=params.batch_size, jitter=params.jitter,
        prompts_per_image=params.prompts_per_image, seed=params.seed, steps=params.steps,
    )  # fmt: skip
    steps = range(first, params.steps)
    return DataLoader(batches, batch_size=None, sampler=steps, num_workers=workers)


def _step(
    fabric: Fabric, runner: _FabricModule, driver: _FabricOptimizer, batch: PromptableBatch
) -> dict[str, float]:
    """Take one step of the optimiser, its gradient clipped to length 1."""
    terms = runner(batch)
    fabric.backward(terms["loss"])
    fabric.clip_gradients(runner, driver, max_norm=1.0)
    driver.step()
    driver.zero_grad()
    return {name: value.item() for name, value in terms.items()}


def _schedule(
    optimizer: torch.optim.Optimizer, params: PretrainParams
) -> torch.optim.lr_scheduler.SequentialLR:
    """Warm up linearly, then fall along a cosine to a hundredth."""
    rest = params.steps - params.warmup_steps
    return torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, 1.0, params.warmup_steps),
            torch.optim.lr_scheduler.CosineAnnealingLR(
                optimizer, rest, eta_min=params.learning_rate / 100
            ),
        ],
        milestones=[params.warmup_steps],
    )


def _save(parts: Mapping[str, Any], checkpointer: Checkpointer, sink: JsonlSink, step: int) -> None:
    state = {name: part.state_dict() for name, part in parts.items()}
    checkpointer.save({**state, "step": step, "rows": sink.rows})


def _restore(parts: Mapping[str, Any], checkpointer: Checkpointer, sink: JsonlSink) -> int:
    """Load an interrupted run's state, if there is one, and return its number of steps."""
    state = checkpointer.load()
    if state is None:
        return 0
    for name, part in parts.items():
        part.load_state_dict(state[name])
    sink.restore(state["rows"])
    return int(state["step"])
