"""DVC stage `train`: fit one model's adapter on the frozen base."""

import dataclasses
from pathlib import Path

import torch

from pasam.data.manifest import read_manifest
from pasam.modeling.adapter_weights import build_trainable, reload_parity, write_adapter
from pasam.modeling.build import load_base
from pasam.params import BaseParams, EmbedParams, TrainParams, VariantParams
from pasam.training.embeddings import file_digest
from pasam.training.epochs import batches_by_epoch
from pasam.training.fit import fit, launch
from pasam.training.resume import Checkpointer, state_key
from pasam.training.samples import Sampling
from pasam.training.sink import JsonlSink
from pasam.validation.verdict import require_passed
from pipelines.stage_runner import run


def train(
    base: BaseParams, embed: EmbedParams, train: TrainParams, variant: VariantParams,
    model: str, manifest: Path, verdict: Path, store: Path,
    resume: Path, weights: Path, history: Path,
) -> None:  # fmt: skip
    """Write the trained tensors of one model and the history of its training."""
    frame = read_manifest(manifest)
    require_passed(verdict, manifest)
    params = [dataclasses.asdict(part) for part in (embed, train, variant)]
    checkpoint = Path(base.checkpoint)
    digest = file_digest(checkpoint)
    key = state_key(manifest=manifest, origin=store / "origin.json", params=params, base=digest)
    checkpointer = Checkpointer(resume, f"{model}-{key}")
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
    sink = JsonlSink(history)
    fit(segmenter, variant, train, batches, fabric=fabric, sink=sink, checkpointer=checkpointer)
    if fabric.is_global_zero:
        write_adapter(weights, segmenter.decoder, variant=variant, base=digest)
        reload_parity(segmenter, variant, weights, base=digest)
        checkpointer.clear()


if __name__ == "__main__":
    run(train)
