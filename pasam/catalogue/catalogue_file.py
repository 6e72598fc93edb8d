"""From `catalogue.yaml`, and a file of the user's own, to the catalogue's entries."""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Mapping
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import yaml

from pasam.catalogue.entries import ROLES, Archive, Catalogue, Entry
from pasam.errors import DataError

T = TypeVar("T")

RESERVED = "archives"
"""Folder of the downloads beside the data sets, so no data set may be called that."""

_OWN_NAME = "catalogue.yaml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DIGITS = re.compile(r"[0-9a-f]{6,64}")
_SECTIONS = ("archives", "entries", "groups")


def read_catalogue(extra: Path | None = None) -> Catalogue:
    """Read the catalogue, and add the entries of a user's own file of the same form.

    Args:
        extra: The user's file. Its entries may name the catalogue's archives, and its groups the
            catalogue's entries, but it may redefine nothing.

    Raises:
        DataError: A key is missing or unknown, a value is impossible, or a name is taken.
    """
    catalogue = _published()
    if extra is None:
        return catalogue
    try:
        text = extra.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The catalogue {extra} cannot be read: {error}.") from None
    archives = {file.name: file for entry in catalogue.entries.values() for file in entry.archives}
    return _extend(archives, catalogue, _parsed(text, str(extra)), str(extra))


@functools.cache
def _published() -> Catalogue:
    text = resources.files(__package__).joinpath(_OWN_NAME).read_text(encoding="utf-8")
    return _extend({}, Catalogue(entries={}, groups={}), _parsed(text, _OWN_NAME), _OWN_NAME)


def _parsed(text: str, place: str) -> dict[str, dict[str, Any]]:
    """Parse a catalogue file into its three sections, each a mapping."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"{place} is not valid YAML: {error}") from None
    content = _mapping({} if content is None else content, place)
    unknown = sorted(set(content) - set(_SECTIONS))
    if unknown:
        raise DataError(f"{place} has unknown sections {unknown}; it may have {list(_SECTIONS)}.")
    return {
        section: _mapping(content.get(section) or {}, f"{place}: {section}")
        for section in _SECTIONS
    }


def _extend(
    archives: Mapping[str, Archive],
    known: Catalogue,
    content: Mapping[str, Mapping[str, Any]],
    place: str,
) -> Catalogue:
    """Add one file's archives, entries and groups to what is known already."""
    files = dict(archives)
    for name, node in content["archives"].items():
        where = f"{place}: archives.{name}"
        _check_name(name, files, where)
        files[name] = _archive(_mapping(node, where), name, where)
    entries = dict(known.entries)
    groups = dict(known.groups)
    for name, node in content["entries"].items():
        where = f"{place}: entries.{name}"
        _check_name(name, {**entries, **groups, RESERVED: ()}, where)
        entries[name] = _entry(dict(_mapping(node, where)), name, files, where)
    for name, members in content["groups"].items():
        where = f"{place}: groups.{name}"
        _check_name(name, {**entries, **groups}, where)
        members = _converted(tuple[str, ...], members, where)
        strangers = [member for member in members if member not in entries]
        if strangers:
            raise DataError(f"{where} names {strangers}, which are no entries.")
        groups[name] = members
    return Catalogue(entries=entries, groups=groups)


def _archive(node: Mapping[str, Any], name: str, where: str) -> Archive:
    archive = _built(Archive, node, where, name=name)
    if archive.sha256 is not None and not _DIGITS.fullmatch(archive.sha256):
        raise DataError(
            f"{where}.sha256 is '{archive.sha256}', expected 6 to 64 hexadecimal digits, small."
        )
    return archive


def _entry(node: Mapping[str, Any], name: str, files: Mapping[str, Archive], where: str) -> Entry:
    named = _converted(tuple[str, ...], node.get("archives", []), f"{where}.archives")
    missing = [file for file in named if file not in files]
    if missing:
        raise DataError(f"{where}.archives names {missing}; known archives: {sorted(files)}.")
    entry = dataclasses.replace(
        _built(Entry, node, where, name=name), archives=tuple(files[file] for file in named)
    )
    _check_entry(entry, where)
    return entry


def _check_entry(entry: Entry, where: str) -> None:
    """Refuse roles that do not exist, places outside the archive, and data without a source."""
    if entry.role not in ROLES:
        raise DataError(f"{where}.role is '{entry.role}', expected one of {list(ROLES)}.")
    for place in entry.places():
        path = PurePosixPath(place)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise DataError(f"{where}.layout names '{place}', which is not inside the archive.")
        if not any(place in entry.places_in(archive) for archive in entry.archives):
            raise DataError(f"{where}.layout names '{place}', which is in no archive's folder.")
    addresses = [archive.address for archive in entry.archives]
    if (not addresses or None in addresses) and entry.hint is None:
        raise DataError(f"{where} has no address and no hint. Say where to get it: `hint: ...`.")


def _check_name(name: object, taken: Mapping[str, object], where: str) -> None:
    """Refuse a name that is no file's name, or that some file systems hold for another's."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DataError(f"{where}: a name has letters, digits, '.', '_' and '-' only.")
    clash = [other for other in taken if other.casefold() == name.casefold()]
    if clash:
        raise DataError(f"{where}: the name '{clash[0]}' is taken. Choose another.")


def _mapping(node: Any, where: str) -> dict[str, Any]:
    if not isinstance(node, dict):
        raise DataError(f"{where} is {node!r}, expected a mapping.")
    return node


def _built(cls: type[T], node: Mapping[str, Any], where: str, **given: Any) -> T:
    """Build a dataclass: every key without a default has to be there, and no unknown one."""
    fields = [field for field in dataclasses.fields(cls) if field.name not in given]  # type: ignore[arg-type]
    needed = [field.name for field in fields if field.default is dataclasses.MISSING]
    missing = [key for key in needed if key not in node]
    unknown = sorted(str(key) for key in set(node) - {field.name for field in fields})
    if missing or unknown:
        raise DataError(
            f"{where} lacks {missing} and has unknown {unknown}. It must have {needed}; a value "
            "that is not known is null."
        )
    hints = typing.get_type_hints(cls)
    values = {key: _converted(hints[key], node[key], f"{where}.{key}") for key in node}
    return cls(**given, **values)


def _converted(hint: Any, value: Any, where: str) -> Any:
    """Check a value against the type of its field; a list becomes a tuple."""
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = next(kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    if dataclasses.is_dataclass(hint):
        return _built(typing.cast(type[Any], hint), _mapping(value, where), where)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise DataError(f"{where} is {value!r}, expected a list of names.")
        return tuple(value)
    if not isinstance(value, hint) or isinstance(value, bool):
        raise DataError(f"{where} is {value!r}, expected {hint.__name__}.")
    return value
