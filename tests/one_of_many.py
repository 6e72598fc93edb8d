"""One of several processes that work together: started by torchrun, writes what it ended with.

torchrun --nproc-per-node 2 tests/one_of_many.py train FOLDER TRAINS NODES DEVICES DIE_IN_EPOCH
torchrun --nproc-per-node 2 tests/one_of_many.py resume FOLDER TRIES
torchrun --nproc-per-node 2 tests/one_of_many.py stages FOLDER STAGES
python tests/one_of_many.py command FOLDER MODULE ARGUMENTS
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from small_world import small_base
from torch.utils.data import Dataset
from variants import pa_sam

import pasam.models.build
import pasam.training.fit
from pasam.config.schema import TrainParams, VariantParams
from pasam.models.build import build_trainable, digest
from pasam.models.segmenter import Segmenter
from pasam.training.fit import fit, launch
from pasam.training.learner import Trainee
from pasam.training.resume import Checkpointer, JsonlSink
from pasam.training.samples import Batch, box_prompts

STEPS = 3
EPOCHS = 12
BEGAN = "began"
"""Its time of change is when the first step of a process with this folder began."""


class Drawn(Dataset[Batch]):
    """Batches that epoch, step and rank decide; the process dies in the second of an epoch."""

    def __init__(self, epoch: int, rank: int, folder: Path, *, die: bool = False) -> None:
        self.epoch, self.rank, self.folder, self.die = epoch, rank, folder, die

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, step: int) -> Batch:
        if self.die and step == 1:
            os._exit(9)
        if self.rank == 0 and not (self.folder / BEGAN).exists():
            (self.folder / BEGAN).touch()
        noise = torch.Generator().manual_seed(100 * self.epoch + 10 * step + self.rank)
        images = torch.randint(0, 256, (2, 3, 64, 64), generator=noise, dtype=torch.uint8)
        labels = torch.zeros(2, 64, 64, dtype=torch.uint8)
        labels[:, 8 + step : 40, 12 : 44 + self.rank] = 255
        boxes = [np.array([12, 8, 44, 40], np.float32)] * 2
        return Batch(
            images=images, embedding=None, early=None, image_index=torch.arange(2), labels=labels,
            prompts=box_prompts(boxes),
        )  # fmt: skip


def save_every_step() -> None:
    """Let a training save its state after each step of an epoch, not after minutes."""
    pasam.training.fit._LOOK_EVERY, pasam.training.fit._SAVE_EVERY = 1, 0.0


class Late(Checkpointer):
    """Finds the state of an interrupted training a moment after the first process."""

    def load(self) -> dict[str, Any] | None:
        time.sleep(0.01 * int(os.environ["RANK"]))
        return super().load()


class Training:
    """A small training of several processes, any number of times."""

    def __init__(self, trains: str, nodes: int, devices: int, epochs: int) -> None:
        self.params = TrainParams(
            seed=4, batch_size=2, learning_rate=1e-3, accelerator="cpu", devices=devices,
            nodes=nodes, precision="32-true", workers=0, accumulate=1, decode="whole",
            cross_entropy="image", outline=0.0, compile=False, together=[], deterministic=False,
        )  # fmt: skip
        self.variant: VariantParams = pa_sam(trains=trains, epochs=epochs, lr_step_size=epochs)
        self.fabric: Fabric = launch(self.params)
        self.rank = self.fabric.global_rank

    def segmenter(self) -> Segmenter:
        torch.manual_seed(4)
        return build_trainable(small_base(), self.variant)

    def fit(
        self, folder: Path, *, die_in: int = -1, states: type[Checkpointer] = Checkpointer
    ) -> str:
        """Train, or go on, and return the digest of the weights."""
        segmenter = self.segmenter()
        sink = JsonlSink(folder / "history.jsonl" if self.rank == 0 else None)
        trainee = Trainee(
            segmenter=segmenter, variant=self.variant, sink=sink,
            checkpointer=states(folder, "state"),
        )  # fmt: skip
        fit(
            trainee, self.params,
            lambda epoch: Drawn(epoch, self.rank, folder, die=epoch == die_in), fabric=self.fabric,
        )  # fmt: skip
        return digest(segmenter.state_dict())


def train(folder: Path, trains: str, nodes: str, devices: str, die_in: str) -> None:
    """Train once."""
    training = Training(trains, int(nodes), int(devices), EPOCHS)
    save_every_step()
    weights = training.fit(folder, die_in=int(die_in))
    (folder / f"weights-{training.rank}").write_text(weights, encoding="utf-8")
    (folder / f"ended-{training.rank}").write_text(str(time.time()), encoding="utf-8")


def resume(folder: Path, tries: str) -> None:
    """Go on from a whole training's state again and again; the first process clears it at once."""
    training = Training("mask_head", 1, int(os.environ["WORLD_SIZE"]), 1)
    expected = training.fit(folder)
    training.fabric.barrier()  # until the first process has saved
    state = (folder / "state" / "state.pt").read_bytes()
    for number in range(int(tries)):
        place = folder / str(number)
        if training.rank == 0:
            (place / "state").mkdir(parents=True)
            (place / "state" / "state.pt").write_bytes(state)
        training.fabric.barrier()
        assert training.fit(place, states=Late) == expected
        if training.rank == 0:
            Checkpointer(place, "state").clear()
        assert not (place / BEGAN).exists(), "nothing was left to train"
    (folder / f"weights-{training.rank}").write_text(expected, encoding="utf-8")


def stages(folder: Path, commands: str) -> None:
    """Run stages of a small world one after the other: a list of module and arguments each."""
    for module, *arguments in json.loads(commands):
        command(folder, module, *arguments)
        torch.distributed.barrier()  # as torchrun ends when all have: the first one writes last


def command(folder: Path, module: str, *arguments: str) -> None:
    """Be the command of a stage of a small world."""
    os.chdir(folder)
    pasam.models.build.build_base = small_base
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    what, place, *others = sys.argv[1:]
    {"train": train, "resume": resume, "stages": stages, "command": command}[what](
        Path(place), *others
    )
