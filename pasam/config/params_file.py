"""From a params file to its sections; a missing or unknown key is an error."""

from __future__ import annotations

import copy
import functools
import typing
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import yaml

from pasam.errors import ParamsError

if TYPE_CHECKING:  # pydantic takes a tenth of a second, which `pasam --help` need not
    from pasam.config.schema import AblationsParams, ModelsParams, VariantParams

T = TypeVar("T")

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
    return yaml.load(text, Loader=_Loader)  # noqa: S506 it is a safe loader


# libyaml, ten times as fast, is part of PyYAML's wheels, but not of every build of it.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]
    """Refuse a key that stands twice, of which YAML would take the second in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # `<<: *other`, which brings many keys
                continue
            key, line = self.construct_object(key_node), key_node.start_mark.line + 1
            if isinstance(key, Hashable) and key in lines:
                raise yaml.YAMLError(
                    f"'{key}' stands twice, in lines {lines[key]} and {line}; remove one of them."
                )
            if isinstance(key, Hashable):
                lines[key] = line
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


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
    return typing.cast(T, _checked(cls, node, name, path))


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
    if model in models and getattr(variant, "trains", None) == "everything":
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
    from pasam.config.section import RENAMED

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
    from pydantic import Field

    from pasam.config.schema import VariantParams

    kinds = Annotated[VariantParams, Field(discriminator="decoder")]
    return typing.cast("VariantParams", _checked(kinds, entry, name, path))


def _checked(kind: Any, values: object, name: str, path: Path) -> Any:
    """Make a section of plain data; the error says in which file the fault is."""
    from pasam.config.section import checked

    try:
        return checked(kind, values, name)
    except ParamsError as error:
        raise ParamsError(f"{path}: {error}") from None


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
