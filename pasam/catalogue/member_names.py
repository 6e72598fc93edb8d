"""Names of an archive's members: inside the folder, one spelling each, files never folders."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from pasam.errors import DataError

_NOT_PORTABLE = re.compile(r"[\x00-\x1f\x7f\\:\ud800-\udfff]")


class Places:
    """The places that an archive's members claim, one after the other.

    Args:
        archive: The file, for the messages.
    """

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._spellings: dict[str, str] = {}
        self._is_folder: dict[str, bool] = {}

    def claim(self, name: str, *, is_folder: bool) -> str:
        """Check one member's name against the rules and the names before it.

        Args:
            name: As it stands in the archive.
            is_folder: Whether the member is a folder, which may be listed again.

        Returns:
            The path inside the target, posix, without `.` and empty parts.

        Raises:
            DataError: The name leads outside, is not portable, or collides with another.
        """
        parts = self._parts(name)
        if not parts and not is_folder:
            raise self._refusal(name, "has no name")
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            self._hold(path, name, is_folder=is_folder or depth < len(parts))
        return "/".join(parts)

    def _parts(self, name: str) -> list[str]:
        if name.startswith("/"):
            raise self._refusal(name, "is an absolute path")
        if _NOT_PORTABLE.search(name):
            raise self._refusal(name, "has a backslash, a colon, a control character or no UTF-8")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise self._refusal(name, "leads out of its folder")
        return parts

    def _hold(self, path: str, name: str, *, is_folder: bool) -> None:
        """Note one path; only a folder may come twice, and in one spelling only."""
        key = unicodedata.normalize("NFC", path).casefold()
        spelling = self._spellings.setdefault(key, path)
        if spelling != path:
            raise self._refusal(name, f"differs from '{spelling}' in nothing but its letters' case")
        if path in self._is_folder and not (is_folder and self._is_folder[path]):
            raise self._refusal(name, "claims the place of another member")
        self._is_folder[path] = is_folder

    def _refusal(self, name: str, reason: str) -> DataError:
        return DataError(f"{self._archive}: {name!r} {reason}. Nothing was extracted.")
