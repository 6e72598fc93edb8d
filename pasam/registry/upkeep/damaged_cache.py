"""DVC's cache: where it has a file, and whether its files are what their names say."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from pasam.errors import DataError
from pasam.files import file_md5, write_json

OBJECTS = Path(".dvc/cache/files/md5")
"""Where DVC keeps what the project's stages have made, by digest."""
_MEMBER = re.compile(r'"md5": ?"([0-9a-f]{32})"')
COMPARED = "pasam-compared.json"
"""File beside DVC's cache: which of its files were read, when, and how they looked then."""
BELIEVED = 7 * 86_400
"""Seconds for which a file is not read again that looks as it did: a disk may lose a bit unseen."""


def cached_file(project: Path, md5: str) -> Path:
    """Where DVC's cache has a file, or a folder's list, of a digest."""
    return project / OBJECTS / md5[:2] / md5[2:]


def damaged_cache(
    project: Path, *, of: Collection[str] | None = None, again: bool = True
) -> Iterator[str]:
    """Say which files in DVC's cache are not what their names say; folders' lists are files, too.

    DVC itself trusts its cache: it checks such a file out and calls it up to date.

    Args:
        project: The project's root.
        of: The md5 of those that are looked at, with `.dir` for a folder with all its files; all
            if None.
        again: Whether to read files, too, that were whole within a week and have kept their size,
            their inode and the time of their last change, which nobody can set.
    """
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        with Repo(str(project)) as repo:
            place = Path(repo.cache.local.path)
    except NotDvcRepoError:
        raise DataError(
            f"{project.resolve()} is no DVC repository, so it has no cache to verify. Run this in "
            "the project's root, or name it (--project)."
        ) from None
    named = {*(of or ())}
    for listed in [name for name in named if name.endswith(".dir")]:
        listing = place / listed[:2] / listed[2:]
        if listing.is_file():
            named |= set(_MEMBER.findall(listing.read_bytes().decode(errors="replace")))
    compared = _Compared(place.parent.parent / COMPARED)
    for path in sorted(place.glob("[0-9a-f][0-9a-f]/*")):
        name = path.parent.name + path.name
        if of is not None and name not in named:
            continue
        if not again and compared.knows(name, path):
            continue
        looks = _looks(path)  # before it is read: a change meanwhile is seen the next time
        found = file_md5(path)
        if found != name.removesuffix(".dir"):
            yield f"{path.relative_to(place)} holds bytes of md5 {found}"
        else:
            compared.add(name, looks)
    compared.keep()


class _Compared:
    """What was read and was whole, by the file's name; kept in a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.now, self.news = path, time.time(), False
        self.kept: dict[str, list[float]] = {}
        with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
            for name, (when, *looks) in json.loads(path.read_bytes()).items():
                if 0 <= self.now - when < BELIEVED:
                    self.kept[name] = [when, *looks]

    def knows(self, name: str, path: Path) -> bool:
        """Whether a file looks as it did when it was read last."""
        return self.kept.get(name, [])[1:] == _looks(path)

    def add(self, name: str, looks: list[float]) -> None:
        """Remember a file that is whole."""
        self.kept[name], self.news = [self.now, *looks], True

    def keep(self) -> None:
        """Write it all, where that can be: a cache may be shared and not be ours to write to."""
        if self.news:
            with suppress(OSError):
                write_json(self.path, self.kept)


def _looks(path: Path) -> list[float]:
    stat = path.stat()
    return [stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]
