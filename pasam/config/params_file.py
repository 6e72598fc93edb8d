"""From a params file to its sections, every fault told with the file, the key and the value."""

from __future__ import annotations

import copy
import functools
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pasam.errors import ParamsError
from pasam.files import parse_yaml, read_text

if TYPE_CHECKING:  # pydantic takes a tenth of a second, which `pasam --help` need not
    from pasam.config.schema import (
        AblationsParams,
        CompanionsParams,
        ModelsParams,
        VariantParams,
    )

T = TypeVar("T")

DEFAULT_PATH = Path("params.yaml")
_ADVICE = "Run from the project's root, or put a preset in place with `pasam params use NAME`."


def read_params(path: Path = DEFAULT_PATH) -> dict[str, Any]:
    """Read a params file as plain data; one that `extends` another is laid over it.

    Raises:
        ParamsError: The file is missing, is not YAML, or holds no mapping.
    """
    text = params_text(path)
    content = copy.deepcopy(parse_params(text, path))
    if "extends" not in content:
        return content
    original = path.with_name(f"{content.pop('extends')}.yaml")
    return laid_over(read_params(original), content)


def params_text(path: Path = DEFAULT_PATH) -> str:
    """Read the text of a params file.

    Raises:
        ParamsError: The file is missing, or no text.
    """
    return read_text(path, advice=_ADVICE, error=ParamsError)


@functools.lru_cache(maxsize=8)
def parse_params(text: str, path: Path) -> dict[str, Any]:
    """Parse the text of a params file, once for all sections; the result is not to be changed.

    Raises:
        ParamsError: It is not YAML, has a key twice, or holds no mapping; `path` names it.
    """
    content = parse_yaml(text, path, error=ParamsError)
    if not isinstance(content, dict):
        raise ParamsError(f"{path} holds {type(content).__name__}, expected a mapping of sections.")
    return content


def laid_over(original: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Change some values of nested mappings; null in the place of a mapping takes it out."""
    result = dict(original)
    for key, value in changes.items():
        former = original.get(key)
        if value is None and isinstance(former, Mapping):
            del result[key]
        elif isinstance(value, Mapping) and isinstance(former, Mapping):
            result[key] = laid_over(former, value)
        else:
            result[key] = value
    return result


def load_section(cls: type[T], name: str, path: Path = DEFAULT_PATH) -> T:
    """Load one section of a params file into its model.

    Args:
        cls: Class of the section.
        name: Key of the section, dots for nesting (`models.pa_sam`).
        path: The params file.

    Raises:
        ParamsError: The section is missing, or a key is missing, unknown, of the wrong type
            or of an impossible value.
    """
    return section_in(read_params(path), cls, name, path)


def section_in(content: Mapping[str, Any], cls: type[T], name: str, path: Path) -> T:
    """Do as `load_section` with what a file holds."""
    node: Any = content
    for part in name.split("."):
        if not isinstance(node, dict) or part not in node:
            known = sorted(node) if isinstance(node, dict) else []
            raise ParamsError(f"{path} lacks section '{name}'; '{part}' is not among {known}.")
        node = node[part]
    with _told_how_to_complete():
        return typing.cast(T, _checked(cls, node, name, path))


def load_variant(model: str, path: Path = DEFAULT_PATH) -> VariantParams:
    """Load what describes one trained model.

    That is a whole entry of `models`, or an entry of `ablations`, which names one of `models` and
    states what it changes of it: `{of: pa_sam, change: {mining: {method: none}}}`.

    Raises:
        ParamsError: There is no such model, its `decoder` is of no known kind, it changes what its
            original lacks, or it trains what only an ablation may.
    """
    return variant_in(read_params(path), model, path)


def variant_in(content: Mapping[str, Any], model: str, path: Path) -> VariantParams:
    """Do as `load_variant` with what a file holds."""
    models, ablations = (mapping(content, section, path) for section in ("models", "ablations"))
    if model in models and model in ablations:
        raise ParamsError(f"{path}: '{model}' is in models and in ablations; rename one of them.")
    if model in ablations:
        changed = _changed(ablations[model], model, models, path)
        return build_variant(changed, name=f"ablations.{model}", path=path)
    if model not in models:
        raise ParamsError(
            f"{path}: models has no '{model}'. Known models: {sorted(models)}; "
            f"ablations: {sorted(ablations)}."
        )
    with _told_how_to_complete():
        variant = build_variant(models[model], name=f"models.{model}", path=path)
    if getattr(variant, "trains", None) == "everything":
        raise ParamsError(
            f"{path}: models.{model}.trains is 'everything', which leaves no base to put an "
            "adapter on. Expected adapter, mask_head or decoder here; an ablation can."
        )
    return variant


LATER: Mapping[str, Mapping[str, Any]] = {
    "pa_sam": {
        "adapter_rate": 1.0,
        "interpolation": 1.0,
        "keep_sam": 0.0,
        "adapter": {"fine": False},
        "mining": {"cells": "all"},
    }  # fmt: skip
}
"""By decoder, the keys that files of weights of earlier versions lack, and how those were trained;
`interpolation` was not the model's then and not written down, and building a decoder needs none."""


def recorded_variant(entry: Any, *, path: Path) -> VariantParams:
    """Make what describes a trained model of what its file of weights says, old names included.

    Raises:
        ParamsError: As `build_variant`.
    """
    from pasam.config.section import RENAMED

    if isinstance(entry, dict):
        entry = {RENAMED.get(key, key): value for key, value in entry.items()}
        # Switches that came later: what was trained before them was trained without.
        entry = laid_over(LATER.get(str(entry.get("decoder")), {}), entry)
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
    from pydantic import Field

    from pasam.config.schema import VariantParams

    kinds = Annotated[VariantParams, Field(discriminator="decoder")]
    return typing.cast("VariantParams", _checked(kinds, entry, name, path))


def _checked(kind: Any, values: object, name: str, path: Path) -> Any:
    """Make a section of plain data; the error says in which file the fault is."""
    from pasam.config.section import LackingKeysError, checked

    try:
        return checked(kind, values, name)
    except LackingKeysError as error:
        raise LackingKeysError(f"{path}: {error}") from None
    except ParamsError as error:
        raise ParamsError(f"{path}: {error}") from None


@contextmanager
def _told_how_to_complete() -> Iterator[None]:
    """Add to an error of missing keys what brings them, where the file is a params file."""
    from pasam.config.section import LackingKeysError

    try:
        yield
    except LackingKeysError as error:
        advice = (
            "If it is of a former version, `pasam params use NAME` (its preset) adds what is new."
        )
        raise ParamsError(f"{error} {advice}") from None


def mapping(content: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
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
    place = f"{path}: ablations"
    if not str(name).isidentifier():
        raise ParamsError(
            f"{place} has the name {name!r}, which is to name files and stages. Expected "
            "letters, digits and '_', a letter first."
        )
    if not isinstance(ablation, dict) or set(ablation) != {"of", "change"}:
        raise ParamsError(f"{place}.{name} is {ablation!r}, expected 'of' and 'change'.")
    change = ablation["change"]
    original = models.get(ablation["of"]) if isinstance(ablation["of"], str) else None
    if not isinstance(original, dict):
        known = sorted(models)
        raise ParamsError(f"{place}.{name}.of is {ablation['of']!r}, expected one of {known}.")
    if not isinstance(change, dict):
        raise ParamsError(f"{place}.{name}.change is {change!r}, expected a mapping of changes.")
    return laid_over(original, change)


def load_models(path: Path = DEFAULT_PATH) -> ModelsParams:
    """Load all entries of `models`.

    Raises:
        ParamsError: One of them is wrong.
    """
    content = read_params(path)
    return {name: variant_in(content, name, path) for name in mapping(content, "models", path)}


def load_companions(model: str, path: Path = DEFAULT_PATH) -> CompanionsParams:
    """Load the models that `train.together` names beside this one; none where it lacks this one.

    Raises:
        ParamsError: One of them is not among `models`, or wrong.
    """
    from pasam.config.schema import TrainParams

    content = read_params(path)
    together = section_in(content, TrainParams, "train", path).together
    mapping(content, "models", path)
    strangers = [name for name in together if name not in content["models"]]
    if strangers:
        raise ParamsError(
            f"{path}: train.together names {strangers}, expected names of models: "
            f"{sorted(content['models'])}."
        )
    others = [name for name in together if name != model] if model in together else []
    return {name: variant_in(content, name, path) for name in others}


def load_ablations(path: Path = DEFAULT_PATH) -> AblationsParams:
    """Load the section `ablations` as it stands: what each variant changes of which model.

    Raises:
        ParamsError: The section is missing, or one of its entries is wrong.
    """
    content = read_params(path)
    found = mapping(content, "ablations", path)
    for name in found:
        variant_in(content, name, path)
    return {name: dict(entry) for name, entry in found.items()}
