"""From a model's params and packed embeddings to the trained model, for every stage that trains."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch

from pasam.data.manifest import read_manifest
from pasam.modeling.adapter_weights import build_trainable
from pasam.modeling.build import load_base
from pasam.modeling.freezing import digest, frozen_tensors
from pasam.modeling.segmenter import Segmenter
from pasam.params import BaseParams, EmbedParams, TrainParams, VariantParams
from pasam.training.embeddings import file_digest
from pasam.training.epochs import batches_by_epoch
from pasam.training.fit import fit, launch
from pasam.training.resume import Checkpointer, state_key
from pasam.training.samples import Sampling
from pasam.training.sink import Echo, JsonlSink


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A trained model, and what its stage needs to write results."""

    segmenter: Segmenter
    base: str
    """Digest of the base's checkpoint file."""
    frozen: str
    """Digest of all frozen tensors before training."""
    history: list[dict[str, float]]
    """Means of every epoch."""
    checkpointer: Checkpointer
    """Holds the training's last state; to be cleared once the results are written."""
    writes: bool
    """Whether this is the process that writes results."""


def train_variant(
    base: BaseParams,
    embed: EmbedParams,
    train: TrainParams,
    variant: VariantParams,
    *,
    name: str,
    manifest: Path,
    store: Path,
    resume: Path,
    history: Path | None,
    echo: Echo | None = None,
) -> Trained:
    """Train one model; go on where an interrupted run of the same training stopped.

    Args:
        base: Which SAM.
        embed: Where the encoder's outputs come from.
        train: What all models share.
        variant: The model's own choices.
        name: Its name among the interrupted trainings.
        manifest: The data.
        store: Packed embeddings of the `train` split.
        resume: Folder of interrupted trainings.
        history: JSON lines that receive the means of every epoch; None for no file.
        echo: Hears these means too, as they come.
    """
    frame = read_manifest(manifest)
    params = [dataclasses.asdict(part) for part in (embed, train, variant)]
    checkpoint = Path(base.checkpoint)
    origin = file_digest(checkpoint)
    key = state_key(manifest=manifest, origin=store / "origin.json", params=params, base=origin)
    checkpointer = Checkpointer(resume, f"{name}-{key}")
    fabric = launch(train)
    torch.manual_seed(train.seed)
    frozen = load_base(base.size, checkpoint)
    segmenter = build_trainable(frozen, variant)
    sampling = Sampling(
        batch_size=train.batch_size, mix=variant.prompts, mask_side=frozen.mask_side,
        seed=train.seed, rank=fabric.global_rank, world=fabric.world_size,
        prompts_per_mask=variant.prompts_per_mask,
    )  # fmt: skip
    batches = batches_by_epoch(
        embed, sampling, base=frozen, checkpoint=checkpoint, store=store, manifest=frame
    )
    before = digest(frozen_tensors(segmenter))
    sink = JsonlSink(history, echo=echo)
    fit(segmenter, variant, train, batches, fabric=fabric, sink=sink, checkpointer=checkpointer)
    return Trained(
        segmenter=segmenter, base=origin, frozen=before, history=sink.rows,
        checkpointer=checkpointer, writes=fabric.is_global_zero,
    )  # fmt: skip
