"""From a model's name or file to a predictor that answers prompts."""

from __future__ import annotations

from pathlib import Path

import torch

from pasam.errors import CheckpointError, ParamsError
from pasam.inference.model_files import ModelFiles, Resolve, find_model
from pasam.inference.placement import Resize
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.modeling.adapter_weights import load_adapter
from pasam.modeling.build import build_base, build_decoder, load_base
from pasam.modeling.checkpoint import file_digest
from pasam.modeling.exchange import import_decoder, import_merged
from pasam.modeling.segmenter import Segmenter
from pasam.params_file import DEFAULT_PATH


def load_predictor(
    name: str,
    *,
    params_file: Path = DEFAULT_PATH,
    adapters: Path | None = None,
    base: Path | None = None,
    resolve: Resolve | None = None,
    device: str = "cpu",
    resize: Resize = "longest",
) -> PromptAdapterPredictor:
    """Open a model by its name or file.

    Args:
        name: `sam`, a file of weights (ours or a reference's), an entry of `models` in the params
            file, or a name that `resolve` knows.
        params_file: Says which base there is and how an entry of `models` is built.
        adapters: Folder of trained adapters, `<entry>.safetensors` each.
        base: Another checkpoint of the frozen SAM than the params file's.
        resolve: Asked for names that are neither files nor entries.
        device: `cpu`, `cuda`, `cuda:1`, ..., or `auto`.
        resize: How images are brought to the encoder's input.

    Raises:
        ParamsError: Nobody knows the name, or there is no such device.
        CheckpointError: Weights are missing or do not fit.
    """
    files = find_model(name, params_file=params_file, adapters=adapters, base=base, resolve=resolve)
    return open_model(files, device=device, resize=resize)


def open_model(
    files: ModelFiles, *, device: str = "cpu", resize: Resize = "longest"
) -> PromptAdapterPredictor:
    """Open a model whose files are known.

    Args:
        files: The files.
        device: `cpu`, `cuda`, `cuda:1`, ..., or `auto`.
        resize: How images are brought to the encoder's input.

    Raises:
        ParamsError: There is no such device.
        CheckpointError: Weights are missing or do not fit.
    """
    place = chosen_device(device)
    digest = file_digest(files.base)
    segmenter = _segmenter(files, digest).to(place)
    return PromptAdapterPredictor(segmenter, name=files.name, base=digest, resize=resize)


def chosen_device(name: str) -> torch.device:
    """Turn a device's name into the device; `auto` takes a GPU if there is one.

    Raises:
        ParamsError: There is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ParamsError(
            f"the device is {name!r}, which cannot be used here ({reason}); expected cpu, cuda, "
            "cuda:1, ... or auto."
        ) from None
    return device


def _segmenter(files: ModelFiles, digest: str) -> Segmenter:
    if files.weights is None or files.variant is None:
        base = load_base(files.size, files.base)
        return Segmenter(base=base, decoder=base.sam.mask_decoder)
    if files.kind.endswith("_merged"):
        base = build_base(files.size).eval().requires_grad_(False)
        decoder = build_decoder(base, files.variant)
        import_merged(base, decoder, files.weights)
        return Segmenter(base=base, decoder=decoder)
    base = load_base(files.size, files.base)
    decoder = build_decoder(base, files.variant)
    if files.kind == "adapter":
        load_adapter(decoder, files.weights, kind=files.variant.decoder, base=digest)
    elif files.kind.endswith("_decoder"):
        import_decoder(decoder, files.weights)
    else:
        raise CheckpointError(f"{files.weights} is {files.kind}, expected a trained decoder.")
    return Segmenter(base=base, decoder=decoder)
