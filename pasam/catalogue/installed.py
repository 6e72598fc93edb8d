"""The folders of fetched data sets: made in one step, and marked with what they were made of."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pasam.catalogue.archives import draft_of, unpack
from pasam.catalogue.checksums import expected_sha256
from pasam.catalogue.entries import Entry
from pasam.errors import DataError

MARKER = ".complete.json"
"""File in a data set's folder: sha256 of its archives, and which of their folders were taken."""


def install(entry: Entry, root: Path, archives: Path, digests: Mapping[str, str]) -> None:
    """Make `<root>/<name>` from archives that were proved right; an older one is replaced.

    Args:
        entry: The data set.
        root: Folder of the data sets.
        archives: Folder of the archives.
        digests: sha256 of every archive, by name.

    Raises:
        DataError: An archive is damaged, not harmless, or lacks what the layout names.
    """
    target = root / entry.name
    with draft_of(target) as draft:
        for archive in entry.archives:
            file = archives / archive.name
            if archive.packed:
                unpack(file, draft, only=entry.places_in(archive), folder=archive.folder)
            else:
                _share(file, draft / archive.name)
        text = json.dumps(_made_of(entry, digests), indent=2, sort_keys=True)
        (draft / MARKER).write_text(text + "\n", encoding="utf-8")
        os.sync()  # a power cut must not leave a marker whose files are empty
        if target.exists():
            shutil.rmtree(target)
        draft.replace(target)


def installed_digests(entry: Entry, root: Path, known: Mapping[str, str]) -> dict[str, str] | None:
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
        marker: dict[str, Any] = json.loads((target / MARKER).read_text(encoding="utf-8"))
        digests = {str(name): str(digest) for name, digest in marker["archives"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise DataError(
            f"{target} is there, but was not made by `pasam data fetch`: it has no {MARKER} that "
            "can be read. Move it away, or name another root."
        ) from None
    is_right = marker == _made_of(entry, digests) and all(
        digests[archive.name].startswith(expected_sha256(archive, known) or "")
        for archive in entry.archives
    )
    return digests if is_right else None


def count_images(entry: Entry, root: Path) -> int | None:
    """Count the images of a fetched data set; none for what has no layout."""
    if entry.layout is None:
        return None
    suffix = entry.layout.image_suffix.lower()
    return sum(
        path.suffix.lower() == suffix
        for folder in entry.image_folders()
        for path in (root / entry.name / folder).iterdir()
    )


def _made_of(entry: Entry, digests: Mapping[str, str]) -> dict[str, Any]:
    return {
        "archives": {archive.name: digests.get(archive.name) for archive in entry.archives},
        "places": list(entry.places()),
    }


def _share(file: Path, place: Path) -> None:
    """Give a file a second name, or a copy where the file system has no second names."""
    try:
        place.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, place)
