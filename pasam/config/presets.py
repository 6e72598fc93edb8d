"""Presets of a whole run (smoke, default, paper, ablation), and how one becomes `params.yaml`.

`params/default.yaml` has every value; each other preset `extends` it and states only what it
changes. `params.yaml` is complete. Its key `preset` says which preset it was made of, so that what
a person changed since is known, and kept, when another one is used: a three-way merge whose base is
the former preset.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pasam.config.params_file import (
    DEFAULT_PATH,
    REMOVED,
    Changes,
    changes_between,
    mapping,
    parse_params,
    patched,
    read_params,
    section_in,
    variant_in,
)
from pasam.config.schema import (
    BaseParams,
    DataParams,
    EmbedParams,
    EvaluateParams,
    GateParams,
    InstancesParams,
    PretrainParams,
    RepeatsParams,
    ReportParams,
    RobustnessParams,
    TrainParams,
    ValidateParams,
)
from pasam.config.section import Section
from pasam.errors import ParamsError
from pasam.files import write_text

FOLDER = Path("params")
DEFAULT = "default"

SECTIONS: dict[str, type[Section]] = {
    "data": DataParams,
    "validate": ValidateParams,
    "base": BaseParams,
    "pretrain": PretrainParams,
    "embed": EmbedParams,
    "train": TrainParams,
    "repeats": RepeatsParams,
    "evaluate": EvaluateParams,
    "instances": InstancesParams,
    "robustness": RobustnessParams,
    "report": ReportParams,
    "gate": GateParams,
}
"""Model of every section but `VARIANTS`, whose entries are told apart by their decoder."""

VARIANTS = ("models", "ablations")
PRESET = "preset"
"""Key that says of which preset a params file was made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Used:
    """What `use_preset` did."""

    difference: tuple[str, ...]
    """Lines of the unified diff from the old content to the new one; none if nothing changed."""
    kept: tuple[str, ...]
    """What was not taken from the preset, since a person had changed it: `key: value`."""


def known_presets(folder: Path = FOLDER) -> list[str]:
    """Name the presets that a folder offers, sorted."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def preset_path(name: str, folder: Path = FOLDER) -> Path:
    """Find a preset's file, which `read_params` and `load_section` read as if it were complete.

    Raises:
        ParamsError: There is no such preset.
    """
    known = known_presets(folder)
    if name not in known:
        raise ParamsError(f"there is no preset '{name}' in {folder}/. Known presets: {known}.")
    return folder / f"{name}.yaml"


def compose(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """Give all values of a preset.

    Raises:
        ParamsError: There is no such preset, or its file is not YAML.
    """
    return read_params(preset_path(name, folder))


def compose_text(name: str, folder: Path = FOLDER) -> str:
    """Write a preset out as a complete params file, with the comments of `default` and its own."""
    path = preset_path(name, folder)
    own = path.read_text(encoding="utf-8")
    original = parse_params(own, path).get("extends")
    if original is None:
        return own
    text, values = compose_text(original, folder), compose(original, folder)
    text = _with_head(text, _head(own))
    return patched(text, changes_between(values, compose(name, folder)), own)


def validate(path: Path = DEFAULT_PATH) -> None:
    """Read every section of a params file, and check what two sections must agree on.

    Raises:
        ParamsError: A section or key is missing, unknown or impossible, or `evaluate.models`
            names a model that `models` lacks, or `gate.model` or `repeats.models` one that is
            not evaluated, or `repeats.seeds` has the seed that all are trained with anyway.
    """
    validate_content(read_params(path), path)


def validate_content(content: Mapping[str, Any], path: Path) -> None:
    """Do as `validate` with what a file holds; `path` names it in errors."""
    known = (PRESET, *SECTIONS, *VARIANTS)
    unknown = sorted(str(key) for key in content if key not in known)
    if unknown:
        raise ParamsError(f"{path} has unknown sections {unknown}. It must have exactly {known}.")
    for name, section in SECTIONS.items():
        section_in(content, section, name, path)
    models = content.get("models")
    if not isinstance(models, dict) or not models:
        raise ParamsError(
            f"{path}: models is {models!r}, expected a mapping with one model or more."
        )
    for model in (*models, *mapping(content, "ablations", path)):
        variant_in(content, model, path)
    evaluated = section_in(content, EvaluateParams, "evaluate", path).models
    strangers = sorted(set(evaluated) - set(models))
    if strangers:
        raise ParamsError(
            f"{path}: evaluate.models names {strangers}, but models has only {sorted(models)}."
        )
    _validate_repeats(content, path, evaluated)
    gated = section_in(content, GateParams, "gate", path).model
    if gated not in evaluated:
        raise ParamsError(
            f"{path}: gate.model is '{gated}', expected one that is evaluated: {list(evaluated)}."
        )


def _validate_repeats(content: Mapping[str, Any], path: Path, evaluated: Sequence[str]) -> None:
    repeats = section_in(content, RepeatsParams, "repeats", path)
    strangers = sorted(set(repeats.models) - set(evaluated))
    if strangers:
        raise ParamsError(
            f"{path}: repeats.models names {strangers}, but only {list(evaluated)} are evaluated."
        )
    seed = section_in(content, TrainParams, "train", path).seed
    if seed in repeats.seeds:
        raise ParamsError(
            f"{path}: repeats.seeds is {list(repeats.seeds)}, expected others than train.seed, "
            f"{seed}."
        )


def write_preset(name: str, *, folder: Path = FOLDER, target: Path = DEFAULT_PATH) -> None:
    """Write a preset as the params file, whatever that holds.

    Raises:
        ParamsError: There is no such preset, or it is not valid.
    """
    validate(preset_path(name, folder))
    write_text(target, compose_text(name, folder))


def use_preset(name: str, *, folder: Path = FOLDER, target: Path = DEFAULT_PATH) -> Used:
    """Change the params file to another preset; what a person changed in it stays.

    Nothing is written unless the result is valid.

    Args:
        name: One of `known_presets(folder)`.
        folder: Where the presets lie.
        target: The params file. It need not exist.

    Raises:
        ParamsError: There is no such preset, it is not valid, or both a person and the preset
            changed one key, to different values.
    """
    validate(preset_path(name, folder))
    new, kept = compose_text(name, folder), Changes()
    old = target.read_text(encoding="utf-8") if target.exists() else ""
    if old:
        former = preset_in_use(target, folder)
        mine, theirs = read_params(target), compose(name, folder)
        kept = _mine(compose(former, folder), mine, theirs, path=target, name=name)
        if old != compose_text(former, folder):
            merged = _applied(theirs, kept)
            old_head, new_head = _head(compose_text(former, folder)), _head(new)
            text = _with_head(old, new_head) if _head(old) == old_head else old
            new = patched(text, changes_between(mine, merged), new)
            validate_content(parse_params(new, target), target)
    if new != old:
        write_text(target, new)
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), str(target), f"{target} ({name})", lineterm=""
    )
    shown = (f"{'.'.join(path)}: {_shown(value)}" for path, value in kept.items())
    return Used(difference=tuple(lines), kept=tuple(shown))


def preset_in_use(target: Path = DEFAULT_PATH, folder: Path = FOLDER) -> str:
    """Find out of which preset a params file was made.

    Its key `preset` says so. A file without one, of an earlier version, is taken for the preset
    that it differs least from.
    """
    content = read_params(target)
    known = known_presets(folder)
    if content.get(PRESET) in known:
        return str(content[PRESET])
    distances = {name: len(changes_between(compose(name, folder), content)) for name in known}
    return min(distances, key=lambda name: (distances[name], name != DEFAULT))


def _mine(
    base: Mapping[str, Any],
    mine: Mapping[str, Any],
    theirs: Mapping[str, Any],
    *,
    path: Path,
    name: str,
) -> Changes:
    """Find what a person changed, and what that is to be after the change to another preset."""
    kept = Changes()
    others = changes_between(base, theirs)
    for key, value in changes_between(base, mine).items():
        if key == (PRESET,):
            continue
        clash = next((k for k in others if k[: len(key)] == key or key[: len(k)] == k), None)
        if clash is None:
            kept[key] = value
        elif clash == key and (both := _both_lists(_at(base, key), value, others[key])):
            kept[key] = both
        elif others[clash] != value:
            raise ParamsError(
                f"{path}: {'.'.join(key)} is {_shown(value)} by your own change, and "
                f"'{name}' wants {'.'.join(clash)} to be {_shown(others[clash])}; it was "
                f"{_shown(_at(base, key))}. Put {_shown(_at(base, key))} back to take the preset's "
                "value, and write yours again afterwards if you want it."
            )
    return kept


def _both_lists(base: Any, mine: Any, theirs: Any) -> list[str] | None:
    """Merge two changes of one list of names: a set that was registered stays in the list."""
    if not all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in (base, mine, theirs)
    ):
        return None
    added = [name for name in mine if name not in base and name not in theirs]
    return [name for name in theirs if name in mine or name not in base] + added


def _applied(values: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    result = dict(values)
    for (first, *rest), value in changes.items():
        if rest:
            inner = result.get(first) or {}
            result[first] = _applied(inner, Changes({tuple(rest): value}))
        elif value is REMOVED:
            result.pop(first, None)
        else:
            result[first] = value
    return result


def _at(values: Any, key: Sequence[str]) -> Any:
    for part in key:
        values = values.get(part, REMOVED) if isinstance(values, Mapping) else REMOVED
    return values


def _shown(value: Any) -> str:
    return "not there" if value is REMOVED else repr(value)


def _head(text: str) -> str:
    """Take the comment at the top of a file."""
    lines = text.splitlines(keepends=True)
    count = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "".join(lines[:count])


def _with_head(text: str, head: str) -> str:
    return head + text[len(_head(text)) :]
