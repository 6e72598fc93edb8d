"""Take zip and tar archives apart without trusting them, into folders that appear in one step.

All members are judged before the first byte is written: names stay inside the folder and are ones
that every file system tells apart, nothing is a link, a device or encrypted, and nothing grows out
of proportion. The folder of a fetched set is marked with what it was made of.
"""

from __future__ import annotations

import json
import lzma
import shutil
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from pasam.data.catalogue import CatalogueEntry, expected_sha256
from pasam.errors import DataError
from pasam.files import draft_folder, portable_path, read_json

MARKER = ".complete.json"
"""File in a data set's folder: sha256 of its archives, and which of their folders were taken."""

MOST_MEMBERS = 1_000_000
LARGEST_RATIO = 200
"""Bytes extracted per byte of the archive; images stay below 10, deflate can reach 1000."""
HARMLESS = 10_000_000
"""Bytes that may be extracted whatever the ratio."""

_UNIX_TYPES = 0o170000
_UNIX_PLAIN = (0, 0o100000, 0o040000)  # not recorded, a file, a folder
_ENCRYPTED = 0x1
_ZIP = b"PK"  # how every zip begins, truncated or not
_TAR_BLOCK = 512
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,  # a zip's compression that Python lacks
)
# Python 3.11.0 to 3.11.3 have no extraction filters; there the checks of `MemberPaths`, which are
# stricter but our own, stand alone.
_tar_filter: Callable[[tarfile.TarInfo, str], object] | None = getattr(tarfile, "data_filter", None)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Member:
    """One file or folder of an archive, not yet trusted."""

    name: str
    size: int
    packed: int | None
    """Bytes it takes in the archive; none where members are not packed one by one."""
    is_folder: bool
    open: Callable[[], IO[bytes]]


class MemberPaths:
    """The paths that an archive's members claim, one after the other.

    Args:
        archive: The file, for the messages.
    """

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._claimed: dict[str, tuple[str, bool]] = {}

    def claim(self, name: str, *, is_folder: bool) -> str:
        """Check one member's name against the rules and the names before it.

        Args:
            name: As it stands in the archive.
            is_folder: Whether the member is a folder, which may be listed again.

        Returns:
            The path inside the target, as `portable_path` gives it.

        Raises:
            DataError: The name leads outside, is not portable, or collides with another.
        """
        try:
            path = portable_path(name)
        except DataError as error:
            raise _refusal(self._archive, name, str(error)) from None
        if not path and not is_folder:
            raise _refusal(self._archive, name, "has no name")
        parts = path.split("/") if path else []
        for depth in range(1, len(parts) + 1):
            self._hold("/".join(parts[:depth]), name, is_folder=is_folder or depth < len(parts))
        return path

    def _hold(self, path: str, name: str, *, is_folder: bool) -> None:
        """Note one path; only a folder may come twice, and in one spelling only."""
        key = unicodedata.normalize("NFC", path).casefold()  # what some file systems go by
        mine = (path, is_folder)
        theirs = self._claimed.setdefault(key, mine)
        if theirs is mine:
            return
        spelling, was_folder = theirs
        if spelling != path:
            reason = f"differs from '{spelling}' in nothing but its letters' case or Unicode form"
            raise _refusal(self._archive, name, reason)
        if not (is_folder and was_folder):
            raise _refusal(self._archive, name, "claims the place of another member")


def unpack(
    archive: Path, into: Path, *, only: Collection[str] = (), folder: str | None = None
) -> None:
    """Extract an archive, or some of its folders, into a folder of the caller's.

    All members are judged before the first byte is written, wanted or not.

    Args:
        archive: A zip or tar file.
        into: Folder that receives the members; what a failure leaves there is the caller's.
        only: Folders and files wanted, as posix paths; everything if empty.
        folder: First folder of all wanted members. Where the archive was packed without it, its
            members are put into it.

    Raises:
        DataError: The archive is damaged, holds what no data set needs (links, devices, paths
            that escape, names that some file systems mix up), would grow out of proportion, does
            not fit on the disk, or lacks what is wanted.
    """
    try:
        with _opened(archive, into) as members:
            chosen = _chosen(archive, _judged(archive, members), only=only, folder=folder)
            needed, free = sum(member.size for _, member in chosen), shutil.disk_usage(into).free
            if needed > free:
                raise DataError(f"{archive} needs {needed} bytes in {into}; {free} are free.")
            for path, member in chosen:
                _write(member, into / path)
    except _DAMAGED as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise DataError(
            f"{archive} is damaged, or no zip or tar file ({reason}). Fetch it again."
        ) from None
    except OSError as error:
        raise DataError(f"{archive} cannot be extracted to {into}: {error}.") from None


@contextmanager
def _opened(archive: Path, into: Path) -> Iterator[Iterator[_Member]]:
    with archive.open("rb") as file:
        is_zip = file.read(len(_ZIP)) == _ZIP
    if is_zip:
        with zipfile.ZipFile(archive) as packed:
            yield _zip_members(archive, packed)
    else:
        with tarfile.open(archive, "r:*") as tape:
            yield _tar_members(archive, tape, into)


def _zip_members(archive: Path, packed: zipfile.ZipFile) -> Iterator[_Member]:
    for info in packed.infolist():
        if (info.external_attr >> 16) & _UNIX_TYPES not in _UNIX_PLAIN:
            raise _refusal(archive, info.filename, "is a link or a device")
        if info.flag_bits & _ENCRYPTED:
            raise _refusal(archive, info.filename, "is encrypted")
        yield _Member(
            name=info.orig_filename,  # `filename` has backslashes turned and is cut at a zero
            size=info.file_size,
            packed=info.compress_size,
            is_folder=info.is_dir(),
            open=partial(packed.open, info),
        )


def _tar_members(archive: Path, tape: tarfile.TarFile, into: Path) -> Iterator[_Member]:
    for info in tape:
        if not (info.isdir() or info.isreg()) or info.issparse():
            raise _refusal(archive, info.name, "is a link, a device or a sparse file")
        try:
            if _tar_filter is not None:
                _tar_filter(info, str(into))
        except tarfile.FilterError:  # links are out already, so it is the name
            raise _refusal(archive, info.name, "leads out of its folder") from None
        yield _Member(
            name=info.name,
            size=info.size,
            packed=None,
            is_folder=info.isdir(),
            open=partial(tape.extractfile, info),  # type: ignore[arg-type]  # of a file, never None
        )
    # Without the block of zeros that ends every tar file the rest was lost.
    assert tape.fileobj is not None
    tape.fileobj.seek(tape.offset)
    if tape.fileobj.read(_TAR_BLOCK) != bytes(_TAR_BLOCK):
        raise DataError(f"{archive} breaks off before its end. Fetch it again.")


def _judged(archive: Path, members: Iterator[_Member]) -> list[tuple[str, _Member]]:
    """Refuse the archive for any member that is not harmless; else pair members with paths."""
    judged: list[tuple[str, _Member]] = []
    paths, total, packed_size = MemberPaths(archive), 0, archive.stat().st_size
    for member in members:
        path = paths.claim(member.name, is_folder=member.is_folder)
        total += member.size
        if len(judged) >= MOST_MEMBERS:
            raise DataError(f"{archive} has more than {MOST_MEMBERS} members. Refused.")
        _check_growth(archive, member.name, member.size, member.packed)
        _check_growth(archive, "the whole of it", total, packed_size)
        judged.append((path, member))
    return judged


def _check_growth(archive: Path, name: str, size: int, packed: int | None) -> None:
    if packed is not None and size > HARMLESS and size > LARGEST_RATIO * packed:
        reason = f"grows from {packed} to {size} bytes, more than {LARGEST_RATIO} times: a bomb"
        raise _refusal(archive, name, reason)


def _chosen(
    archive: Path, judged: list[tuple[str, _Member]], *, only: Collection[str], folder: str | None
) -> list[tuple[str, _Member]]:
    """Leave the wanted files, their paths led by the archive's folder."""
    files = [(path, member) for path, member in judged if not member.is_folder]
    if folder is not None and not any(path.startswith(f"{folder}/") for path, _ in files):
        files = [(f"{folder}/{path}", member) for path, member in files]
    if not only:
        return files
    chosen = []
    for wanted in only:
        inside = [item for item in files if f"{item[0]}/".startswith(f"{wanted}/")]
        if not inside:
            there = sorted({str(Path(path).parent) for path, _ in files})[:10]
            raise DataError(f"{archive} holds nothing in '{wanted}'; it holds {there}.")
        chosen += inside
    return list(dict(chosen).items())  # each once, where one wanted folder lies in another


def _write(member: _Member, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as source, path.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
    if path.stat().st_size != member.size:
        raise EOFError(f"{member.name} has {path.stat().st_size} of {member.size} bytes")


def _refusal(archive: Path, name: str, reason: str) -> DataError:
    return DataError(f"{archive}: {name!r} {reason}. Nothing was extracted; do not trust it.")


def install(entry: CatalogueEntry, root: Path, archives: Path, digests: Mapping[str, str]) -> None:
    """Make `<root>/<name>` from archives that were proved right; an older one is replaced.

    Args:
        entry: The data set.
        root: Folder of the data sets.
        archives: Folder of the archives.
        digests: sha256 of every archive, by name.

    Raises:
        DataError: An archive is damaged, not harmless, or lacks what the layout names.
    """
    with draft_folder(root / entry.name, durable=True) as draft:
        for archive in entry.archives:
            file = archives / archive.name
            if archive.packed:
                unpack(file, draft, only=entry.places_in(archive), folder=archive.folder)
            else:
                link_or_copy(file, draft / archive.name)
        text = json.dumps(_made_of(entry, digests), indent=2, sort_keys=True)
        (draft / MARKER).write_text(text + "\n", encoding="utf-8")


def installed_digests(
    entry: CatalogueEntry, root: Path, known: Mapping[str, str]
) -> dict[str, str] | None:
    """Look whether a data set is there, whole and made of the archives that are expected today.

    Args:
        entry: The data set.
        root: Folder of the data sets.
        known: Recorded sha256 of archives, by name.

    Returns:
        sha256 of every archive it was made of, by name; none if it has to be fetched.

    Raises:
        DataError: Its folder is there, but is nobody's that `fetch` made.
    """
    target = root / entry.name
    if not target.exists():
        return None
    try:
        marker: dict[str, Any] = read_json(target / MARKER)
        digests = {str(name): str(digest) for name, digest in marker["archives"].items()}
    except (DataError, TypeError, KeyError, AttributeError):
        raise DataError(
            f"{target} is there, but was not made by `pasam data fetch`: it has no {MARKER} that "
            "can be read. Move it away, or name another root."
        ) from None
    is_right = marker == _made_of(entry, digests) and all(
        digests[archive.name].startswith(expected_sha256(archive, known) or "")
        for archive in entry.archives
    )
    return digests if is_right else None


def count_images(entry: CatalogueEntry, root: Path) -> int | None:
    """Count the images of a fetched data set; none for what has no layout."""
    if entry.layout is None:
        return None
    suffix = entry.layout.image_suffix.lower()
    return sum(
        path.suffix.lower() == suffix
        for folder in entry.image_folders()
        for path in (root / entry.name / folder).iterdir()
    )


def link_or_copy(file: Path, place: Path) -> None:
    """Give a file a second name, or a copy where the file system has no second names."""
    try:
        place.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, place)


def _made_of(entry: CatalogueEntry, digests: Mapping[str, str]) -> dict[str, Any]:
    return {
        "archives": {archive.name: digests.get(archive.name) for archive in entry.archives},
        "places": list(entry.places()),
    }
