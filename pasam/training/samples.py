"""Training batches of masks and prompts, from cached embeddings or from fresh views.

Batch t is a function of the seed and t alone: neither workers nor interruptions change it.
"""

# Shapes: B views, N masks with a prompt each, one or more of every view; S pixels a side, g grid
# cells a side.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from pasam.config.schema import Decode, EmbedParams
from pasam.errors import DataError
from pasam.masks.images import foreground
from pasam.masks.prompts import Mix, collate_prompts, sample_prompt
from pasam.masks.transforms import View
from pasam.models.base_sam import BaseSam, Encoded, normalised
from pasam.models.pa_mask_decoder import EdgeMode, edge_channel, shrunk
from pasam.models.segmenter import Prompts
from pasam.training.embeddings import SMALLEST_LABEL, Store, ViewTask, make_view, open_store

CROPS = 10
"""How often a crop without the object is drawn anew."""

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

MakeBatches = Callable[[int], "Dataset[Batch] | Dataset[list[Batch]]"]
"""From an epoch's number to its batches, or to those of several models on the same images."""


@dataclass
class Batch:
    """What one step sees. Fabric moves and casts the fields in place, so it cannot be frozen."""

    images: Tensor
    """Pixels of the views, uint8 (B, 3, S, S)."""
    embedding: Tensor | None
    """Image embeddings, (B, C, g, g), or None to encode now."""
    early: Tensor | None
    """Early features, (B, E, g, g), or None to encode now."""
    image_index: Tensor
    """View of each mask, int64 (N,) in [0, B)."""
    labels: Tensor
    """Labels 0..255 with soft edges, uint8 (N, S, S)."""
    prompts: list[Prompts]
    """Prompts of all N masks, by kind."""
    edges: Tensor | None = None
    """Edges of the views, 0 or 1, (B, 1, 4g, 4g), or None where no model asks for them."""

    def pin_memory(self) -> Batch:
        """Return a copy in memory from which a GPU fetches while it works; for torch's loaders."""
        prompts = [each_tensor(prompt, Tensor.pin_memory) for prompt in self.prompts]
        return replace(each_tensor(self, Tensor.pin_memory), prompts=prompts)

    def encoded(self) -> Encoded | None:
        """Return the cached encoder outputs, if there are any."""
        if self.embedding is None or self.early is None:
            return None
        return Encoded(embedding=self.embedding, early=self.early)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How batches are drawn."""

    batch_size: int
    """Masks, each in a view of its own."""
    mix: Mix
    mask_side: int
    """Side of mask prompts, 4g."""
    seed: int
    rank: int = 0
    """Which of the training processes this is."""
    world: int = 1
    """How many training processes there are."""
    prompts_per_mask: int = 1
    """How many prompts are drawn for each mask, so that N is this many times B."""
    accumulate: int = 1
    """How many batches of each process make a step of the optimiser."""
    edges: EdgeMode | None = None
    """Which edges of the views guide the model; None where none do."""
    decode: Decode = "whole"
    """How the images of fresh views are decoded."""

    def number(self, step: int) -> int:
        """Return the place of this process's batch among all batches of an epoch.

        What is drawn for a batch depends on this and not on the process, so that several processes
        train on what one does that accumulates their batches.
        """
        return step * self.world + self.rank

    def own_part(self, order: NDArray[np.int64], step: int) -> NDArray[np.int64]:
        """Return this process's part of step `step` of an epoch in this order."""
        first = self.number(step) * self.batch_size
        return order[first : first + self.batch_size]

    def image_index(self, views: int) -> NDArray[np.int64]:
        """Return the view of each prompt of a batch of so many views, (N,)."""
        return np.repeat(np.arange(views), self.prompts_per_mask)

    def steps(self, samples: int) -> int:
        """Return the batches of a process in an epoch of so many samples; the rest is dropped.

        All steps are of `accumulate` batches, unless there are too few for one.
        """
        batches = samples // (self.batch_size * self.world)
        return batches - batches % self.accumulate or batches


class CachedBatches(Dataset[Batch]):
    """The batches of one epoch, from cached embeddings.

    Epoch e shows view e (modulo the number of views) of every mask that is visible in it.

    Args:
        store: The cached embeddings.
        sampling: How to draw.
        epoch: Number of the epoch, from 0.
    """

    def __init__(self, store: Store, sampling: Sampling, *, epoch: int) -> None:
        self.store = store
        self.sampling = sampling
        self.epoch = epoch
        view = epoch % (int(store.index["view"].max()) + 1)
        shown = np.flatnonzero(store.index["view"].to_numpy() == view)
        self.order = np.random.default_rng([sampling.seed, epoch]).permutation(shown)

    def __len__(self) -> int:
        """Return the number of steps of the epoch."""
        return self.sampling.steps(len(self.order))

    def __getitem__(self, step: int) -> Batch:
        """Make the batch of one step."""
        labels = self.sampling.own_part(self.order, step)
        rows = self.store.index["row"].to_numpy()[labels]
        rng = _rng(self.sampling, self.epoch, step)
        index = self.sampling.image_index(len(labels))
        chosen = self.store.labels[labels][index]
        images = torch.from_numpy(self.store.images[rows])
        return Batch(
            images=images,
            embedding=torch.from_numpy(self.store.embedding[rows].astype(np.float32)),
            early=torch.from_numpy(self.store.early[rows].astype(np.float32)),
            image_index=torch.from_numpy(index),
            labels=torch.from_numpy(chosen),
            prompts=prompt_tensors(chosen, self.sampling, rng),
            edges=_edges(images, self.sampling),
        )


class FreshBatches(Dataset[Batch]):
    """The batches of one epoch, augmented now and encoded in the training step.

    Args:
        manifest: The data; every row of the `train` split is a sample.
        sampling: How to draw.
        epoch: Number of the epoch, from 0.
        side: Input side S.
        jitter: Range of the large-scale jitter.
    """

    def __init__(
        self,
        manifest: pd.DataFrame,
        sampling: Sampling,
        *,
        epoch: int,
        side: int,
        jitter: tuple[float, float],
    ) -> None:
        train = manifest[manifest["split"] == "train"]
        self.pairs = list(zip(train["image"], train["mask"], strict=True))
        self.sampling = sampling
        self.epoch = epoch
        self.side = side
        self.jitter = jitter
        order = np.random.default_rng([sampling.seed, epoch]).permutation(len(self.pairs))
        self.order: NDArray[np.int64] = order.astype(np.int64)

    def __len__(self) -> int:
        """Return the number of steps of the epoch."""
        return self.sampling.steps(len(self.order))

    def __getitem__(self, step: int) -> Batch:
        """Make the batch of one step."""
        return self.of_each(step, [self.sampling])[0]

    def of_each(self, step: int, samplings: Sequence[Sampling]) -> list[Batch]:
        """Make a batch for each of several ways to draw prompts, on the images of one step."""
        images, labels = [], []
        for number in self.sampling.own_part(self.order, step):
            view = self._view(int(number))
            images.append(view.image)
            labels.append(view.masks[0])
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
        return [self._batch(step, pixels, np.stack(labels), each) for each in samplings]

    def _batch(
        self, step: int, pixels: Tensor, labels: NDArray[np.uint8], sampling: Sampling
    ) -> Batch:
        """Draw prompts on views, uint8 (B, 3, S, S), for their labels, (B, S, S)."""
        index = sampling.image_index(len(labels))
        chosen = labels[index]
        return Batch(
            images=pixels,
            embedding=None,
            early=None,
            image_index=torch.from_numpy(index),
            labels=torch.from_numpy(chosen),
            prompts=prompt_tensors(chosen, sampling, _rng(sampling, self.epoch, step)),
            edges=_edges(pixels, sampling),
        )

    def _view(self, number: int) -> View:
        """Take another crop where one leaves nothing of the object; at last, the whole image.

        (The reference trains on such samples with a box of impossible coordinates.)
        """
        image, mask = self.pairs[number]
        for attempt in range(CROPS):
            seed = (self.sampling.seed, self.epoch, number, attempt)
            task = ViewTask(image=image, masks=(mask,), view=self.epoch, seed=seed)
            how = self.sampling.decode
            view = make_view(task, side=self.side, jitter=self.jitter, decode=how)
            if foreground(view.masks[0]).sum() >= SMALLEST_LABEL:
                return view
        whole = ViewTask(image=image, masks=(mask,), view=self.epoch, seed=None)
        return make_view(whole, side=self.side, jitter=self.jitter)


class SharedBatches(Dataset[list[Batch]]):
    """The batches of one epoch for several models, on the same views.

    Args:
        batches: The first model's.
        samplings: How each model's prompts are drawn, the first one's too.
    """

    def __init__(self, batches: FreshBatches, samplings: Sequence[Sampling]) -> None:
        self.batches, self.samplings = batches, samplings

    def __len__(self) -> int:
        """Return the number of steps of the epoch."""
        return len(self.batches)

    def __getitem__(self, step: int) -> list[Batch]:
        """Make the batches of one step: those that each model would see alone."""
        return self.batches.of_each(step, self.samplings)


def _edges(images: Tensor, sampling: Sampling) -> Tensor | None:
    """Find the edges that guide the model here, where nothing waits for a GPU.

    Args:
        images: Pixels of the views, uint8 (B, 3, S, S).
        sampling: Says which edges, and at which size.
    """
    if sampling.edges is None:
        return None
    small = shrunk(normalised(images), sampling.mask_side // 4)
    return edge_channel(small, sampling.edges).to(torch.uint8)


def each_tensor(part: T, change: Callable[[Tensor], Tensor]) -> T:
    """Copy a dataclass with each of its own tensors changed."""
    found = {f.name: getattr(part, f.name) for f in fields(part)}
    changed: dict[str, Any] = {k: change(v) for k, v in found.items() if isinstance(v, Tensor)}
    return replace(part, **changed)


def _rng(sampling: Sampling, epoch: int, step: int) -> np.random.Generator:
    """Seed the prompts of a batch."""
    return np.random.default_rng([sampling.seed, epoch, sampling.number(step), 0])


def prompt_tensors(
    labels: NDArray[np.uint8], sampling: Sampling, rng: np.random.Generator
) -> list[Prompts]:
    """Draw a prompt for each label, (N, S, S), and stack those of one kind."""
    drawn = [
        sample_prompt(label, mix=sampling.mix, mask_side=sampling.mask_side, rng=rng)
        for label in labels
    ]
    return [
        Prompts(
            indices=torch.from_numpy(group.indices),
            boxes=_tensor(group.boxes),
            points=_tensor(group.points),
            point_labels=_tensor(group.point_labels),
            masks=_tensor(group.masks),
        )
        for group in collate_prompts(drawn)
    ]


def box_prompts(boxes: Sequence[NDArray[np.float32]]) -> list[Prompts]:
    """Stack boxes, (4,) each, as the prompts of evaluation."""
    return [
        Prompts(
            indices=torch.arange(len(boxes)),
            boxes=torch.from_numpy(np.stack(boxes)),
            points=None,
            point_labels=None,
            masks=None,
        )
    ]


def _tensor(array: NDArray[np.float32] | None) -> Tensor | None:
    return None if array is None else torch.from_numpy(array)


def batches_by_epoch(
    embed: EmbedParams,
    samplings: Sequence[Sampling],
    *,
    base: BaseSam,
    checkpoint: Path,
    store: Path,
    manifest: pd.DataFrame,
) -> MakeBatches:
    """Choose the source of training batches.

    Args:
        embed: With `views` of 0 every epoch augments and encodes anew, as the paper does.
        samplings: How the batches of each model are drawn; several share fresh views.
        base: The frozen SAM.
        checkpoint: Its weights' file, which the store must come from.
        store: Folder of the cached embeddings.
        manifest: The data.

    Raises:
        DataError: There are fewer samples than one step needs.
        CheckpointError: The store was made by another base.
    """
    make: MakeBatches
    if embed.views:
        opened = open_store(store)
        opened.check_base(checkpoint, base.encoder_precision)
        make = partial(_cached, store, samplings[0])
    else:
        make = partial(_fresh, manifest, samplings, base.side, embed.jitter)
    if len(make(0)) == 0:  # type: ignore[arg-type]  # all kinds have a length
        need = samplings[0].batch_size * samplings[0].world
        raise DataError(
            f"there are fewer than {need} training masks, so not one step can be made. Lower "
            "train.batch_size, or add training data."
        )
    return make


# Functions of the module, and a folder: where processes are not forked, those that load are sent
# what makes their batches, and of an opened store that would be all of it.


def _cached(store: Path, sampling: Sampling, epoch: int) -> Dataset[Batch]:
    return CachedBatches(open_store(store), sampling, epoch=epoch)


def _fresh(
    manifest: pd.DataFrame,
    samplings: Sequence[Sampling],
    side: int,
    jitter: tuple[float, float],
    epoch: int,
) -> Dataset[Batch] | Dataset[list[Batch]]:
    first = FreshBatches(manifest, samplings[0], epoch=epoch, side=side, jitter=jitter)
    return first if len(samplings) == 1 else SharedBatches(first, samplings)
