"""Presets of a whole run (`params/*.yaml`), and how one becomes `params.yaml`.

`params/default.yaml` has every value; each other preset `extends` it and states only what it
changes. `params.yaml` is complete. Its key `preset` says which preset it was made of, so that what
a person changed since is known, and kept, when another one is used: a three-way merge whose base is
the former preset.
"""

from __future__ import annotations

import difflib
import json
import textwrap
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pasam.config import requirements, schema
from pasam.config.params_edit import edited, entry_text, same, with_entry, with_line_ends
from pasam.config.params_file import (
    DEFAULT_PATH,
    mapping,
    params_text,
    parse_params,
    read_params,
    section_in,
    variant_in,
)
from pasam.config.section import RENAMED, Section
from pasam.config.three_way import GONE, are_names, joined_names, nested, shown
from pasam.errors import ParamsError
from pasam.files import write_text

FOLDER = Path("params")
"""Where a project has its presets."""
PACKAGED = Path(__file__).parents[1] / "presets"
"""Where a wheel has them."""
DEFAULT = "default"

SECTIONS: dict[str, type[Section]] = {
    "data": schema.DataParams,
    "validate": requirements.ValidateParams,
    "base": schema.BaseParams,
    "pretrain": schema.PretrainParams,
    "embed": schema.EmbedParams,
    "train": schema.TrainParams,
    "repeats": schema.RepeatsParams,
    "evaluate": schema.EvaluateParams,
    "instances": schema.InstancesParams,
    "robustness": schema.RobustnessParams,
    "report": schema.ReportParams,
    "gate": requirements.GateParams,
}
"""Model of every section but `VARIANTS`, whose entries are told apart by their decoder."""

VARIANTS = ("models", "ablations")
PRESET = "preset"
"""Key that says of which preset a params file was made."""

Leaves = dict[tuple[str, ...], Any]
"""Values of nested mappings by key, that of a nested one as its parts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Used:
    """What `use_preset` did."""

    difference: tuple[str, ...]
    """Lines of the unified diff from the old content to the new one; none if nothing changed."""
    changed: tuple[str, ...]
    """A line for each value that changed, `key: old -> new`, or for a whole model or variant."""
    kept: tuple[str, ...]
    """What was not taken from the preset, since a person had changed it: `key: value`."""


def preset_folder(project: Path = Path()) -> Path:
    """Find the presets: the project's own, or those that came with the package."""
    own = project / FOLDER
    in_clone = Path(__file__).parents[2] / FOLDER
    return next((place for place in (own, PACKAGED, in_clone) if place.is_dir()), own)


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
    text = _with_head(compose_text(original, folder), own)
    return edited(text, compose(name, folder), own)


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
    parts: dict[str, Any] = {
        name: section_in(content, section, name, path) for name, section in SECTIONS.items()
    }
    models = mapping(content, "models", path)
    for model in (*models, *mapping(content, "ablations", path)):
        variant_in(content, model, path)
    evaluated, seed = parts["evaluate"].models, parts["train"].seed
    for key, named, expected in (
        ("evaluate.models", evaluated, models),
        ("repeats.models", parts["repeats"].models, evaluated),
        ("gate.model", [parts["gate"].model], evaluated),
    ):
        if strangers := sorted(set(named) - set(expected)):
            what = "in models" if expected is models else "evaluated"
            raise ParamsError(
                f"{path}: {key} names {strangers}, expected what is {what}: {list(expected)}."
            )
    for key in ("benchmarks", "development"):
        named = getattr(parts["evaluate"], key)
        if seen := sorted(set(parts["gate"].sealed) & set(named)):
            raise ParamsError(
                f"{path}: gate.sealed names {seen}, which evaluate.{key} names, too; expected "
                "data sets that nothing is measured on."
            )
    if seed in parts["repeats"].seeds:
        raise ParamsError(
            f"{path}: repeats.seeds is {list(parts['repeats'].seeds)}, expected others than "
            f"train.seed, {seed}."
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
    new, kept = compose_text(name, folder), Leaves()
    old = params_text(target) if target.exists() else ""
    if old:
        former = preset_in_use(target, folder)
        base, mine, theirs = (
            _leaves(values)
            for values in (compose(former, folder), read_params(target), compose(name, folder))
        )
        memory = _memory_in(old)
        base, mine = _recalled(memory, base, _completed(base, mine))
        kept = _mine(base, mine, theirs, path=target, name=name)
        if old != (origin := compose_text(former, folder)):
            text = _with_head(old, new) if _head(old) == _head(origin) else old
            merged = dict.fromkeys(VARIANTS, {}) | nested(theirs | kept)
            new = edited(text, merged, source=new, former=origin)
            hidden = _hidden(old, base, mine, theirs)
            new = _with_memory(_as_written(new, memory, hidden), hidden)
            validate_content(parse_params(new, target), target)
    if new != old:
        write_text(target, with_line_ends(new, target.read_bytes() if old else b""))
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), str(target), f"{target} ({name})", lineterm=""
    )
    told = (f"{'.'.join(path)}: {shown(value)}" for path, value in kept.items())
    changed = _changed_lines(parse_params(old, target), parse_params(new, target)) if old else ()
    return Used(difference=tuple(lines), changed=changed, kept=tuple(told))


def _changed_lines(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Say value by value what changed; a model or variant that comes or goes, by its name."""
    before, after = _leaves(old), _leaves(new)
    there = [{key[:2] for key in leaves if key[0] in VARIANTS} for leaves in (before, after)]
    lines = {}
    for key in _differing(before, after):
        if key[0] in VARIANTS and key[:2] in there[0] ^ there[1]:
            lines[".".join(key[:2])] = "new" if key[:2] in there[1] else "gone"
        else:
            was, now = (shown(leaves.get(key, GONE)) for leaves in (before, after))
            lines[".".join(key)] = f"{was} -> {now}"
    return tuple(f"{path}: {words}" for path, words in lines.items())


def preset_in_use(target: Path = DEFAULT_PATH, folder: Path = FOLDER) -> str:
    """Find out of which preset a params file was made.

    Its key `preset` says so. A file without one, of an earlier version, is taken for the preset
    that it differs least from.
    """
    content = read_params(target)
    known = known_presets(folder)
    if content.get(PRESET) in known:
        return str(content[PRESET])
    distances = {name: len(changes(compose(name, folder), content)) for name in known}
    return min(distances, key=lambda name: (distances[name], name != DEFAULT))


def _completed(base: Leaves, mine: Leaves) -> Leaves:
    """Add what a file lacks because its version had no such key: nobody can leave one out.

    Whole models can be left out, and anything of an ablation.
    """
    models = {key[:2] for key in mine if key[0] == "models"}
    renamed = {(*key[:-1], RENAMED[key[-1]]) for key in mine if key[-1] in RENAMED}
    needed = {
        key: value
        for key, value in base.items()
        if (key[0] not in VARIANTS or key[:2] in models) and key not in renamed
    }
    return needed | mine


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Leaves:
    """List what differs between nested mappings: the new values by key."""
    return _differing(_leaves(old), _leaves(new))


def _differing(old: Leaves, new: Leaves) -> Leaves:
    pairs = {key: (old.get(key, GONE), new.get(key, GONE)) for key in {**old, **new}}
    return {key: after for key, (before, after) in pairs.items() if not same(before, after)}


def _mine(base: Leaves, mine: Leaves, theirs: Leaves, *, path: Path, name: str) -> Leaves:
    """Find what a person changed, and what that is to be after the change to another preset."""
    kept, others = Leaves(), _differing(base, theirs)
    for key, value in _differing(base, mine).items():
        former: Any = base.get(key, GONE)
        other: Any = others.get(key, value)
        if key == (PRESET,):
            continue
        is_left_out = key[0] in VARIANTS and not any(one[:2] == key[:2] for one in mine)
        if key not in others or is_left_out:  # what is not there needs no preset's values
            kept[key] = value
        elif all(map(are_names, (former, value, other))):  # a set that was registered stays
            kept[key] = joined_names(former, value, other)
        elif not same(other, value):
            raise ParamsError(
                f"{path}: {'.'.join(key)} is {shown(value)} by your own change, and '{name}' "
                f"wants it to be {shown(other)}; it was {shown(former)}. Put {shown(former)} "
                "back to take the preset's value, and write yours again afterwards if you want it."
            )
    return kept


_MEMORY = "# What you changed before, for the next `pasam params use`: "
"""Begins the line of a params file that remembers a person's changes that the preset in use hides:
it has the same value already, or another list."""

_Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Change:
    """What a person made of a former preset's value."""

    was: Any
    value: Any
    text: str
    """The entry as they wrote it, where that takes several lines."""


def _memory_in(text: str) -> dict[_Key, _Change]:
    """Read what a params file remembers; nothing, if a person has edited that line."""
    line = next((each for each in text.splitlines() if each.startswith(_MEMORY)), _MEMORY + "{}")
    try:
        content = json.loads(line.removeprefix(_MEMORY))
        return {
            tuple(key.split(".")): _Change(was, value, str(entry))
            for key, (was, value, entry) in content.items()
        }
    except (AttributeError, TypeError, ValueError):
        return {}


def _with_memory(text: str, hidden: Mapping[_Key, _Change]) -> str:
    lines = [line for line in text.splitlines() if not line.startswith(_MEMORY)]
    content = {".".join(key): (one.was, one.value, one.text) for key, one in hidden.items()}
    lines += [_MEMORY + json.dumps(content, sort_keys=True)] if content else []
    return "\n".join(lines) + "\n"


def _recalled(memory: Mapping[_Key, _Change], base: Leaves, mine: Leaves) -> tuple[Leaves, Leaves]:
    """Put remembered changes into the preset that a file was made of, and into the file.

    What a person has done since is added to a list, or taken out of it for good, and takes the
    place of any other value.
    """
    base, mine = dict(base), dict(mine)
    for key, change in memory.items():
        was, value, here, now = change.was, change.value, base.get(key, GONE), mine.get(key, GONE)
        if all(map(are_names, (was, value, here, now))):
            written = joined_names(was, value, here)
            value = joined_names(written, now, value)
            cut = (one for one in written if one in here and one not in now)
            was = [
                *was,
                *(one for one in cut if one not in was),
            ]  # as if they always had been there
        elif not same(now, value):
            continue
        base[key], mine[key] = was, value
    return base, mine


def _hidden(old: str, base: Leaves, mine: Leaves, theirs: Leaves) -> dict[_Key, _Change]:
    """Find a person's changes of a file that cannot be told any more beside another preset."""
    found, memory = dict[_Key, _Change](), _memory_in(old)
    for key in _differing(base, mine):
        was, value = base.get(key, GONE), mine.get(key, GONE)
        is_told = GONE in (was, value) or same(was, theirs.get(key, was))
        if not is_told and key != (PRESET,):
            text = memory[key].text if key in memory else entry_text(old, key)
            found[key] = _Change(was, value, text if "\n" in text else "")
    return found


def _as_written(new: str, memory: Mapping[_Key, _Change], hidden: Mapping[_Key, _Change]) -> str:
    """Write what comes back from behind a preset as the person had written it."""
    for key, change in memory.items():
        entry = entry_text(new, key)
        if change.text and key not in hidden and entry:
            with suppress(ParamsError):  # somebody may have edited what is remembered
                texts = (textwrap.dedent(text) for text in (entry, change.text))
                now, then = (parse_params(text, Path()) for text in texts)
                new = with_entry(new, key, change.text) if same(now, then) else new
    return new


def _leaves(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> Leaves:
    found = Leaves()
    for key, value in values.items():
        is_inner = isinstance(value, Mapping) and value
        found |= _leaves(value, (*above, key)) if is_inner else {(*above, key): value}
    return found


def _head(text: str) -> str:
    """Take the comment at the top of a file."""
    lines = text.splitlines(keepends=True)
    count = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "".join(lines[:count])


def _with_head(text: str, other: str) -> str:
    """Put another file's comment at the top of a file."""
    return _head(other) + text[len(_head(text)) :]
