"""What a file of weights is: told by the names and shapes of its tensors, not by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from pasam.errors import CheckpointError
from pasam.modeling.build import OFFICIAL_WIDTHS
from pasam.modeling.checkpoint import read_metadata, read_weights

Kind = Literal[
    "sam", "adapter", "sam_decoder", "hq_sam_decoder", "pa_sam_decoder", "hq_sam_merged",
    "pa_sam_merged",
]  # fmt: skip

TITLES: dict[Kind, str] = {
    "sam": "a whole SAM",
    "adapter": "the trained tensors of a decoder (ours)",
    "sam_decoder": "SAM's mask decoder alone (the references' starting point)",
    "hq_sam_decoder": "HQ-SAM's mask decoder alone (the reference's file)",
    "pa_sam_decoder": "PA-SAM's mask decoder alone (the reference's file)",
    "hq_sam_merged": "a whole SAM with HQ-SAM's decoder merged in (the reference's file)",
    "pa_sam_merged": "a whole SAM with PA-SAM's decoder merged in (the reference's file)",
}


@dataclass(frozen=True, slots=True)
class CheckpointKind:
    """What a file of weights is."""

    kind: Kind
    size: str | None
    """Size of the SAM in the file; None where there is only a decoder."""
    metadata: Mapping[str, str]
    """Words that travel with safetensors."""
    weights: Mapping[str, Tensor]


def recognise(path: Path) -> CheckpointKind:
    """Read a file of weights and say what it is.

    Raises:
        CheckpointError: It is missing, unreadable, or nothing that is known here.
    """
    weights = read_weights(path)
    metadata = read_metadata(path) if path.suffix == ".safetensors" else {}
    kind = _kind(weights, metadata)
    if kind is None:
        raise CheckpointError(
            f"{path} holds {len(weights)} tensors, e.g. {', '.join(sorted(weights)[:3]) or 'none'}:"
            " no whole SAM, no mask decoder and no adapter. Expected one of: "
            f"{'; '.join(TITLES.values())}."
        )
    return CheckpointKind(kind, _size(weights), metadata, weights)


def _kind(weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Kind | None:
    def some(prefix: str) -> bool:
        return any(name.startswith(prefix) for name in weights)

    if {"decoder", "base"} <= metadata.keys():
        return "adapter"
    if some("image_encoder."):
        if some("mask_decoder_ori."):
            return "pa_sam_merged"
        return "hq_sam_merged" if some("mask_decoder.hf_token.") else "sam"
    if not some("iou_token."):
        return None
    if some("prompt_adapter."):
        return "pa_sam_decoder"
    return "hq_sam_decoder" if some("hf_token.") else "sam_decoder"


def _size(weights: Mapping[str, Tensor]) -> str | None:
    """Tell the size of a SAM by its code of place: a ViT keeps its channels last."""
    code = weights.get("image_encoder.pos_embed")
    if "image_encoder.trunk.stem.conv.weight" in weights:
        return "tiny"
    if code is None:
        return None
    sizes = {width: size for size, width in OFFICIAL_WIDTHS.items()}
    return sizes.get(code.shape[-1], "vit_tiny")
