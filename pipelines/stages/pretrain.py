"""DVC stage `pretrain`: train the small base on coarse masks; its weights are committed."""

from pathlib import Path

import torch

from pasam.config.schema import DataParams, PretrainParams
from pasam.data.manifest import read_manifest
from pasam.models.build import build_base
from pasam.models.checkpoint import load_strictly, read_weights, write_weights
from pasam.training.pretrain import pretrain as fit
from pasam.training.promptable_batches import draw_pool, read_pool
from pasam.training.resume import Checkpointer, JsonlSink, state_key
from pipelines.stage_runner import run


def pretrain(
    data: DataParams, pretrain: PretrainParams, manifest: Path, resume: Path, checkpoint: Path,
    history: Path,
) -> None:  # fmt: skip
    """Train `vit_tiny` and write its averaged weights in half precision."""
    frame = read_manifest(manifest)
    key = state_key(manifest=manifest, params=pretrain.model_dump())
    checkpointer = Checkpointer(resume, key)
    images = read_pool(frame, coarseness=pretrain.coarseness, workers=data.workers) + draw_pool(
        pretrain.generated_images, seed=data.generated.seed, side=data.generated.side,
        coarseness=pretrain.coarseness, workers=data.workers,
    )  # fmt: skip
    torch.manual_seed(pretrain.seed)
    base = build_base("vit_tiny")
    if pretrain.initial is not None:
        load_strictly(base.sam, read_weights(Path(pretrain.initial)), source=pretrain.initial)
    sink = JsonlSink(history)
    weights = fit(base, images, pretrain, sink=sink, checkpointer=checkpointer, workers=1)
    halves = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    write_weights(checkpoint, halves, metadata={"size": "vit_tiny"})
    checkpointer.clear()


if __name__ == "__main__":
    run(pretrain)
