"""A trained decoder on disk: only what was trained, and which base it belongs to."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from torch import nn

from pasam.errors import CheckpointError
from pasam.modeling.base_sam import BaseSam
from pasam.modeling.build import TrainedDecoder, build_decoder
from pasam.modeling.checkpoint import load_strictly, read_metadata, read_weights, write_weights
from pasam.modeling.freezing import digest, freeze_except
from pasam.modeling.segmenter import Segmenter
from pasam.params import PaSamParams, VariantParams
from pasam.params_file import build_variant


def freeze_decoder(decoder: TrainedDecoder) -> list[str]:
    """Let the parts of a decoder learn that its variant trains, and nothing else.

    Returns:
        Names of the parameters that learn.
    """
    return freeze_except(decoder, decoder.trainable)


def write_adapter(path: Path, decoder: nn.Module, *, variant: VariantParams, base: str) -> None:
    """Write the trained tensors of a decoder.

    Args:
        path: A `.safetensors` file.
        decoder: Frozen as by `freeze_decoder`.
        variant: What the decoder is and how it was trained; the file says so, and can then be used
            without its params file.
        base: Digest of the base's checkpoint file.
    """
    weights = {name: p for name, p in decoder.named_parameters() if p.requires_grad}
    words = {"decoder": variant.decoder, "base": base}
    words["variant"] = json.dumps(dataclasses.asdict(variant), sort_keys=True)
    write_weights(path, weights, metadata=words)


def read_variant(path: Path) -> VariantParams | None:
    """Read what an adapter's file says of its decoder; None where it says nothing.

    Raises:
        CheckpointError: The file is missing or no safetensors.
        ParamsError: What it says fits no decoder of this version.
    """
    words = read_metadata(path).get("variant")
    return None if words is None else build_variant(json.loads(words), name="variant", path=path)


def load_adapter(decoder: TrainedDecoder, path: Path, *, kind: str, base: str) -> None:
    """Load trained tensors into a decoder that holds its base's weights.

    Args:
        decoder: Changed in place; frozen as by `freeze_decoder` afterwards.
        path: A file of `write_adapter`.
        kind: What the decoder is.
        base: Digest of the base's checkpoint file.

    Raises:
        CheckpointError: The file is missing, of another decoder, or was trained on another base.
    """
    weights = read_weights(path)
    words = read_metadata(path)
    for name, wanted in (("decoder", kind), ("base", base)):
        if words.get(name) != wanted:
            raise CheckpointError(
                f"{path} was trained for {name} {words.get(name)!r}, expected {wanted!r}. "
                "Train it again with `dvc repro train`, or point base.checkpoint at its base."
            )
    learning = set(freeze_decoder(decoder))
    kept = {name: t for name, t in decoder.state_dict().items() if name not in learning}
    surplus = sorted(set(weights) & set(kept))
    if surplus:
        raise CheckpointError(f"{path} holds frozen tensors, e.g. {surplus[0]}; it is no adapter.")
    load_strictly(decoder, {**kept, **weights}, source=str(path))


def build_trainable(base: BaseSam, variant: VariantParams) -> Segmenter:
    """Put a fresh decoder on a base, with only what the variant trains learning.

    The base stays frozen unless the variant trains everything.
    """
    decoder = build_decoder(base.requires_grad_(False), variant)
    freeze_decoder(decoder)
    if isinstance(variant, PaSamParams) and variant.trains == "everything":
        base.sam.image_encoder.requires_grad_(True)
        base.sam.prompt_encoder.requires_grad_(True)
    return Segmenter(base=base, decoder=decoder)


def reload_parity(segmenter: Segmenter, variant: VariantParams, path: Path, *, base: str) -> None:
    """Make sure that a written adapter, read again, is the one in memory, bit for bit.

    Raises:
        CheckpointError: It is not.
    """
    again = build_decoder(segmenter.base, variant)
    load_adapter(again, path, kind=variant.decoder, base=base)
    if digest(again.state_dict()) != digest(segmenter.decoder.state_dict()):
        raise CheckpointError(
            f"{path} does not give the trained weights back; the disk or the base has changed "
            "under the training. Repeat the stage."
        )
