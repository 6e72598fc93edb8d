"""Training batches of the adapters from photographs in memory: by set, by size, and zoomed.

The reference jitters whole images, which shows an adapter little but large objects. Here views are
those of the base's own training (`ObjectBatches`), the labels are the masks as they are, and the
prompts are the adapters'.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from pasam.errors import DataError
from pasam.training.annotated import Annotated
from pasam.training.embeddings import SMALLEST_LABEL
from pasam.training.object_batches import ObjectBatches, ObjectSampler, ViewShares
from pasam.training.samples import CROPS, Batch, Sampling, prompt_tensors

# Shapes: B views with one mask each, N prompts, S pixels a side.


class PhotographBatches(Dataset[Batch]):
    """The batches of one epoch, drawn object by object and encoded in the training step.

    Args:
        pictures: What there is.
        sampler: Which objects are drawn.
        views: How often a view is whole, a crop, a zoom.
        sampling: How many masks a batch holds, and which prompts.
        epoch: Number of the epoch, from 0.
        side: Input side S.
        samples: Masks in an epoch.
    """

    def __init__(
        self,
        pictures: Sequence[Annotated],
        *,
        sampler: ObjectSampler,
        views: ViewShares,
        sampling: Sampling,
        epoch: int,
        side: int,
        samples: int,
    ) -> None:
        self.sampler = sampler
        self.sampling = sampling
        self.epoch = epoch
        self.samples = samples
        self.looks = ObjectBatches(
            pictures,
            sampler=sampler,
            views=views,
            side=side,
            full_side=side,
            batch_size=sampling.batch_size,
            prompts_per_image=1,
            box_share=1.0,
            seed=sampling.seed,
            steps=len(self),
        )

    def __len__(self) -> int:
        """Return the number of steps of the epoch."""
        return self.sampling.steps(self.samples)

    def __getitem__(self, step: int) -> Batch:
        """Make the batch of one step."""
        rng = np.random.default_rng([self.sampling.seed, 5, self.epoch, step, self.sampling.rank])
        images, labels = [], []
        for _ in range(self.sampling.batch_size):
            image, label = self._view(rng)
            images.append(image)
            labels.append(label)
        index = self.sampling.image_index(len(labels))
        stacked = np.stack(labels)[index]
        return Batch(
            images=torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(),
            embedding=None,
            early=None,
            image_index=torch.from_numpy(index),
            labels=torch.from_numpy(stacked),
            prompts=prompt_tensors(stacked, self.sampling, rng),
        )

    def _view(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Draw objects until one shows enough pixels for a prompt; image and fine mask.

        Raises:
            DataError: None does.
        """
        for _ in range(CROPS):
            number, index = self.sampler.draw(rng)
            view = self.looks.view(number, index, rng)
            label = view.fine[index]
            if (label > 128).sum() >= SMALLEST_LABEL:
                return view.image, label
        raise DataError(
            f"{CROPS} views in turn showed fewer than {SMALLEST_LABEL} pixels of their object. Use "
            "larger objects, or more zooms (less of whole and crop)."
        )
