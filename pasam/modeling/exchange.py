"""Files in the references' formats: a decoder alone, a whole SAM with it, SAM's decoder cut out.

All are `.pth` state dicts with the references' names. SAM's own official checkpoints need nothing
of this module: `load_base` reads them as they are.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from pasam.errors import CheckpointError
from pasam.modeling.base_sam import BaseSam
from pasam.modeling.build import SIZES, build_base
from pasam.modeling.checkpoint import check_fit, load_strictly, read_weights, write_state_dict
from pasam.modeling.hq_mask_decoder import HqMaskDecoder
from pasam.modeling.pa_mask_decoder import PaMaskDecoder

DECODER = "mask_decoder."
"""Where a SAM keeps its decoder."""
ORIGINAL = "mask_decoder_ori."
"""Where PA-SAM's merged file keeps SAM's decoder, whose place its own has taken."""


def export_decoder(decoder: HqMaskDecoder | PaMaskDecoder, path: Path) -> None:
    """Write a decoder as its reference does: 152 tensors for PA-SAM, 145 for HQ-SAM.

    Raises:
        CheckpointError: The path does not end in .pth or .pt.
    """
    write_state_dict(path, decoder.state_dict())


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
    """
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


def cut_decoder(path: Path, out: Path) -> str:
    """Cut the decoder out of a SAM checkpoint: what the references' training starts from.

    Args:
        path: A whole SAM, such as the official `sam_vit_b_01ec64.pth`.
        out: The decoder's file, such as `sam_vit_b_maskdecoder.pth`.

    Returns:
        The size that the checkpoint was recognised as, one of `SIZES`.

    Raises:
        CheckpointError: The checkpoint is missing, unreadable or no SAM of a known size, or `out`
            does not end in .pth or .pt.
    """
    weights = read_weights(path)
    shapes: dict[str, dict[str, Tensor]] = {}
    with torch.device("meta"):  # shapes without numbers
        for size in SIZES:
            shapes[size] = build_base(size).sam.state_dict()
    nearest = max(SIZES, key=lambda size: _matches(weights, shapes[size]))
    check_fit(
        weights,
        shapes[nearest],
        source=str(path),
        advice=f"The nearest size is {nearest}; take the whole checkpoint of a SAM.",
    )
    write_state_dict(out, _below(weights, DECODER))
    return nearest


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


def _matches(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> int:
    return sum(name in found and found[name].shape == t.shape for name, t in wanted.items())
