"""Taking over the references' files: a decoder becomes an adapter of ours, on its own base."""

from __future__ import annotations

from pathlib import Path

import torch

from pasam.errors import CheckpointError
from pasam.inference.load import open_model
from pasam.inference.model_files import find_model
from pasam.modeling.adapter_weights import freeze_decoder, reload_parity, write_adapter
from pasam.modeling.checkpoint import file_digest, write_weights
from pasam.modeling.checkpoint_kind import TITLES, recognise
from pasam.modeling.segmenter import Segmenter
from pasam.params_file import DEFAULT_PATH


def import_checkpoint(
    source: Path,
    out: Path,
    *,
    base: Path | None = None,
    base_out: Path | None = None,
    params_file: Path = DEFAULT_PATH,
) -> str:
    """Write a reference's file in our format.

    A whole SAM becomes safetensors. A decoder, alone or merged into its SAM, becomes an adapter:
    only what was trained, bound to the base it was trained on.

    Args:
        source: An official SAM, or a decoder or merged file of HQ-SAM's or PA-SAM's reference.
        out: The safetensors file.
        base: The base of a decoder, if not the params file's.
        base_out: Where the SAM of a merged file goes; without it, the params file's base (or
            `base`) must be the same SAM.
        params_file: Says which base there is and how decoders are built.

    Returns:
        What the source is, in words.

    Raises:
        CheckpointError: A file does not fit, or the decoder was trained on another base.
    """
    if out.suffix != ".safetensors":
        raise CheckpointError(f"{out} ends in '{out.suffix}', expected .safetensors.")
    found = recognise(source)
    if found.kind == "sam":
        write_weights(out, found.weights, metadata={"size": found.size or ""})
        return TITLES[found.kind]
    if found.kind == "adapter":
        raise CheckpointError(f"{source} is {TITLES[found.kind]} already; copy it.")
    files = find_model(str(source), params_file=params_file, base=base)
    assert files.variant is not None, "a trained decoder has its variant"
    segmenter = open_model(files).segmenter
    on = _base_of(segmenter, merged=found.kind.endswith("_merged"), params_file=params_file,
                  base=base, base_out=base_out)  # fmt: skip
    _expect_frozen_as_base(segmenter, source, on)
    freeze_decoder(segmenter.decoder)
    digest = file_digest(on)
    write_adapter(out, segmenter.decoder, variant=files.variant, base=digest)
    reload_parity(segmenter, files.variant, out, base=digest)
    return TITLES[found.kind]


def _base_of(
    segmenter: Segmenter,
    *,
    merged: bool,
    params_file: Path,
    base: Path | None,
    base_out: Path | None,
) -> Path:
    """Find the file of the base that an imported decoder belongs to, or write it."""
    if merged and base_out is not None:
        write_weights(base_out, segmenter.base.sam.state_dict(), metadata={})
        return base_out
    on = find_model("sam", params_file=params_file, base=base).base
    if merged:
        own, there = segmenter.base.sam.state_dict(), recognise(on).weights
        changed = [n for n, t in own.items() if n not in there or not torch.equal(t, there[n])]
        if changed:
            raise CheckpointError(
                f"the SAM in the merged file is not {on}: {changed[0]} differs ({len(changed)} "
                "tensors do). Name its base, or let it be written too (--base-out)."
            )
    return on


def _expect_frozen_as_base(segmenter: Segmenter, source: Path, base: Path) -> None:
    learning = set(freeze_decoder(segmenter.decoder))
    own = segmenter.base.sam.mask_decoder.state_dict()
    changed = [
        name
        for name, tensor in segmenter.decoder.state_dict().items()
        if name in own and name not in learning and not torch.equal(tensor, own[name])
    ]
    if changed:
        raise CheckpointError(
            f"{source} was not trained on {base}: its frozen {changed[0]} differs from the base's "
            f"({len(changed)} tensors do). Name the base it was trained on (--base)."
        )
