"""The quarantine: a reviewed table of files that are left out, and how they get there."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pasam.data.manifest import OF_IMAGE, OF_TABLE, QUARANTINED, project_path
from pasam.data.names.folder_images import plain_form
from pasam.errors import DataError
from pasam.files import file_sha256, read_csv, write_text

COLUMNS = ("file", "sha256", "reason")


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class QuarantineEntry:
    """One file in quarantine."""

    file: str
    """An image, which takes all its masks along, or one mask; posix, from the project's root."""
    sha256: str
    """Hash of its content, empty if it is missing; a repaired file is another one and returns."""
    reason: str
    """Why it is here, in the words of whoever reviewed it, or of the check that found it."""


class Quarantine:
    """All files in quarantine.

    Args:
        entries: In any order; a file may stand here once.
    """

    def __init__(self, entries: Iterable[QuarantineEntry] = ()) -> None:
        self.entries: Mapping[str, QuarantineEntry] = {
            entry.file: entry for entry in sorted(entries)
        }
        self._by_form = {plain_form(file): entry for file, entry in self.entries.items()}

    def reason_for(self, path: Path | None) -> str | None:
        """Say why a file is left out; None when it is not, or has changed since it was listed."""
        if path is None or not self.entries:
            return None
        entry = self._by_form.get(plain_form(project_path(path)))
        if entry is None:
            return None
        return entry.reason if entry.sha256 == content_digest(path) else None

    def including(self, found: Iterable[tuple[str, str]]) -> Quarantine:
        """Add files with the reason for each, as they are now; a listed file gets its new line."""
        entries = dict(self.entries)
        for file, reason in found:
            digest = content_digest(Path(file))
            entries[file] = QuarantineEntry(
                file=file, sha256=digest, reason=" ".join(reason.split())
            )
        return Quarantine(entries.values())


def content_digest(path: Path) -> str:
    """Hash a file's bytes; empty when there is no such file."""
    return file_sha256(path) if path.is_file() else ""


def read_quarantine(path: Path) -> Quarantine:
    """Read the table.

    Raises:
        DataError: The file is missing, is no CSV with the three columns, names a file twice, or
            gives no reason.
    """
    columns, rows = read_csv(
        path,
        advice="It lists the files to leave out; with none, it holds the one line "
        f"'{','.join(COLUMNS)}'. Restore it.",
        known=COLUMNS,
    )
    if columns != COLUMNS:
        raise DataError(f"{path} has the columns {list(columns)}, expected {list(COLUMNS)}.")
    entries: dict[str, QuarantineEntry] = {}
    for line, row in rows:
        entry = QuarantineEntry(**{name: row.get(name, "") for name in COLUMNS})
        place = f"{path}, row {line}"
        if not entry.file or not entry.reason:
            raise DataError(f"{place}: every row needs a file and a reason. Say why it is there.")
        if entry.file in entries:
            raise DataError(f"{place}: {entry.file} is listed already. Remove one of the rows.")
        entries[entry.file] = entry
    return Quarantine(entries.values())


def write_quarantine(path: Path, quarantine: Quarantine) -> None:
    """Write the table, sorted by file, whole or not at all."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(
        (entry.file, entry.sha256, entry.reason) for entry in quarantine.entries.values()
    )
    write_text(path, text.getvalue())


def invalid_files(inventory: pd.DataFrame) -> dict[str, str]:
    """Give the files that are to blame for what was found invalid and is not in quarantine yet.

    Args:
        inventory: One row per item.

    Returns:
        Path to reason, in the inventory' order. Faults of a table's rows are left out: no file is
        to blame for them.
    """
    files: dict[str, str] = {}
    for row in inventory[inventory["fault"].notna()].to_dict("records"):
        if row["fault"] == QUARANTINED or row["fault"] in OF_TABLE:
            continue
        names = [row["image"], row["mask"]] if row["fault"] in OF_IMAGE else _by_blame(row)
        file = next(name for name in names if name is not None)
        files.setdefault(str(file), str(row["message"]))
    return files


def quarantine_files(
    quarantine: Quarantine, files: Sequence[Path], reason: str, inventory: pd.DataFrame
) -> tuple[Quarantine, tuple[QuarantineEntry, ...]]:
    """Put files into quarantine.

    Args:
        quarantine: What is in it now.
        files: Files that a person names; with none, all that the inventory holds as invalid.
        reason: Why the named files are left out.
        inventory: What the last run found.

    Returns:
        The new quarantine, and the entries that are new or changed.

    Raises:
        DataError: A named file is no image or mask of the data, or has no reason.
    """
    found = invalid_files(inventory) if not files else _named(files, reason, inventory)
    after = quarantine.including(found.items())
    new = [entry for file, entry in after.entries.items() if quarantine.entries.get(file) != entry]
    return after, tuple(new)


def _named(files: Sequence[Path], reason: str, inventory: pd.DataFrame) -> dict[str, str]:
    if not reason.strip():
        raise DataError("A file in quarantine needs a reason. Say why: `--reason 'wrong object'`.")
    known = {*inventory["image"].dropna(), *inventory["mask"].dropna()}
    spelt = {plain_form(name): name for name in known}
    typed = [project_path(file) for file in files]
    named = [name if name in known else spelt.get(plain_form(name), name) for name in typed]
    strangers = [file for file in named if file not in known]
    if strangers:
        raise DataError(
            f"{', '.join(strangers)} is no image or mask of the data. Name files as they stand in "
            "the manifest, from the project's root."
        )
    return dict.fromkeys(named, reason)


def _by_blame(row: dict[object, object]) -> list[object]:
    """Name the mask first, unless it is the image that is not there."""
    image = row["image"]
    if row["fault"] == "missing_file" and image is not None and not Path(str(image)).is_file():
        return [image, row["mask"]]
    return [row["mask"], image]
