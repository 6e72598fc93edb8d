"""Which files make a model: found by the model's name, by a file, or by somebody who is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pasam.errors import CheckpointError, ParamsError
from pasam.modeling.adapter_weights import read_variant
from pasam.modeling.checkpoint_kind import TITLES, Kind, recognise
from pasam.params import BaseParams, VariantParams
from pasam.params_file import DEFAULT_PATH, load_section, load_variant, read_params

SAM = "sam"
"""The name of the frozen base by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFiles:
    """All that is needed to open a model."""

    name: str
    """What the model is called, for people."""
    base: Path
    """The frozen SAM's checkpoint; a merged file is its own."""
    size: str
    """The base's size, one of `pasam.modeling.build.SIZES`."""
    kind: Kind
    """What `weights` is; `sam` when there is none."""
    weights: Path | None
    """The trained decoder; None for SAM itself."""
    variant: VariantParams | None
    """How that decoder is built; None for SAM itself."""
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """What it reached, by benchmark and measure in per cent, where its finder knows that."""


Resolve = Callable[[str], ModelFiles | None]
"""Somebody who may know a name, such as a registry's aliases; None when it does not."""


def find_model(
    name: str,
    *,
    params_file: Path = DEFAULT_PATH,
    adapters: Path | None = None,
    base: Path | None = None,
    resolve: Resolve | None = None,
) -> ModelFiles:
    """Find the files of a model.

    Args:
        name: `sam` for the base; a file of weights, ours or a reference's; an entry of `models`
            in the params file; or a name that `resolve` knows.
        params_file: Says which base there is and how an entry of `models` is built.
        adapters: Folder of trained adapters, `<entry>.safetensors` each.
        base: Another checkpoint of the frozen SAM than the params file's.
        resolve: Asked for names that are neither files nor entries.

    Raises:
        ParamsError: Nobody knows the name, or the params file does not fit.
        CheckpointError: A file is missing or is no weights.
    """
    if name == SAM:
        return _sam(SAM, *_base(params_file, base))
    path = Path(name)
    if path.is_file():
        return _of_file(path, params_file, base)
    looks_like_file = path.suffix in (".safetensors", ".pth", ".pt")
    models = read_params(params_file).get("models", {}) if params_file.is_file() else {}
    weights = None if adapters is None else adapters / f"{name}.safetensors"
    if weights is not None and not looks_like_file and (name in models or weights.is_file()):
        return _of_entry(name, weights, params_file, base)
    found = resolve(name) if resolve and not looks_like_file else None
    if found is None and name in models and adapters is None:
        raise ParamsError(
            f"'{name}' is an entry of {params_file}: say in which folder its adapter lies "
            f"(adapters=...), or give the file, {name}.safetensors."
        )
    if found is None:
        raise ParamsError(
            f"there is no model '{name}': it is no file, and the entries of {params_file} are "
            f"{[SAM, *models]}. Give a file of weights, or one of these."
        )
    return found


def _of_entry(name: str, weights: Path, params_file: Path, base: Path | None) -> ModelFiles:
    if not weights.is_file():
        raise CheckpointError(
            f"{weights} does not exist: {name} is not trained yet. Run `make reproduce`, or give a "
            "file of weights."
        )
    checkpoint, size = _base(params_file, base)
    variant = read_variant(weights) or load_variant(name, params_file)
    return ModelFiles(
        name=name, base=checkpoint, size=size, kind="adapter", weights=weights, variant=variant
    )


def _of_file(path: Path, params_file: Path, base: Path | None) -> ModelFiles:
    found = recognise(path)
    if found.kind == "sam":
        return _sam(path.stem, path, found.size or "")
    if found.kind == "sam_decoder":
        raise CheckpointError(
            f"{path} is SAM's mask decoder alone, which predicts nothing without its encoder. "
            "Give the whole SAM's checkpoint."
        )
    if found.kind == "adapter":
        variant = read_variant(path) or load_variant(path.stem, params_file)
    else:
        variant = _variant_of(found.kind.rpartition("_")[0], params_file)
    merged = found.kind.endswith("_merged")
    checkpoint, size = (path, found.size or "") if merged else _base(params_file, base)
    return ModelFiles(
        name=path.stem,
        base=checkpoint,
        size=size,
        kind=found.kind,
        weights=path,
        variant=variant,
    )


def _sam(name: str, checkpoint: Path, size: str) -> ModelFiles:
    return ModelFiles(name=name, base=checkpoint, size=size, kind="sam", weights=None, variant=None)


def _base(params_file: Path, base: Path | None) -> tuple[Path, str]:
    """Return the checkpoint of the frozen SAM and its size."""
    if base is not None:
        found = recognise(base)
        if found.kind != "sam":
            raise CheckpointError(f"{base} is {TITLES[found.kind]}; give a whole SAM's checkpoint.")
        return base, found.size or ""
    params = load_section(BaseParams, "base", params_file)
    return Path(params.checkpoint), params.size


def _variant_of(decoder: str, params_file: Path) -> VariantParams:
    """Return the first entry of `models` with this decoder: references say nothing of themselves.

    Raises:
        ParamsError: There is none.
    """
    for name, entry in read_params(params_file).get("models", {}).items():
        if isinstance(entry, dict) and entry.get("decoder") == decoder:
            return load_variant(name, params_file)
    raise ParamsError(
        f"{params_file}: no entry of models has the decoder '{decoder}', which says how the file "
        "is built. Add one, as in params/default.yaml."
    )
