"""Which pictures a person means, and what the files about them are called."""

from __future__ import annotations

import glob
import itertools
from collections.abc import Sequence
from pathlib import Path

from pasam.errors import DataError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""What is taken from a folder; a file that is named itself may have any name."""


def find_pictures(named: Sequence[str]) -> list[Path]:
    """Find the pictures that files, folders and patterns name.

    Args:
        named: A file, a folder (its pictures, not those of folders in it), or a pattern such as
            `photos/**/*.jpg` that the shell left as it is.

    Returns:
        Each picture once, in the order of naming; those of a folder or pattern by name.

    Raises:
        DataError: Something is not there, or a folder or pattern has no picture.
    """
    found: dict[Path, None] = {}
    for name in named:
        found.update(dict.fromkeys(_meant(name)))
    return list(found)


def output_names(pictures: Sequence[Path]) -> list[str]:
    """Name the files about each picture: like the picture, made longer where two would clash."""
    stems = [picture.stem for picture in pictures]
    names: list[str] = []
    for picture in pictures:
        plain = picture.stem
        if stems.count(plain) > 1:
            plain = f"{picture.parent.name}_{plain}".lstrip("_")
        longer = (f"{plain}_{count}" for count in itertools.count(2))
        name = next(name for name in itertools.chain([plain], longer) if name not in names)
        names.append(name)
    return names


def _meant(name: str) -> list[Path]:
    path = Path(name)
    if path.is_file():
        return [path]
    if path.is_dir():
        pictures = [p for p in sorted(path.iterdir()) if p.suffix.lower() in SUFFIXES]
        if not pictures:
            raise DataError(f"the folder {path} holds no picture; expected {', '.join(SUFFIXES)}.")
        return pictures
    if not glob.has_magic(name):
        raise DataError(f"{path} does not exist. Give a picture, a folder or a pattern.")
    matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207
    pictures = [match for match in matches if match.is_file()]
    if not pictures:
        raise DataError(f"no file matches {name!r}.")
    return pictures
