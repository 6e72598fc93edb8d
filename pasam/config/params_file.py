"""From a params file to its sections; a missing or unknown key is an error."""

from __future__ import annotations

import copy
import dataclasses
import functools
import types
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from pasam.config.models import HqSamParams, ImageAdapterParams, PaSamParams, VariantParams
from pasam.config.sections import AblationsParams, ModelsParams
from pasam.errors import ParamsError

T = TypeVar("T")

_KINDS: dict[str, type[VariantParams]] = {
    "hq_sam": HqSamParams,
    "pa_sam": PaSamParams,
    "image_adapter": ImageAdapterParams,
}
"""Dataclass of an entry of `models`, by its `decoder`."""

RENAMED = {
    "lr_drop_every": "lr_step_size",
    "average_decay": "ema_decay",
    "quality_head": "iou_head",
    "draws": "n_resamples",
    "boundary_share": "boundary_fraction",
    "unreviewed_share": "unreviewed_fraction",
    "quarantined_share": "quarantined_fraction",
}
"""Today's names of the keys of earlier versions."""

DEFAULT_PATH = Path("params.yaml")


def read_params(path: Path = DEFAULT_PATH) -> dict[str, Any]:
    """Read a params file as plain data.

    Raises:
        ParamsError: The file is missing, is not YAML, or holds no mapping.
    """
    try:
        content = copy.deepcopy(_parsed(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ParamsError(
            f"{path} does not exist. Run from the project's root, or put a size in place with "
            "`pasam params use NAME`."
        ) from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path} holds {type(content).__name__}, expected a mapping of sections.")
    return content


@functools.lru_cache(maxsize=8)
def _parsed(text: str) -> Any:
    """Parse once what every section of a file needs anew."""
    return yaml.safe_load(text)


def load_section(cls: type[T], name: str, path: Path = DEFAULT_PATH) -> T:
    """Load one section of a params file into its dataclass.

    Args:
        cls: Dataclass of the section.
        name: Key of the section, dots for nesting (`models.pa_sam`).
        path: The params file.

    Raises:
        ParamsError: The section is missing, or a key is missing, unknown, of the wrong type
            or of an impossible value.
    """
    node: Any = read_params(path)
    for part in name.split("."):
        if not isinstance(node, dict) or part not in node:
            known = sorted(node) if isinstance(node, dict) else []
            raise ParamsError(f"{path} lacks section '{name}'; '{part}' is not among {known}.")
        node = node[part]
    return typing.cast(T, _build(cls, node, name, path))


def load_variant(model: str, path: Path = DEFAULT_PATH) -> VariantParams:
    """Load what describes one trained model.

    That is a whole entry of `models`, or an entry of `ablations`, which names one of `models` and
    states what it changes of it: `{of: pa_sam, change: {mining: {method: none}}}`.

    Raises:
        ParamsError: There is no such model, its `decoder` is of no known kind, it changes what its
            original lacks, or it trains what only an ablation may.
    """
    content = read_params(path)
    models, ablations = mapping(content, "models", path), mapping(content, "ablations", path)
    if model in models and model in ablations:
        raise ParamsError(f"{path}: '{model}' is in models and in ablations; rename one of them.")
    if model in models:
        name, entry = f"models.{model}", models[model]
    elif model in ablations:
        name, entry = f"ablations.{model}", _changed(ablations[model], model, models, path)
    else:
        raise ParamsError(
            f"{path}: models has no '{model}'. Known models: {sorted(models)}; "
            f"ablations: {sorted(ablations)}."
        )
    variant = build_variant(entry, name=name, path=path)
    if model in models and isinstance(variant, PaSamParams) and variant.trains == "everything":
        raise ParamsError(
            f"{path}: {name}.trains is 'everything', which leaves no base to put an adapter on. "
            "Expected adapter, mask_head or decoder here; everything can be an ablation."
        )
    return variant


def recorded_variant(entry: Any, *, path: Path) -> VariantParams:
    """Make what describes a trained model of what its file of weights says, old names included.

    Raises:
        ParamsError: As `build_variant`.
    """
    if isinstance(entry, dict):
        entry = {RENAMED.get(key, key): value for key, value in entry.items()}
    return build_variant(entry, name="variant", path=path)


def build_variant(entry: Any, *, name: str, path: Path) -> VariantParams:
    """Make what describes a trained model of plain data, wherever it was written down.

    Args:
        entry: An entry of `models`.
        name: What it is called in its file, for the error.
        path: That file, for the error.

    Raises:
        ParamsError: Its `decoder` is of no known kind, or a key is missing, unknown, of the wrong
            type or of an impossible value.
    """
    decoder = entry.get("decoder") if isinstance(entry, dict) else None
    if decoder not in _KINDS:
        raise ParamsError(f"{path}: {name}.decoder is {decoder!r}, expected one of {[*_KINDS]}.")
    return typing.cast(VariantParams, _build(_KINDS[decoder], entry, name, path))


def mapping(content: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    """Return a section that holds entries by name.

    Raises:
        ParamsError: It is missing, or something else.
    """
    section = content.get(name)
    if not isinstance(section, dict):
        raise ParamsError(f"{path}: section '{name}' is {section!r}, expected a mapping of names.")
    return section


def _changed(ablation: Any, name: str, models: dict[str, Any], path: Path) -> dict[str, Any]:
    """Resolve an ablation: the entry that it is of, with its changes made."""
    if not str(name).isidentifier():
        raise ParamsError(
            f"{path}: ablations has the name {name!r}, which is to name files and stages. Expected "
            "letters, digits and '_', a letter first."
        )
    known = set(ablation) if isinstance(ablation, dict) else None
    if known != {"of", "change"}:
        raise ParamsError(f"{path}: ablations.{name} is {ablation!r}, expected 'of' and 'change'.")
    original = ablation["of"]
    if original not in models:
        raise ParamsError(
            f"{path}: ablations.{name}.of is {original!r}, expected one of {sorted(models)}."
        )
    return _merged(models[original], ablation["change"], f"ablations.{name}.change", path)


def _merged(original: Any, change: Any, name: str, path: Path) -> dict[str, Any]:
    if not isinstance(original, dict) or not isinstance(change, dict):
        raise ParamsError(f"{path}: {name} is {change!r}, but it changes {original!r}.")
    unknown = [key for key in change if key not in original]
    if unknown:
        raise ParamsError(
            f"{path}: {name} has unknown {unknown}; what can be changed is {sorted(original)}."
        )
    inner = {k: v for k, v in change.items() if isinstance(original[k], dict)}
    nested = {k: _merged(original[k], v, f"{name}.{k}", path) for k, v in inner.items()}
    return {**original, **change, **nested}


def load_models(path: Path = DEFAULT_PATH) -> ModelsParams:
    """Load all entries of `models`.

    Raises:
        ParamsError: One of them is wrong.
    """
    return {str(name): load_variant(str(name), path) for name in read_params(path)["models"]}


def load_ablations(path: Path = DEFAULT_PATH) -> AblationsParams:
    """Load the section `ablations` as it stands: what each variant changes of which model.

    Raises:
        ParamsError: The section is missing, or one of its entries is wrong.
    """
    found = mapping(read_params(path), "ablations", path)
    for name in found:
        load_variant(str(name), path)
    return {str(name): dict(entry) for name, entry in found.items()}


def _build(cls: type[Any], node: Any, name: str, path: Path) -> Any:
    if not isinstance(node, dict):
        raise ParamsError(f"{path}: section '{name}' is {node!r}, expected a mapping.")
    wanted = [field.name for field in dataclasses.fields(cls)]
    missing = [key for key in wanted if key not in node]
    unknown = [str(key) for key in node if key not in wanted]
    for old in unknown:
        if RENAMED.get(old) in missing:
            raise ParamsError(
                f"{path}: {name}.{old} is called '{RENAMED[old]}' now; write that, with the same "
                "value."
            )
    if missing or unknown:
        raise ParamsError(
            f"{path}: section '{name}' lacks {missing} and has unknown {unknown}. "
            f"It must have exactly {wanted}."
        )
    hints = typing.get_type_hints(cls)
    values = {key: _convert(hints[key], node[key], f"{name}.{key}", path) for key in wanted}
    try:
        return cls(**values)
    except ParamsError as error:  # it names the key within the section
        raise ParamsError(f"{path}: {name}.{error}") from None


def _convert(hint: Any, value: Any, name: str, path: Path) -> Any:
    """Check `value` against the type `hint`; a whole number may stand for a float."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type[Any], hint), value, name, path)
    if origin is Literal:
        if value in args:
            return value
        raise ParamsError(f"{path}: {name} is {value!r}, expected one of {list(args)}.")
    if origin is types.UnionType:
        if value is None and types.NoneType in args:
            return None
        return _convert(next(a for a in args if a is not types.NoneType), value, name, path)
    if origin is tuple:
        if not isinstance(value, list) or (Ellipsis not in args and len(value) != len(args)):
            size = "" if Ellipsis in args else f" of {len(args)}"
            raise ParamsError(f"{path}: {name} is {value!r}, expected a list{size}.")
        kinds = [args[0]] * len(value) if Ellipsis in args else list(args)
        return tuple(
            _convert(kind, item, f"{name}[{i}]", path)
            for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
        )
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ParamsError(f"{path}: {name} is {value!r}, expected {hint.__name__}.")
    return value
