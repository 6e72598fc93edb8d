"""The models that are compared with each other: one frozen base, and a decoder for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pasam.benchmarks.scores import UNTRAINED
from pasam.modeling.adapter_weights import build_trainable, load_adapter
from pasam.modeling.base_sam import BaseSam
from pasam.modeling.build import load_base
from pasam.modeling.segmenter import Segmenter
from pasam.params import BaseParams, ModelsParams
from pasam.training.embeddings import file_digest

SAM = "sam"


@dataclass(frozen=True, slots=True)
class Contender:
    """One model of a comparison."""

    name: str
    seed: int
    """Seed of its training, `UNTRAINED` if there was none."""
    segmenter: Segmenter


@dataclass(frozen=True, slots=True)
class Lineup:
    """Models on one base, so that an image is encoded once for all of them."""

    base: BaseSam
    contenders: tuple[Contender, ...]


def load_lineup(
    base: BaseParams,
    models: ModelsParams,
    trained: Sequence[str],
    *,
    adapters: Path,
    seed: int,
    device: torch.device,
) -> Lineup:
    """Load SAM itself and the trained models.

    Args:
        base: Which SAM.
        models: Section `models` of the params.
        trained: Names of the trained models.
        adapters: Folder of `<model>.safetensors`.
        seed: Seed of their training.
        device: Where the models go.

    Raises:
        CheckpointError: A file is missing or belongs to another model.
    """
    checkpoint = Path(base.checkpoint)
    frozen = load_base(base.size, checkpoint)
    digest = file_digest(checkpoint)
    plain = Segmenter(base=frozen, decoder=frozen.sam.mask_decoder)
    contenders = [Contender(SAM, UNTRAINED, plain)]
    for name in trained:
        variant = models[name]
        segmenter = build_trainable(frozen, variant)
        weights = adapters / f"{name}.safetensors"
        load_adapter(segmenter.decoder, weights, kind=variant.decoder, base=digest)
        contenders.append(Contender(name, seed, segmenter))
    for contender in contenders:
        contender.segmenter.eval().to(device)
    return Lineup(frozen, tuple(contenders))
