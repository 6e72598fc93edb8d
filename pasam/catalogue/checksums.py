"""The catalogue's lock: checksums of archives for which nobody publishes one, as first fetched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from pasam.catalogue.entries import Archive
from pasam.errors import DataError

_DIGITS = 64

_HEAD = """\
# sha256 of archives whose publishers give none, recorded by the first `pasam data fetch`.
# Commit this file: every later fetch, anywhere, has to bring the same bytes.
"""


def read_lock(path: Path) -> dict[str, str]:
    """Read the recorded sha256 of every archive, by the archive's name; none without a file.

    Raises:
        DataError: The file is no mapping of names to checksums.
    """
    if not path.exists():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read: {error}. Restore it from git.") from None
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
    return sha256 is not None and len(sha256) == _DIGITS


def write_lock(path: Path, digests: Mapping[str, str]) -> None:
    """Write the recorded checksums, sorted, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    text = _HEAD + yaml.safe_dump(dict(digests), sort_keys=True, width=200)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
