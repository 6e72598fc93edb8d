"""Whether the files in DVC's cache are what their names say."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from pasam.errors import DataError
from pasam.files import file_md5

_MEMBER = re.compile(r'"md5": ?"([0-9a-f]{32})"')


def damaged_cache(project: Path, *, of: Collection[str] | None = None) -> Iterator[str]:
    """Say which files in DVC's cache are not what their names say; folders' lists are files, too.

    DVC itself trusts its cache: it checks such a file out and calls it up to date.

    Args:
        project: The project's root.
        of: The md5 of those that are looked at, with `.dir` for a folder with all its files; all
            if None.
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
    for path in sorted(place.glob("[0-9a-f][0-9a-f]/*")):
        name = path.parent.name + path.name
        if of is not None and name not in named:
            continue
        found = file_md5(path)
        if found != name.removesuffix(".dir"):
            yield f"{path.relative_to(place)} holds bytes of md5 {found}"
