"""From a params file to its sections, and changes of its text that leave its comments alone."""

from __future__ import annotations

import copy
import functools
import textwrap
import typing
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import yaml

from pasam.errors import ParamsError

if TYPE_CHECKING:  # pydantic takes a tenth of a second, which `pasam --help` need not
    from pasam.config.schema import AblationsParams, ModelsParams, VariantParams

T = TypeVar("T")

DEFAULT_PATH = Path("params.yaml")


def read_params(path: Path = DEFAULT_PATH) -> dict[str, Any]:
    """Read a params file as plain data; one that `extends` another is laid over it.

    Raises:
        ParamsError: The file is missing, is not YAML, or holds no mapping.
    """
    content = copy.deepcopy(parse_params(_text_of(path), path))
    if "extends" not in content:
        return content
    original = path.with_name(f"{content.pop('extends')}.yaml")
    return laid_over(read_params(original), content)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParamsError(
            f"{path} does not exist. Run from the project's root, or put a preset in place with "
            "`pasam params use NAME`."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} cannot be read as text: {error}.") from None


@functools.lru_cache(maxsize=8)
def parse_params(text: str, path: Path) -> dict[str, Any]:
    """Parse the text of a params file, once for all sections; the result is not to be changed.

    Raises:
        ParamsError: It is not YAML, has a key twice, or holds no mapping; `path` names it.
    """
    try:
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 it is a safe loader
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from None
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
    content = read_params(path)
    return {
        str(name): variant_in(content, str(name), path) for name in mapping(content, "models", path)
    }


def load_ablations(path: Path = DEFAULT_PATH) -> AblationsParams:
    """Load the section `ablations` as it stands: what each variant changes of which model.

    Raises:
        ParamsError: The section is missing, or one of its entries is wrong.
    """
    content = read_params(path)
    found = mapping(content, "ablations", path)
    for name in found:
        variant_in(content, str(name), path)
    return {str(name): dict(entry) for name, entry in found.items()}


REMOVED = object()
"""Stands for the value of a key that is no longer there."""


_END = "...\n"  # what YAML writes after a bare value


class Changes(dict[tuple[str, ...], Any]):
    """New values by key, the key of a nested mapping as its parts; `REMOVED` for none."""


def changes_between(old: Mapping[str, Any], new: Mapping[str, Any]) -> Changes:
    """List what differs between nested mappings, as deep as both have mappings."""
    changes = Changes()
    for key in (*old, *(key for key in new if key not in old)):
        before, after = old.get(key, REMOVED), new.get(key, REMOVED)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            inner = changes_between(before, after)
            changes.update({(str(key), *path): value for path, value in inner.items()})
        elif before is REMOVED or after is REMOVED or before != after or _kind(before, after):
            changes[(str(key),)] = after
    return changes


def patched(text: str, changes: Changes, source: str) -> str:
    """Change values in the text of a YAML file.

    Args:
        text: The file.
        changes: What is to be changed. Values within `{...}` are changed in their place.
        source: Another file, whose way to write an entry, comment included, is taken over where it
            has the value that is wanted.

    Returns:
        The new text; whatever is not changed is as it was.
    """
    for path, value in changes.items():
        text = _patch(text, path, value, source)
    return text


def _kind(before: Any, after: Any) -> bool:
    """Tell true from 1, which Python holds for equal."""
    return isinstance(before, bool) != isinstance(after, bool)


def _patch(text: str, path: tuple[str, ...], value: Any, source: str) -> str:
    lines, parent, found, depth = text.splitlines(), _root(text), None, 0
    for depth, part in enumerate(path):
        found = _entry(parent, part)
        if parent.flow_style:
            # An entry within braces: write the whole mapping anew.
            outer = yaml.load(text, Loader=_SafeLoader)  # noqa: S506 it is
            for key in path[:depth]:
                outer = outer[key]
            _set(outer, path[depth:], value)
            if not depth:
                return yaml.safe_dump(outer, sort_keys=False)
            return _patch(text, path[:depth], outer, source)
        if found is None or depth == len(path) - 1:
            break
        if not isinstance(found[1], yaml.MappingNode):
            break
        parent = found[1]
    entry = _written(path, value, source, depth)
    column = parent.value[0][0].start_mark.column
    new = textwrap.indent(entry, " " * column).splitlines() if value is not REMOVED else []
    if found is not None:
        first, last = found[0].start_mark.line, _last_line(found[1], lines)
    else:
        first = _last_line(parent, lines) + 1
        last = first - 1
    lines[first : last + 1] = new
    return "\n".join(lines) + "\n"


def _written(path: tuple[str, ...], value: Any, source: str, depth: int) -> str:
    """Write `key: value` as the source does, or in one line."""
    if value is REMOVED:
        return ""
    for key in reversed(path[depth + 1 :]):
        value = {key: value}
    node = _root(source)
    for part in path[: depth + 1]:
        found = _entry(node, part) if isinstance(node, yaml.MappingNode) else None
        if found is None or node.flow_style:
            break
        first, node = found[0].start_mark.line, found[1]
    else:
        lines = source.splitlines()
        taken = lines[first : _last_line(node, lines) + 1]
        entry = textwrap.dedent("\n".join(taken)) + "\n"
        if yaml.load(entry, Loader=_SafeLoader) == {path[depth]: value}:
            return entry
    one = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False)
    return f"{path[depth]}: {one.removesuffix(_END).rstrip()}\n"


def _set(outer: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        outer = outer.setdefault(key, {})
    if value is REMOVED:
        outer.pop(path[-1], None)
    else:
        outer[path[-1]] = value


def _root(text: str) -> Any:
    return yaml.compose(text, Loader=_SafeLoader)


def _entry(mapping: Any, key: str) -> tuple[Any, Any] | None:
    return next(((k, v) for k, v in mapping.value if k.value == key), None)


def _last_line(node: Any, lines: list[str]) -> int:
    """Find a node's last line; a block's mark stands behind the comments that follow it."""
    last: int = node.end_mark.line
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        last -= 1
        while last > node.start_mark.line and lines[last].strip()[:1] in ("", "#"):
            last -= 1
    return last
