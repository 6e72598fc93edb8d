"""A trained decoder on disk: only what was trained, and which base it belongs to.

Also the references' formats: what a file is, told by the names and shapes of its tensors, and a
decoder alone or a whole SAM with it as a `.pth` state dict with the references' names. SAM's own
official checkpoints need nothing of this file: `load_base` reads them as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from pasam.config.params_file import recorded_variant
from pasam.config.schema import VariantParams
from pasam.errors import CheckpointError
from pasam.models.base_sam import BaseSam
from pasam.models.build import (
    OFFICIAL_WIDTHS,
    TrainedDecoder,
    build_decoder,
    digest,
    expect_sam,
    freeze_decoder,
)
from pasam.models.checkpoint import (
    check_fit,
    expect_finite,
    load_strictly,
    read_metadata,
    read_weights,
    write_state_dict,
    write_weights,
)
from pasam.models.encoders.lite import level_widths
from pasam.models.encoders.tiny_vit import TinyVit
from pasam.models.hq_mask_decoder import HqMaskDecoder
from pasam.models.pa_mask_decoder import PaMaskDecoder
from pasam.models.segmenter import Segmenter

TRAINED_ON = "trained_on"
"""Key of an adapter's metadata: the data sets that it was trained on, as JSON."""


def write_adapter(
    path: Path,
    decoder: nn.Module,
    *,
    variant: VariantParams,
    base: str,
    trained_on: Sequence[str] = (),
) -> None:
    """Write the trained tensors of a decoder.

    Args:
        path: A `.safetensors` file.
        decoder: Frozen as by `freeze_decoder`.
        variant: What the decoder is and how it was trained; the file says so, and can then be used
            without its params file.
        base: Digest of the base's checkpoint file.
        trained_on: Names of the data sets that it was trained on; none where nobody knows.
    """
    weights = {name: p for name, p in decoder.named_parameters() if p.requires_grad}
    words = {"decoder": variant.decoder, "base": base}
    words |= {TRAINED_ON: json.dumps(sorted(trained_on))} if trained_on else {}
    words["variant"] = json.dumps(variant.model_dump(), sort_keys=True)
    write_weights(path, weights, metadata=words)


def read_variant(path: Path) -> VariantParams | None:
    """Read what an adapter's file says of its decoder; None where it says nothing.

    Raises:
        CheckpointError: The file is missing or no safetensors.
        ParamsError: What it says fits no decoder of this version.
    """
    words = read_metadata(path).get("variant")
    if words is None:
        return None
    try:
        variant = json.loads(words)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} says of its decoder what is no JSON ({error}). Train or fetch it again."
        ) from None
    return recorded_variant(variant, path=path)


def read_trained_on(path: Path) -> list[str]:
    """Read which data sets an adapter was trained on; none where its file does not say so.

    Raises:
        CheckpointError: The file is missing or no safetensors.
    """
    try:
        names = json.loads(read_metadata(path).get(TRAINED_ON, "[]"))
    except (ValueError, RecursionError):
        return []  # what somebody else wrote there says nothing
    return [str(name) for name in names] if isinstance(names, list) else []


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
    """Size of the SAM in the file, or of the one that HQ-SAM's decoder alone was made for; None
    where the tensors do not tell."""
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
    lacking = [part for part in PARTS if not any(name.startswith(part) for name in weights)]
    if "decoder" not in kind and kind != "adapter" and lacking:
        raise CheckpointError(
            f"{path} is {TITLES[kind]}, but has nothing of {', '.join(lacking)}: it is incomplete. "
            "Save all of the model's tensors, or put these over those of the SAM that it is of."
        )
    return CheckpointKind(kind, _size(weights), metadata, weights)


def expect_usable(found: CheckpointKind, source: str) -> None:
    """Refuse weights that are recognised and yet could not be opened.

    Args:
        found: What `recognise` says.
        source: Where they come from, for the error.

    Raises:
        CheckpointError: A whole SAM lacks tensors, has unknown ones or some of another shape; or
            any file holds NaN or infinity.
    """
    if found.kind == "sam" and found.size is not None:
        advice = f"Save all tensors of a SAM of the size {found.size}, and nothing else."
        expect_sam(found.size, found.weights, source=source, advice=advice)
    expect_finite(found.weights, source)


def _kind(weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Kind | None:
    def some(prefix: str) -> bool:
        return any(name.startswith(prefix) for name in weights)

    if {"decoder", "base"} <= metadata.keys():
        return "adapter"
    if some("image_encoder."):
        if some(ORIGINAL):
            return "pa_sam_merged"
        return "hq_sam_merged" if some("mask_decoder.hf_token.") else "sam"
    if not some("iou_token."):
        return None
    if some("prompt_adapter."):
        return "pa_sam_decoder"
    return "hq_sam_decoder" if some("hf_token.") else "sam_decoder"


def _size(weights: Mapping[str, Tensor]) -> str | None:
    """Tell the size of a SAM by its encoder's first tensors, or by what HQ-SAM's decoder reads.

    A ViT's code of place keeps its channels last.
    """
    if "image_encoder.trunk.stem.conv.weight" in weights:
        return "tiny"
    if "image_encoder.patch_embed.seq.0.c.weight" in weights:
        return "vit_t"
    sizes = {width: size for size, width in OFFICIAL_WIDTHS.items()}
    code = weights.get("image_encoder.pos_embed")
    if code is not None and code.ndim:
        return sizes.get(code.shape[-1])
    early = weights.get("compress_vit_feat.0.weight")  # (E, C, 2, 2)
    if early is None or early.ndim == 0:
        return None
    return {**sizes, **_SMALL_EARLY}.get(early.shape[0])


_SMALL_EARLY = {TinyVit.EARLY_DIM: "vit_t", level_widths()[1]: "tiny"}


PARTS = ("image_encoder.", "prompt_encoder.", "mask_decoder.")
"""What a whole SAM is made of."""
DECODER = "mask_decoder."
"""Where a SAM keeps its decoder."""
ORIGINAL = "mask_decoder_ori."
"""Where PA-SAM's merged file keeps SAM's decoder, whose place its own has taken."""


def import_decoder(decoder: HqMaskDecoder | PaMaskDecoder, path: Path) -> None:
    """Load a decoder's file in the reference's format; on error the decoder is unchanged.

    Raises:
        CheckpointError: The file is missing, unreadable, or another decoder's or base's.
    """
    load_strictly(
        decoder,
        read_weights(path),
        source=str(path),
        advice=f"Take a file of {type(decoder).__name__} made for the same base.size.",
    )


def export_merged(base: BaseSam, decoder: HqMaskDecoder | PaMaskDecoder, path: Path) -> None:
    """Write a whole SAM with a trained decoder as the reference merges them.

    PA-SAM's decoder takes the place of SAM's, which is kept under `mask_decoder_ori.`; of
    HQ-SAM's only the tensors are added that SAM's lacks.

    Args:
        base: The SAM.
        decoder: The decoder that was trained on it.
        path: The `.pth` file.

    Raises:
        CheckpointError: HQ-SAM's copy of SAM's decoder differs from the base's, so that the file
            would be of another model; or the path does not end in .pth or .pt.
        ParamsError: The base's encoder was opened in another precision than its file has.
    """
    base.expect_exact("writing a whole SAM")
    if isinstance(decoder, HqMaskDecoder):
        _expect_copies(base, decoder)
    write_state_dict(path, _merged(base, decoder))


def import_merged(base: BaseSam, decoder: HqMaskDecoder | PaMaskDecoder, path: Path) -> None:
    """Load a merged file into a SAM and a decoder; on error both are unchanged.

    Args:
        base: Receives SAM's weights, its original decoder among them.
        decoder: Receives the trained decoder.
        path: The `.pth` file.

    Raises:
        CheckpointError: The file is missing, unreadable, or of another size or method.
    """
    weights = read_weights(path)
    check_fit(
        weights,
        _merged(base, decoder),
        source=str(path),
        advice=f"Take a merged file of {type(decoder).__name__} made for the same base.size.",
    )
    trained = _below(weights, DECODER)
    replaced = isinstance(decoder, PaMaskDecoder)
    original = _below(weights, ORIGINAL) if replaced else trained
    own = base.sam.mask_decoder.state_dict()
    encoders = {k: v for k, v in weights.items() if not k.startswith((DECODER, ORIGINAL))}
    base.sam.load_state_dict({**encoders, **{DECODER + name: original[name] for name in own}})
    decoder.load_state_dict(trained)


def _merged(base: BaseSam, decoder: HqMaskDecoder | PaMaskDecoder) -> dict[str, Tensor]:
    """Name every tensor of the merged file."""
    whole: dict[str, Tensor] = base.sam.state_dict()
    trained = {DECODER + name: tensor for name, tensor in decoder.state_dict().items()}
    if isinstance(decoder, HqMaskDecoder):
        return {**trained, **whole}
    original = {ORIGINAL + name: tensor for name, tensor in _below(whole, DECODER).items()}
    return {**whole, **trained, **original}


def _expect_copies(base: BaseSam, decoder: HqMaskDecoder) -> None:
    copies = decoder.state_dict()
    changed = [
        name
        for name, tensor in base.sam.mask_decoder.state_dict().items()
        if not torch.equal(tensor.cpu(), copies[name].cpu())
    ]
    if changed:
        raise CheckpointError(
            f"the decoder's {changed[0]} differs from the base's ({len(changed)} tensors do), but "
            "HQ-SAM's merged file has room for SAM's only. Merge with the base it was trained on."
        )


def _below(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take the tensors whose names begin with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
