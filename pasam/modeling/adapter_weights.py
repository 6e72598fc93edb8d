"""A trained decoder on disk: only what was trained, and which base it belongs to."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from pasam.errors import CheckpointError
from pasam.modeling import hq_mask_decoder, pa_mask_decoder
from pasam.modeling.base_sam import BaseSam
from pasam.modeling.build import build_decoder
from pasam.modeling.checkpoint import load_strictly, read_metadata, read_weights, write_weights
from pasam.modeling.freezing import digest, freeze_except
from pasam.modeling.hq_mask_decoder import HqMaskDecoder
from pasam.modeling.segmenter import Segmenter
from pasam.params import VariantParams


def freeze_decoder(decoder: nn.Module) -> list[str]:
    """Let the parts of HQ-SAM or PA-SAM learn that their references train, and nothing else.

    Returns:
        Names of the parameters that learn.
    """
    hq = isinstance(decoder, HqMaskDecoder)
    return freeze_except(decoder, hq_mask_decoder.TRAINABLE if hq else pa_mask_decoder.TRAINABLE)


def write_adapter(path: Path, decoder: nn.Module, *, kind: str, base: str) -> None:
    """Write the trained tensors of a decoder.

    Args:
        path: A `.safetensors` file.
        decoder: Frozen as by `freeze_decoder`.
        kind: `hq_sam` or `pa_sam`.
        base: Digest of the base's checkpoint file.
    """
    weights = {name: p for name, p in decoder.named_parameters() if p.requires_grad}
    write_weights(path, weights, metadata={"decoder": kind, "base": base})


def load_adapter(decoder: nn.Module, path: Path, *, kind: str, base: str) -> None:
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
    """Put a fresh decoder on a frozen base, with only its own parts learning."""
    segmenter = Segmenter(base=base.requires_grad_(False), decoder=build_decoder(base, variant))
    freeze_decoder(segmenter.decoder)
    return segmenter


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
