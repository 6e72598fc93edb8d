"""DVC stage `pretrain`: train the small base on coarse masks; its weights are committed."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from pasam.config.schema import DataParams, PhotographParams, PretrainParams
from pasam.errors import CheckpointError
from pasam.models.base_sam import BaseSam
from pasam.models.build import build_base
from pasam.models.checkpoint import load_strictly, read_weights, write_weights
from pasam.models.encoders.lite import from_original
from pasam.training.annotated import MANIFEST, draw_scenes, read_photographs
from pasam.training.photograph_training import train_on_photographs
from pasam.training.resume import Checkpointer, JsonlSink, state_key
from pasam.workers import started_group
from pipelines.stage_runner import run

AVERAGE = "average.safetensors"
"""The averaged weights so far, beside the state of a training on photographs."""


def pretrain(
    data: DataParams, pretrain: PretrainParams, resume: Path, checkpoint: Path, curve: Path
) -> None:
    """Train `tiny` on a folder of photographs and on generated scenes; write half precision."""
    params = pretrain.photographs
    workers = started_group().workers(data.workers)
    folder = None if params.folder is None else Path(params.folder)
    sources = {"initial": pretrain.initial, "trunk": params.trunk, "decoder": params.decoder}
    key = state_key(
        params=params.model_dump(),
        seed=pretrain.seed,
        scenes=[pretrain.generated_images, data.generated.seed, data.generated.side],
        photographs=None if folder is None else folder / MANIFEST,
        **{name: None if path is None else Path(path) for name, path in sources.items()},
    )
    checkpointer = Checkpointer(resume, key)
    drawn = draw_scenes(
        pretrain.generated_images,
        seed=data.generated.seed,
        side=data.generated.side,
        coarseness=params.coarseness,
        workers=workers,
    )
    read = partial(read_photographs, coarseness=params.coarseness, workers=workers)
    pictures = ([] if folder is None else read(folder)) + drawn
    torch.manual_seed(pretrain.seed)
    base = build_base("tiny")
    _initialise(base, params, pretrain.initial)
    weights = train_on_photographs(
        base,
        pictures,
        params,
        seed=pretrain.seed,
        sink=JsonlSink(curve),
        checkpointer=checkpointer,
        report=partial(_write_halves, checkpointer.folder / AVERAGE),
    )
    if weights is not None:
        _write_halves(checkpoint, weights)
        checkpointer.clear()


def _initialise(base: BaseSam, params: PhotographParams, initial: str | None) -> None:
    """Give `tiny` its first weights: a whole earlier training's, or its parts' own.

    Raises:
        CheckpointError: A file is missing or of another architecture.
    """
    if initial is not None:
        load_strictly(base.sam, read_weights(Path(initial)), source=initial)
        return
    if params.decoder is not None:
        own = base.sam.state_dict()
        given = read_weights(Path(params.decoder))
        fitting = {
            name: tensor.to(own[name].dtype)
            for name, tensor in given.items()
            if name in own and own[name].shape == tensor.shape
        }
        if not any(name.startswith("mask_decoder.") for name in fitting):
            raise CheckpointError(
                f"{params.decoder} holds no mask decoder that fits `tiny`; expected the weights of "
                "a base with an embedding of as many channels. Set pretrain.photographs.decoder to "
                "such a file, or to null."
            )
        base.sam.load_state_dict({**own, **fitting})
    if params.trunk is not None:
        trunk = base.sam.image_encoder.trunk
        renamed = from_original(read_weights(Path(params.trunk)))
        advice = "Set pretrain.photographs.trunk to the file that the package ships."
        load_strictly(trunk, renamed, source=params.trunk, advice=advice)


def _write_halves(path: Path, weights: Mapping[str, Tensor]) -> None:
    halves = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    write_weights(path, halves, metadata={"size": "tiny"})


if __name__ == "__main__":
    run(pretrain, devices="pretrain.photographs")
