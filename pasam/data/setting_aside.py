"""Putting what a run found unfit, or what a person names, into quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pasam.data.faults import OF_IMAGE, OF_TABLE, QUARANTINED
from pasam.data.manifest import project_path
from pasam.data.quarantine import Entry, Quarantine
from pasam.errors import DataError


def unfit_files(census: pd.DataFrame) -> dict[str, str]:
    """Give the files that are to blame for what was found unfit and is not in quarantine yet.

    Args:
        census: One row per item.

    Returns:
        Path to reason, in the census' order. Faults of a table's rows are left out: no file is
        to blame for them.
    """
    files: dict[str, str] = {}
    for row in census[census["fault"].notna()].to_dict("records"):
        if row["fault"] == QUARANTINED or row["fault"] in OF_TABLE:
            continue
        names = [row["image"], row["mask"]] if row["fault"] in OF_IMAGE else _by_blame(row)
        file = next(name for name in names if name is not None)
        files.setdefault(str(file), str(row["message"]))
    return files


def set_aside(
    quarantine: Quarantine, files: Sequence[Path], reason: str, census: pd.DataFrame
) -> tuple[Quarantine, tuple[Entry, ...]]:
    """Put files into quarantine.

    Args:
        quarantine: What is in it now.
        files: Files that a person names; with none, all that the census holds unfit.
        reason: Why the named files are left out.
        census: What the last run found.

    Returns:
        The new quarantine, and the entries that are new or changed.

    Raises:
        DataError: A named file is no image or mask of the data, or has no reason.
    """
    found = unfit_files(census) if not files else _named(files, reason, census)
    after = quarantine.including(found.items())
    new = [entry for file, entry in after.entries.items() if quarantine.entries.get(file) != entry]
    return after, tuple(new)


def _named(files: Sequence[Path], reason: str, census: pd.DataFrame) -> dict[str, str]:
    if not reason.strip():
        raise DataError("A file in quarantine needs a reason. Say why: `--reason 'wrong object'`.")
    known = {*census["image"].dropna(), *census["mask"].dropna()}
    named = [project_path(file) for file in files]
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
