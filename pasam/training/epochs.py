"""Where an epoch's batches come from: packed embeddings, or fresh views where there are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from torch.utils.data import Dataset

from pasam.errors import DataError
from pasam.modeling.base_sam import BaseSam
from pasam.params import EmbedParams
from pasam.training.embeddings import open_store
from pasam.training.samples import Batch, CachedBatches, FreshBatches, Sampling

MakeBatches = Callable[[int], Dataset[Batch]]
"""From an epoch's number to its batches."""


def batches_by_epoch(
    embed: EmbedParams,
    sampling: Sampling,
    *,
    base: BaseSam,
    checkpoint: Path,
    store: Path,
    manifest: pd.DataFrame,
) -> MakeBatches:
    """Choose the source of training batches.

    Args:
        embed: With `views` of 0 every epoch augments and encodes anew, as the paper does.
        sampling: How batches are drawn.
        base: The frozen SAM.
        checkpoint: Its weights' file, which the store must come from.
        store: Folder of the packed embeddings.
        manifest: The data.

    Raises:
        DataError: There are fewer samples than one step needs.
        CheckpointError: The store was made by another base.
    """
    if embed.views:
        opened = open_store(store)
        opened.check_base(checkpoint)

        def make(epoch: int) -> Dataset[Batch]:
            return CachedBatches(opened, sampling, epoch=epoch)
    else:

        def make(epoch: int) -> Dataset[Batch]:
            return FreshBatches(
                manifest, sampling, epoch=epoch, side=base.side, jitter=embed.jitter
            )

    if len(make(0)) == 0:  # type: ignore[arg-type]  # both kinds have a length
        need = sampling.batch_size * sampling.world
        raise DataError(
            f"there are fewer than {need} training masks, so not one step can be made. Lower "
            "train.batch_size, or add training data."
        )
    return make
