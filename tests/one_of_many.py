"""One of several processes that train together: started by torchrun, writes what it ended with.

torchrun --nproc-per-node 2 tests/one_of_many.py FOLDER TRAINS NODES DEVICES DIE_IN_EPOCH
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch
from small_world import small_base
from torch.utils.data import Dataset
from variants import pa_sam

from pasam.config.schema import TrainParams
from pasam.models.build import build_trainable, digest
from pasam.training.fit import ddp_strategy, fit, launch
from pasam.training.resume import Checkpointer, JsonlSink
from pasam.training.samples import Batch, box_prompts

STEPS = 3


class Drawn(Dataset[Batch]):
    """Batches that epoch, step and rank decide; the process dies in the second of an epoch."""

    def __init__(self, epoch: int, rank: int, *, die: bool) -> None:
        self.epoch, self.rank, self.die = epoch, rank, die

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, step: int) -> Batch:
        if self.die and step == 1:
            os._exit(9)
        noise = torch.Generator().manual_seed(100 * self.epoch + 10 * step + self.rank)
        images = torch.randint(0, 256, (2, 3, 64, 64), generator=noise, dtype=torch.uint8)
        labels = torch.zeros(2, 64, 64, dtype=torch.uint8)
        labels[:, 8 + step : 40, 12 : 44 + self.rank] = 255
        boxes = [np.array([12, 8, 44, 40], np.float32)] * 2
        return Batch(
            images=images, embedding=None, early=None, image_index=torch.arange(2), labels=labels,
            prompts=box_prompts(boxes),
        )  # fmt: skip


def main(folder: Path, trains: str, nodes: int, devices: int, die_in: int) -> None:
    params = TrainParams(
        seed=4, batch_size=2, learning_rate=1e-3, accelerator="cpu", devices=devices, nodes=nodes,
        precision="32-true", workers=0, accumulate=1,
        cross_entropy="image", outline=0.0,
    )  # fmt: skip
    variant = pa_sam(trains=trains, epochs=2, lr_step_size=2)
    fabric = launch(params, nodes=nodes, ddp=ddp_strategy(variant))
    torch.manual_seed(4)
    segmenter = build_trainable(small_base(), variant)
    rank = fabric.global_rank
    sink = JsonlSink(folder / "history.jsonl" if fabric.is_global_zero else None)
    fit(
        segmenter, variant, params, lambda epoch: Drawn(epoch, rank, die=epoch == die_in),
        fabric=fabric, sink=sink, checkpointer=Checkpointer(folder, "state"),
    )  # fmt: skip
    (folder / f"weights-{rank}").write_text(digest(segmenter.state_dict()), encoding="utf-8")


if __name__ == "__main__":
    place, what, *numbers = sys.argv[1:]
    main(Path(place), what, *map(int, numbers))
