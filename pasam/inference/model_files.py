"""From a model's name or file to a predictor; the references' files made ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch

from pasam.config.params_file import DEFAULT_PATH, load_section, load_variant, read_params
from pasam.config.schema import (
    AdapterParams,
    BaseParams,
    EncoderPrecision,
    PaSamParams,
    VariantParams,
)
from pasam.data.catalogue import GENERATED
from pasam.errors import CheckpointError, ParamsError
from pasam.inference.image_transform import Resize
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.models.adapter_weights import (
    TITLES,
    Kind,
    import_decoder,
    import_merged,
    load_adapter,
    read_trained_on,
    read_variant,
    recognise,
    reload_parity,
    write_adapter,
)
from pasam.models.base_sam import choose_device
from pasam.models.build import (
    SIZES,
    as_published,
    build_base,
    build_decoder,
    freeze_decoder,
    load_base,
)
from pasam.models.checkpoint import file_digest, read_metadata, write_weights
from pasam.models.segmenter import Segmenter

SAM = "sam"
"""The name of the frozen base by itself."""
PACKAGED = Path(__file__).parents[1] / "packaged"
"""The models that come with the package: adapters, and the base `PACKAGED_BASE` they stand on."""
PACKAGED_BASE = "tiny"
PACKAGED_BEST = "pa_sam_plus"
"""The packaged adapter of Table 1's row `packaged`: that of the model that is best there."""
PACKAGED_NAME = "packaged"
"""The name by which that one is asked for; all of them, and their base, are `packaged/pa_sam`,
`packaged/sam`, ..., whatever the project has trained."""
DEFAULT = "packaged/pa_sam"
"""Which answers where nobody named one: on photographs the best that comes with the package."""
PROJECT = "project"
"""The origin of a model that the project has trained."""
_FIRST = (PACKAGED_BEST, "pa_sam")  # a project's own models in the order of preference

Seen = Literal["synthetic", "photographs", "unknown"]
"""What a model was trained on: synthetic images only, other images too, or what nobody recorded."""
SEEN_WORDS: Mapping[Seen, str] = {
    "synthetic": "trained on synthetic images only",
    "photographs": "trained on photographs too",
    "unknown": "training images not recorded",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFiles:
    """All that is needed to open a model."""

    name: str
    """What the model is called, for people."""
    base: Path
    """The frozen SAM's checkpoint; a merged file is its own."""
    size: str
    """The base's size, one of `pasam.models.build.SIZES`."""
    encoder_precision: EncoderPrecision = "32-true"
    """How its encoder computes: as the params say where the base is theirs."""
    kind: Kind
    """What `weights` is; `sam` when there is none."""
    weights: Path | None
    """The trained decoder; None for SAM itself."""
    variant: VariantParams | None
    """How that decoder is built; None for SAM itself."""
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """What it reached, by benchmark and measure in per cent, where its finder knows that."""

    origin: str
    """Whose it is: `PACKAGED_NAME`, `PROJECT`, `registry version 2`, `run ID`, or a file's path."""

    @property
    def packaged(self) -> bool:
        """Whether it came with the package, trained on photographs too, not in this project."""
        return self.origin == PACKAGED_NAME

    @property
    def seen(self) -> Seen:
        """What it was trained on, as its file of weights says; of SAM itself, what the base was."""
        if self.packaged:
            return "photographs"
        if self.weights is None or self.kind == "sam":
            return "photographs" if self.size in SIZES else "unknown"
        return seen_by(self.weights)


def seen_by(weights: Path) -> Seen:
    """Read what a trained decoder was trained on; the references' files do not say so."""
    try:
        names = read_trained_on(weights) if weights.suffix == ".safetensors" else []
    except CheckpointError:  # it is being written, or damaged: whoever opens it will say so
        names = []
    if not names:
        return "unknown"
    return "synthetic" if set(names) <= set(GENERATED) else "photographs"


def own_models(params_file: Path, adapters: Path | None) -> dict[str, Path]:
    """Find the files of the entries of `models` that are trained, PA-SAM+ and PA-SAM first."""
    if adapters is None or not params_file.is_file():
        return {}
    entries = read_params(params_file).get("models", {})
    ranked = sorted(entries, key=lambda n: _FIRST.index(n) if n in _FIRST else len(_FIRST))
    files = {name: adapters / f"{name}.safetensors" for name in ranked}
    return {name: file for name, file in files.items() if file.is_file()}


def default_model(
    params_file: Path = DEFAULT_PATH, adapters: Path | None = None, base: Path | None = None
) -> str:
    """Name the model that answers where nobody named one.

    It is the packaged PA-SAM, which has seen photographs, until the project has trained a model
    that has seen some too: one that knows synthetic images alone finds a fraction of the object.
    On another base (`base`) it is the project's own that was trained on it, or that base itself.
    What a smoke run has trained in a few steps takes nobody's place.
    """
    own = own_models(params_file, adapters)
    if base is not None:
        digest = file_digest(base)
        on_it = (n for n, file in own.items() if read_metadata(file).get("base") == digest)
        return next(on_it, SAM)
    smoke = own and read_params(params_file).get("preset") == "smoke"
    seen = (n for n, file in own.items() if not smoke and seen_by(file) == "photographs")
    return next(seen, DEFAULT)


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
            in the params file; `packaged` for the PA-SAM+ that comes with the package, and
            `packaged/NAME` for each model that does; or a name that `resolve` knows.
        params_file: Says which base there is and how an entry of `models` is built. Outside a
            project, where there is none, the base is the one that comes with the package.
        adapters: Folder of trained adapters, `<entry>.safetensors` each. Where it lacks an entry,
            the model of this name that comes with the package takes its place.
        base: Another checkpoint of the frozen SAM than the params file's; packaged models have
            their own.
        resolve: Asked for names that are neither files nor entries.

    Raises:
        ParamsError: Nobody knows the name, or the params file does not fit.
        CheckpointError: A file is missing or is no weights.
    """
    if name == SAM:
        return _base(params_file, base)
    if name in (PACKAGED_NAME, *packaged_names()):
        return _packaged(name.partition("/")[2] or PACKAGED_BEST, base)
    path = Path(name)
    if path.is_file():
        return _of_file(path, params_file, base)
    looks_like_file = path.suffix in (".safetensors", ".pth", ".pt")
    models = read_params(params_file).get("models", {}) if params_file.is_file() else {}
    weights = None if adapters is None else adapters / f"{name}.safetensors"
    if base is None and (weights is None or not weights.is_file()):
        packaged = packaged_model(name)
        if packaged is not None:
            return packaged
    if weights is not None and not looks_like_file and (name in models or weights.is_file()):
        return _of_entry(name, weights, params_file, base)
    found = resolve(name) if resolve and not looks_like_file else None
    if found is None and name in models and adapters is None:
        raise ParamsError(
            f"'{name}' is an entry of {params_file}: say in which folder its adapter lies "
            f"(adapters=...), or give the file, {name}.safetensors."
        )
    if found is None:
        raise ParamsError(_unknown(name, params_file, adapters, base))
    return found


def _unknown(name: str, params_file: Path, adapters: Path | None, base: Path | None) -> str:
    """Say of a name that nobody knows which ones open a model here."""
    own = {} if base is not None else own_models(params_file, adapters)
    brought = [] if base is not None else packaged_models()
    here = [SAM, *own, *(each for each in brought if each not in own)]
    packaged = packaged_names() if brought else []
    advice = (
        "A name has no comma: where several models may be named, each has a --model of its own"
        if "," in name
        else "Give one of these, or a file of weights"
    )
    return (
        f"there is no model '{name}': it is neither a file nor one of the names known here: "
        f"{', '.join([*here, *packaged])}. {advice}."
    )


def packaged_names() -> list[str]:
    """Name what comes with the package so that no model of the project can be meant."""
    found = packaged_models()
    return [PACKAGED_NAME, *(f"{PACKAGED_NAME}/{each}" for each in (SAM, *found))] if found else []


def packaged_models() -> list[str]:
    """Name the adapters that come with the package."""
    found = sorted(path.stem for path in PACKAGED.glob("*.safetensors"))
    return [name for name in found if name != PACKAGED_BASE]


def packaged_model(name: str) -> ModelFiles | None:
    """Find an adapter that comes with the package, with its base; None for any other name."""
    if name not in packaged_models():
        return None
    weights = PACKAGED / f"{name}.safetensors"
    return replace(
        _packaged_base(), name=f"{name} (packaged)", kind="adapter", weights=weights,
        variant=read_variant(weights), origin=PACKAGED_NAME,
    )  # fmt: skip


def _packaged(name: str, base: Path | None) -> ModelFiles:
    if base is not None:
        raise CheckpointError(
            f"the packaged {name} stands on a base of its own, not on {base}. Name another model."
        )
    if name == SAM:
        return replace(_packaged_base(), name=f"{SAM} (packaged)")
    found = packaged_model(name)
    if found is None:
        raise CheckpointError(f"the packaged {name} did not come with it. Name another model.")
    return found


def _of_entry(name: str, weights: Path, params_file: Path, base: Path | None) -> ModelFiles:
    if not weights.is_file():
        raise CheckpointError(
            f"{weights} does not exist: {name} is not trained yet. Run `make reproduce`, or give a "
            "file of weights."
        )
    on = _base(params_file, base)
    variant = read_variant(weights) or load_variant(name, params_file)
    return replace(on, name=name, kind="adapter", weights=weights, variant=variant, origin=PROJECT)


def _of_file(path: Path, params_file: Path, base: Path | None) -> ModelFiles:
    found = recognise(path)
    if found.kind == "sam":
        return _sam(path, found.size, name=path.stem)
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
    on = _sam(path, found.size) if merged else _base(params_file, base)
    return replace(
        on, name=path.stem, kind=found.kind, weights=path, variant=variant, origin=str(path)
    )


def _sam(
    checkpoint: Path, size: str | None, precision: EncoderPrecision = "32-true", *, name: str = SAM
) -> ModelFiles:
    """Describe a frozen SAM by itself; one that the params do not name computes in `32-true`."""
    brought = checkpoint.resolve().parent == PACKAGED.resolve()
    return ModelFiles(
        name=name, base=checkpoint, size=size or "", encoder_precision=precision, kind="sam",
        weights=None, variant=None, origin=PACKAGED_NAME if brought else str(checkpoint),
    )  # fmt: skip


def _packaged_base() -> ModelFiles:
    return _sam(PACKAGED / f"{PACKAGED_BASE}.safetensors", PACKAGED_BASE)


def _base(params_file: Path, base: Path | None) -> ModelFiles:
    """Find the frozen SAM: the one given, or that of the params."""
    if base is not None:
        found = recognise(base)
        if found.kind != "sam":
            raise CheckpointError(f"{base} is {TITLES[found.kind]}; give a whole SAM's checkpoint.")
        return _sam(base, found.size)
    if params_file == DEFAULT_PATH and not params_file.is_file():  # not in a project
        return _packaged_base()
    params = load_section(BaseParams, "base", params_file)
    return _sam(Path(params.checkpoint), params.size, params.encoder_precision)


def _variant_of(decoder: str, params_file: Path) -> VariantParams:
    """Return the first entry of `models` with this decoder, whole, and as published.

    References say nothing of themselves, and have no decoder with a part left out. What else an
    entry chooses is its own: by that their files would give other masks than they were made for.

    Raises:
        ParamsError: There is none.
    """
    for name, entry in read_params(params_file).get("models", {}).items():
        if isinstance(entry, dict) and entry.get("decoder") == decoder:
            variant = load_variant(name, params_file)
            if not isinstance(variant, PaSamParams) or _has_all(variant.adapter):
                return as_published(variant)
    raise ParamsError(
        f"{params_file}: no entry of models has the whole decoder '{decoder}', which says how the "
        "file is built. Add one, as in params/default.yaml."
    )


def _has_all(parts: AdapterParams) -> bool:
    whole = parts.dense and parts.sparse and parts.tokens
    return whole and parts.maps == "grid" and not parts.fine


def open_model(
    files: ModelFiles, *, device: str = "cpu", resize: Resize | None = None, exact: bool = False
) -> PromptAdapterPredictor:
    """Open a model whose files are known.

    Args:
        files: The files.
        device: `cpu`, `cuda`, `cuda:1`, ..., `mps`, or `auto`.
        resize: How images are brought to the encoder's input; by default as the base is best at,
            `squash` for `tiny` and `longest`, SAM's own way, for the others.
        exact: Whether the encoder has the numbers of its file and computes in `32-true`, whatever
            the params say: what is written of a model's weights has to be exact.

    Raises:
        ParamsError: There is no such device.
        CheckpointError: Weights are missing or do not fit.
    """
    usual: Resize = "squash" if files.size == "tiny" else "longest"
    place = choose_device(device, mps=True)
    digest = file_digest(files.base)
    files = replace(files, encoder_precision="32-true") if exact else files
    segmenter = _segmenter(files, digest).to(place)
    return PromptAdapterPredictor(
        segmenter, name=files.name, base=digest, resize=resize or usual,
        origin=files.origin, trained_on=SEEN_WORDS[files.seen],
    )  # fmt: skip


def _segmenter(files: ModelFiles, digest: str) -> Segmenter:
    if files.weights is None or files.variant is None:
        base = load_base(files.size, files.base, files.encoder_precision)
        return Segmenter(base=base, decoder=base.sam.mask_decoder)
    if files.kind.endswith("_merged"):
        base = build_base(files.size).eval().requires_grad_(False)
        decoder = build_decoder(base, files.variant)
        import_merged(base, decoder, files.weights)
        return Segmenter(base=base, decoder=decoder)
    base = load_base(files.size, files.base, files.encoder_precision)
    decoder = build_decoder(base, files.variant)
    if files.kind == "adapter":
        load_adapter(decoder, files.weights, kind=files.variant.decoder, base=digest)
    elif files.kind.endswith("_decoder"):
        import_decoder(decoder, files.weights)
    else:
        raise CheckpointError(f"{files.weights} is {files.kind}, expected a trained decoder.")
    return Segmenter(base=base, decoder=decoder)


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
    segmenter = open_model(files, exact=True).segmenter
    on = _base_of(segmenter, found.kind.endswith("_merged"), params_file, base, base_out)
    _expect_frozen_as_base(segmenter, source, on)
    freeze_decoder(segmenter.decoder)
    digest = file_digest(on)
    write_adapter(out, segmenter.decoder, variant=files.variant, base=digest)
    reload_parity(segmenter, files.variant, out, base=digest)
    return TITLES[found.kind]


def _base_of(
    segmenter: Segmenter, merged: bool, params_file: Path, base: Path | None, base_out: Path | None
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
    decoder = segmenter.decoder.state_dict().items()
    frozen = [(name, part) for name, part in decoder if name in own and name not in learning]
    changed = [name for name, part in frozen if not torch.equal(part, own[name])]
    if changed:
        raise CheckpointError(
            f"{source} was not trained on {base}: its frozen {changed[0]} differs from the base's "
            f"({len(changed)} tensors do). Name the base it was trained on (--base)."
        )
