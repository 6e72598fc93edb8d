"""The catalogue of public data sets and weights, and the checksums of its archives.

`catalogue.yaml` beside this file has the published entries; a user's own file of the same form may
add to them. The lock records sha256 of archives for which nobody publishes one, as first fetched.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import yaml

from pasam.config.schema import SUMMARY_ROWS, GeneratedParams
from pasam.config.section import Listed, Section, checked, within
from pasam.errors import DataError, ParamsError
from pasam.files import parse_yaml, read_text, write_text

TRAINING_SET = "generated_train"
GENERATED_BENCHMARKS = {
    "dis_like": "dis", "coift_like": "coift", "hrsod_like": "hrsod", "thin_like": "thin"
}  # fmt: skip
"""Synthetic benchmarks and the family each is drawn from."""
DEVELOPMENT_SETS = {
    "dis_dev": "dis_like", "coift_dev": "coift_like", "hrsod_dev": "hrsod_like",
    "thin_dev": "thin_like",
}  # fmt: skip
"""Synthetic sets to choose on, and the benchmark that each is drawn like: with another seed, so
that nothing is chosen on the images that Table 1 reports."""
GENERATED = (TRAINING_SET, *GENERATED_BENCHMARKS, *DEVELOPMENT_SETS)
"""The synthetic data sets, which say nothing of photographs."""
PRETRAINING_SET = "generated_pretraining"
"""Scenes that only the small base sees; no row of the manifest is one."""


PHOTOS = "photos"
"""The benchmark of photographs that ship with packages."""
PACKAGE = "package"
"""Role of what ships with an installed package and is never fetched."""


def generated_images(params: GeneratedParams, dataset: str) -> int:
    """Say how many images a generated set has."""
    if dataset == TRAINING_SET:
        return params.train_images
    return params.development_images if dataset in DEVELOPMENT_SETS else params.benchmark_images


ROLES = ("train", "benchmark", "zero-shot", "open-set", "checkpoint", "generated", PACKAGE)
"""What a data set is for."""

RESERVED = "archives"
"""Folder of the downloads beside the data sets, so no data set may be called that."""

_FILE = "catalogue.yaml"
_SECTIONS = ("archives", "entries", "groups")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256_DIGITS = 64
_LOCK_HEAD = """\
# sha256 of archives whose publishers give none, recorded by the first `pasam data fetch`.
# Commit this file: every later fetch, anywhere, has to bring the same bytes.
"""

_Sha256 = Annotated[
    str, within(re.compile("[0-9a-f]{6,64}").fullmatch, "6 to 64 hexadecimal digits, small")
]


class Archive(Section):
    """One file to download; several data sets may lie in it."""

    name: str
    """Name of the file, on a mirror too."""
    address: str | None
    """Where its authors publish it; none where that could not be established."""
    sha256: _Sha256 | None
    """Its sha256, or the first digits of it; none where nobody publishes one."""
    size: int | None
    """Length in bytes, checked; none where only about that much is known."""
    rough_size: int | None = None
    """Length in bytes as the publisher rounds it, for planning only."""
    folder: str | None = None
    """Folder that all members lie in; it is made where an archive was packed without it."""

    @property
    def expected_size(self) -> int | None:
        """Length in bytes, exact or rounded."""
        return self.size if self.size is not None else self.rough_size

    @property
    def packed(self) -> bool:
        """Whether there is anything to extract."""
        return self.name.endswith((".zip", ".tar", ".tar.gz", ".tgz"))


class Layout(Section):
    """Where images and masks lie once extracted; `{member}` stands for every member's name."""

    images: str
    masks: str | None = None
    """Folder of the masks, named like their images; none where annotations hold the masks."""
    annotations: str | None = None
    """COCO file with the masks; none where they are images."""
    mask_maximum: int | None = None
    """Value of full foreground in a mask image; 255 in 8 bits."""
    image_suffix: str = ".jpg"
    mask_suffix: str = ".png"


class CatalogueEntry(Section):
    """One data set, checkpoint or generated family."""

    name: str
    role: str
    """One of `ROLES`."""
    archives: tuple[Archive, ...]
    layout: Layout | None
    """None for what is not made of images, and for what is not fetched."""
    images: int | None
    """How many images there should be; none where that could not be established."""
    licence: str | None
    """None where it could not be established: ask the authors before publishing anything."""
    citation: str | None
    members: Listed[str] = ()
    """Names of the sets that this one consists of, if it is a collection."""
    base_size: str | None = None
    """Size of the whole SAM that a checkpoint is, by which it can be asked for."""
    hint: str | None = None
    """What a person can do where there is no address."""
    note: str | None = None

    @property
    def expected_size(self) -> int | None:
        """Bytes to download; none if unknown for any archive."""
        sizes = [archive.expected_size for archive in self.archives]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None

    def places(self) -> tuple[str, ...]:
        """List the folders and files of the archives that this data set needs, sorted."""
        if self.layout is None:
            return ()
        named = {self.layout.images, self.layout.masks, self.layout.annotations} - {None}
        return tuple(sorted({place for name in named if name for place in self._spelt(name)}))

    def places_in(self, archive: Archive) -> tuple[str, ...]:
        """List those of the places that lie in one of the archives."""
        lead = "" if archive.folder is None else f"{archive.folder}/"
        return tuple(place for place in self.places() if f"{place}/".startswith(lead))

    def image_folders(self) -> tuple[str, ...]:
        """List the folders of the images; one per member for a collection."""
        return () if self.layout is None else self._spelt(self.layout.images)

    def _spelt(self, place: str) -> tuple[str, ...]:
        """Spell a place of the layout out for every member."""
        if "{member}" not in place:
            return (place,)
        return tuple(place.replace("{member}", member) for member in self.members)


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """All entries by name, and the groups that stand for several of them."""

    entries: Mapping[str, CatalogueEntry]
    groups: Mapping[str, tuple[str, ...]]

    def select(self, names: Sequence[str]) -> tuple[CatalogueEntry, ...]:
        """Look up entries by their names or by those of their groups.

        Args:
            names: Names as they stand in the catalogue.

        Returns:
            Each entry once, in the order asked for.

        Raises:
            DataError: A name is neither an entry's nor a group's.
        """
        chosen: dict[str, CatalogueEntry] = {}
        for name in names:
            if name not in self.entries and name not in self.groups:
                raise DataError(
                    f"'{name}' is not in the catalogue. Known groups: {sorted(self.groups)}; "
                    f"known names: {sorted(self.entries)}."
                )
            for member in self.groups.get(name, (name,)):
                chosen[member] = self.entries[member]
        return tuple(chosen.values())

    def of_role(self, role: str | None) -> tuple[CatalogueEntry, ...]:
        """List the entries of one role, or all, in the catalogue's order.

        Raises:
            DataError: There is no such role.
        """
        if role is not None and role not in ROLES:
            raise DataError(f"There is no role '{role}'. Known roles: {list(ROLES)}.")
        return tuple(entry for entry in self.entries.values() if role in (None, entry.role))


def published_base(size: str) -> CatalogueEntry | None:
    """Find the entry whose checkpoint is a SAM of a size; None where nobody publishes one."""
    entries = read_catalogue().of_role("checkpoint")
    return next((entry for entry in entries if entry.base_size == size), None)


def read_catalogue(extra: Path | None = None) -> Catalogue:
    """Read the catalogue, and add the entries of a user's own file of the same form.

    Args:
        extra: The user's file. Its entries may name the catalogue's archives, and its groups the
            catalogue's entries, but it may redefine nothing.

    Raises:
        DataError: A key is missing or unknown, a value is impossible, or a name is taken.
    """
    if extra is None:
        return _published()
    text = read_text(extra, advice="Name a catalogue of your own that is there.")
    return _extended(_published(), text, str(extra))


@functools.cache
def _published() -> Catalogue:
    text = resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    return _extended(Catalogue(entries={}, groups={}), text, _FILE)


def _extended(known: Catalogue, text: str, file: str) -> Catalogue:
    """Add one file's archives, entries and groups to what is known already."""
    content = _sections(text, file)
    archives = {one.name: one for entry in known.entries.values() for one in entry.archives}
    entries, groups = dict(known.entries), dict(known.groups)
    for name, node in content["archives"].items():
        where = f"{file}: archives.{name}"
        _check_name(name, archives, where)
        archives[name] = _named(Archive, name, node, where)
    for name, node in content["entries"].items():
        where = f"{file}: entries.{name}"
        _check_name(name, [*entries, *groups, RESERVED, *SUMMARY_ROWS], where)
        wanted = _checked(
            Listed[str], _mapping(node, where).get("archives", ()), f"{where}.archives"
        )
        missing = [one for one in wanted if one not in archives]
        if missing:
            raise DataError(
                f"{where}.archives names {missing}; known archives: {sorted(archives)}."
            )
        there = {"archives": tuple(archives[one] for one in wanted)} if "archives" in node else {}
        entries[name] = _named(CatalogueEntry, name, {**node, **there}, where)
        _check_sources(entries[name], where)
    for name, node in content["groups"].items():
        where = f"{file}: groups.{name}"
        _check_name(name, [*entries, *groups], where)
        groups[name] = _checked(Listed[str], node, where)
        strangers = [member for member in groups[name] if member not in entries]
        if strangers:
            raise DataError(f"{where} names {strangers}, which are no entries.")
    return Catalogue(entries=entries, groups=groups)


def _sections(text: str, file: str) -> dict[str, dict[str, Any]]:
    """Parse a catalogue file into its three sections, each a mapping."""
    content = parse_yaml(text, Path(file))
    content = _mapping({} if content is None else content, file)
    unknown = sorted(set(content) - set(_SECTIONS))
    if unknown:
        raise DataError(f"{file} has unknown sections {unknown}; it may have {list(_SECTIONS)}.")
    return {name: _mapping(content.get(name) or {}, f"{file}: {name}") for name in _SECTIONS}


def _mapping(node: Any, where: str) -> dict[str, Any]:
    if not isinstance(node, dict):
        raise DataError(f"{where} is {node!r}, expected a mapping.")
    return node


def _check_name(name: object, taken: Iterable[str], where: str) -> None:
    """Refuse a name that is no file's name, or that some file systems hold for another's."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DataError(f"{where}: a name has letters, digits, '.', '_' and '-' only.")
    clash = [other for other in taken if other.casefold() == name.casefold()]
    if clash:
        raise DataError(f"{where}: the name '{clash[0]}' is taken. Choose another.")


def _named(cls: Any, name: str, node: Any, where: str) -> Any:
    """Build an archive or an entry, which is called by its key and by nothing else."""
    if "name" in _mapping(node, where):
        raise DataError(f"{where} lacks [] and has unknown ['name']: its key is its name.")
    return _checked(cls, {"name": name, **node}, where)


def _checked(kind: Any, value: Any, where: str) -> Any:
    file, _, key = where.rpartition(": ")
    try:
        return checked(kind, value, key)
    except ParamsError as error:
        advice = " A key whose value is not known has to be there, as null."
        raise DataError(f"{file}: {error}{advice if ' lacks [' in str(error) else ''}") from None


def _check_sources(entry: CatalogueEntry, where: str) -> None:
    """Refuse an unknown role, places outside the archives, and data nobody knows how to get."""
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


def read_lock(path: Path) -> dict[str, str]:
    """Read the recorded sha256 of every archive, by the archive's name; none without a file.

    Raises:
        DataError: The file is no mapping of names to checksums.
    """
    if not path.exists():
        return {}
    restore = "Restore it from git."
    try:
        content = parse_yaml(read_text(path, advice=restore), path) or {}
    except DataError as error:
        raise DataError(f"{error} {restore}") from None
    if not isinstance(content, dict) or not all(
        isinstance(digest, str) and is_whole(digest) for digest in content.values()
    ):
        raise DataError(f"{path} is no mapping of archives to sha256. Restore it from git.")
    return {str(name): digest for name, digest in content.items()}


def expected_sha256(archive: Archive, known: Mapping[str, str]) -> str | None:
    """Tell what an archive must hash to: the published checksum, else the recorded one.

    Args:
        archive: The archive.
        known: What the lock has recorded.

    Returns:
        The sha256, or its first digits where no more is known; none if nothing is.
    """
    if is_whole(archive.sha256):
        return archive.sha256
    return known.get(archive.name, archive.sha256)


def is_whole(sha256: str | None) -> bool:
    """Tell a checksum from its first digits, and from none."""
    return sha256 is not None and len(sha256) == _SHA256_DIGITS


def write_lock(path: Path, digests: Mapping[str, str]) -> None:
    """Write the recorded checksums, sorted, whole or not at all."""
    text = yaml.safe_dump(dict(digests), sort_keys=True, width=200)
    write_text(path, _LOCK_HEAD + text)
